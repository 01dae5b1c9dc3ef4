"""A portrait picture made ready to be animated: cropped around head and shoulders, with landmarks and masks.

portrait = load_portrait(None, size=320)          # the picture that scikit-image ships
portrait = load_portrait(Path("faces/anna.jpg"), size=320)
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from synclora.errors import MediaError, Reason
from synclora.media.images import read_picture
from synclora.motion.stills import person_matte, still_faces
from synclora.pairs.puppet import landmarks as lm
from synclora.pairs.puppet.raster import Array, Picture, blur, floats, polygon, resized, smoothstep, to_bytes

FACE_SHARE = 0.40
"""Width of the face over the crop's: the smallest at which irises stay measurable at 320 pixels, with shoulders in view."""

LARGEST_SIDE = 2048
"""Pictures are read at this size at most: the crop is far smaller."""

EYE_WIDTH_MIN = 12.0
"""Pixels of the crop between the corners of an eye, below which lids cannot be drawn: the face is turned away."""


@dataclass(frozen=True)
class Portrait:
    """One person, cropped to a square.

    Attributes:
        picture: (size, size, 3) RGB.
        points: (478, 3) landmarks in pixels of the crop, depth growing away from the camera.
        matte: (size, size) 0..1, the person.
        skin: (size, size) 0..1, skin of face and neck.
        hair: (size, size) 0..1.
        clothes: (size, size) 0..1.
    """

    picture: Picture
    points: Array
    matte: Array
    skin: Array
    hair: Array
    clothes: Array

    @property
    def size(self) -> int:
        """Pixels of a side."""
        return int(self.picture.shape[0])

    def at(self, indices: tuple[int, ...]) -> Array:
        """The (n, 2) positions of some landmarks."""
        return np.ascontiguousarray(self.points[list(indices), :2])

    @property
    def face_width(self) -> float:
        """Pixels between the outline's left and right ends."""
        return float(np.ptp(self.points[:468, 0]))

    @property
    def face_height(self) -> float:
        """Pixels from the hairline to the chin."""
        return float(np.linalg.norm(self.points[lm.FOREHEAD, :2] - self.points[lm.CHIN, :2]))


def find_face(picture: Picture) -> Array:
    """The (478, 3) landmarks of the one face in a still picture, in pixels.

    Raises:
        MediaError: there is no face, or more than one.
    """
    found = still_faces(picture, 0.5) or still_faces(picture, 0.2)  # surely first: at 0.2 a flower can be a second face
    if not found:
        raise MediaError(Reason.NO_FACE, "no face found in the portrait; use a frontal picture of one person")
    apart = [float(np.linalg.norm((other - found[0])[:, :2].mean(axis=0))) for other in found[1:]]
    if apart and max(apart) > np.ptp(found[0][:, 0]):  # nearer, it is the same face found twice
        raise MediaError(Reason.TWO_FACES, "more than one face in the portrait; crop it to one person")
    return found[0]


@lru_cache(maxsize=32)
def load_portrait(path: Path | None, size: int) -> Portrait:
    """Read, crop and analyse a portrait; None is the astronaut that scikit-image ships.

    Raises:
        MediaError: the picture cannot be read, or does not show one face from the front.
    """
    picture = default_picture() if path is None else read_picture(path, LARGEST_SIDE)
    points = find_face(picture)
    left, top, side = crop_box(points, picture.shape[1], picture.shape[0])
    scale = size / side
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    patch = picture[top : top + side, left : left + side]
    crop = to_bytes(resized(patch, size, size, method))
    points = find_face(crop)  # again at the size that is drawn: half a pixel matters to a lid
    if min(_width(points, 33, 133), _width(points, 362, 263)) < EYE_WIDTH_MIN * size / 320:
        raise MediaError(Reason.NO_FACE, "the face is turned too far to be animated; use a frontal portrait")
    portrait = Portrait(crop, points, _matte(crop, points), *(np.zeros((size, size), np.float32),) * 3)
    return _with_masks(portrait)


def default_picture() -> Picture:
    """The astronaut Eileen Collins (NASA, public domain), from scikit-image's wheel."""
    from skimage.data import astronaut

    return np.ascontiguousarray(astronaut(), dtype=np.uint8)  # type: ignore[no-untyped-call]


def crop_box(points: Array, width: int, height: int) -> tuple[int, int, int]:
    """Left, top and side of the square around head and shoulders, inside the picture."""
    low, high = points[:468, :2].min(axis=0), points[:468, :2].max(axis=0)
    side = min(max((high[0] - low[0]) / FACE_SHARE, (high[1] - low[1]) / 0.5), width, height)
    left = (low[0] + high[0]) / 2 - side / 2
    top = (low[1] + high[1]) / 2 - side * 0.46  # a little more room below than above: shoulders
    return int(np.clip(left, 0, width - side)), int(np.clip(top, 0, height - side)), int(side)


def _width(points: Array, a: int, b: int) -> float:
    return float(np.linalg.norm(points[a, :2] - points[b, :2]))


def _matte(picture: Picture, points: Array) -> Array:
    size = picture.shape[0]
    raw = person_matte(picture)
    face = polygon(np.ascontiguousarray(points[list(lm.OVAL), :2]), size, size, 2.0)
    return np.maximum(smoothstep((raw - 0.15) / 0.7), face).astype(np.float32)


def _with_masks(portrait: Portrait) -> Portrait:
    """Tell skin, hair and clothes apart by colour, from samples whose place is certain."""
    size, matte = portrait.size, portrait.matte
    lab = cv2.cvtColor(cv2.GaussianBlur(portrait.picture, (0, 0), 1.0), cv2.COLOR_RGB2LAB).astype(np.float32)
    oval = polygon(portrait.at(lm.OVAL), size, size, 0)
    ys, xs = np.mgrid[0:size, 0:size].astype(np.float32)
    chin_y = float(portrait.points[lm.CHIN, 1])
    brow = portrait.at(lm.RIGHT_BROW + lm.LEFT_BROW)[:, 1].min()
    inner = oval * (ys > brow) * (ys < chin_y - 0.12 * portrait.face_height)
    skin_like = _likeness(lab, inner > 0.5)
    ring = (oval < 0.1) * (matte > 0.9) * (ys < portrait.points[list(lm.EARS), 1].mean())
    hair_like = _likeness(lab, ring > 0.5)
    chest = (matte > 0.9) * (ys > chin_y + 0.35 * portrait.face_height)
    clothes_like = _likeness(lab, (chest > 0.5) & (skin_like < 0.3))
    centre = (portrait.points[lm.EARS[0], :2] + portrait.points[lm.EARS[1], :2]) / 2
    beside = smoothstep((np.abs(xs - centre[0]) - 0.46 * portrait.face_width) / (0.1 * portrait.face_width))
    ear_y = float(portrait.points[list(lm.EARS), 1].mean())
    above = smoothstep((ear_y + 0.15 * portrait.face_height - ys) / (0.2 * portrait.face_height))
    core = polygon(portrait.at(lm.OVAL) * 0.94 + 0.06 * centre, size, size, 2.0) * smoothstep((ys - brow + 6) / 8)
    far = 1 - smoothstep(blur(oval, 0.1 * portrait.face_width) / 0.3)  # far above the forehead all is hair, bright strands too
    share = hair_like / (hair_like + skin_like + 0.3 * clothes_like + 1e-3)
    on_top = smoothstep((share - 0.45 * (1 - far)) / 0.3 + 0.6 * far) * above
    hanging = (
        beside * smoothstep((hair_like - 0.1) / 0.3) * smoothstep((hair_like / (hair_like + clothes_like + 1e-3) - 0.4) / 0.2)
    )
    hanging *= _reached(np.maximum(on_top, hanging) * matte > 0.4, on_top * matte > 0.4)  # not bare shoulders, which may be alike
    hair = matte * (1 - core) * np.maximum(on_top, hanging)
    below = smoothstep((ys - chin_y - 0.06 * portrait.face_height) / (0.12 * portrait.face_height))
    bare = smoothstep((skin_like / (skin_like + clothes_like + 1e-3) - 0.45) / 0.2)
    clothes = matte * below * (1 - bare) * (1 - hair)
    skin = matte * np.maximum(oval, smoothstep((skin_like - 0.2) / 0.4) * (1 - clothes)) * (1 - hair)
    soft = [blur(mask, 1.0) for mask in (skin, hair, clothes)]
    return replace(portrait, skin=soft[0], hair=soft[1], clothes=soft[2])


def _reached(where: npt.NDArray[np.bool_], start: npt.NDArray[np.bool_]) -> Array:
    """The parts of `where` that hang together with `start`, as a soft mask."""
    _, labels = cv2.connectedComponents(where.astype(np.uint8))
    wanted = np.setdiff1d(np.unique(labels[start & where]), [0])
    return blur(np.isin(labels, wanted), 1.5)


def _likeness(lab: Array, sample: npt.NDArray[np.bool_]) -> Array:
    """How like the sampled pixels' colours each pixel is: 1 alike, 0 unlike; 0 everywhere when the sample is too small."""
    if sample.sum() < 50:
        return np.zeros(lab.shape[:2], np.float32)
    chosen = lab[sample]
    middle = np.median(chosen, axis=0)
    width = np.maximum(np.median(np.abs(chosen - middle), axis=0) * 1.5, (14, 3.5, 3.5))
    distance = (((lab - middle) / width) ** 2).sum(axis=-1)
    return floats(np.exp(-distance / 8))
