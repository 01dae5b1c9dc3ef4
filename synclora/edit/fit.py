"""The edited first frame, brought onto the source's first frame: its size first, then its place.

    picture, fit = fit_frame(read_picture("edited.png"), source_picture, EditSettings())

Size. A picture of the source's shape (within 3 %, since image editors round their sides) is scaled; of another shape, it is scaled until it
covers the source's and its middle is taken.

Place. The paper names a first frame that is not aligned with the source's as a limit of the method. So the face of either is found, and
if they lie apart, the edited picture is turned, scaled and shifted as a whole so that its face lies on the source's. That also
recognises a picture that shows only a part of the source's view. What it leaves uncovered is filled with the source's first frame, seen
through the colours of the edit (an affine map of colours, fitted where both show).

The distance is curation's: the mean over eleven points of head and face, in face widths. Beyond `max_misalignment` a picture is aligned
or refused as MISALIGNED; between `align_beyond` and that it is aligned if that brings the whole picture nearer to the source. Refused
is what no such transform mends: a head turned elsewhere, a picture that had to be scaled or turned too far, one that would cover too
little or shows another view there, and a mirrored one.

Part. Where only a part of the source is edited, a picture is fitted onto the whole and cut with it, unless it resembles the part more: then it
was cut already, and is fitted onto the part.

Without a face in both (a mask, a landscape) the size alone is fitted, and `misalignment_before` is None. Of several faces the largest of
the source counts, and in the edited picture the one nearest to it.
"""

import math
from dataclasses import dataclass
from itertools import product
from typing import Self

import numpy as np

from synclora.edit.geometry import SAME_SHAPE, Size
from synclora.edit.result import Fit
from synclora.edit.settings import EditSettings
from synclora.edit.warp import Doubles, filled, joined, moved, resemblance, rotation, warped
from synclora.errors import MediaError, Reason
from synclora.media.decode import Picture
from synclora.motion.signals import FACE_FRAME
from synclora.motion.stills import face_distance, face_width, still_faces
from synclora.train.clips import Crop

MAX_SCALE = 4.0
"""Beyond, the smaller of the two faces has too few pixels to be the other's."""
MAX_TURN_DEGREES = 30.0
MIN_COVER = 0.2
"""Share of the source's picture that the edited one must cover: a close-up of the face in a half-length portrait covers as much."""
LIKENESS = 0.25
"""Correlation with the source from which a picture shows the same view: 31 real edits had .31 and more, strangers laid face on face .19 in the
75th percentile."""
MIRRORED = 0.1
"""A picture is mirrored when its mirror image shows the same view, and resembles the source by so much more. Of the real edits it had .18 less,
at least."""
NEARER = 0.1
"""A small misalignment is mended when the picture then resembles the source by so much more; else the edit may have moved the face itself."""
MAX_FOREIGN = 0.05
"""Share of the picture that may be filled with the source's own where the rest shows another view: a strip at the border."""
_SURE = 0.7  # of a face in a part of the picture, where curtains and flames fill more of the view


@dataclass(frozen=True)
class _Turn:
    """A similarity about a middle: x' = scale · R · (x − middle) + middle + shift."""

    scale: float
    turn: float
    shift: Doubles
    middle: Doubles

    @classmethod
    def between(cls, moved_kc: Doubles, still_kc: Doubles, middle: Doubles) -> Self:
        """Least squares (Umeyama, without reflection) over points."""
        a, b = moved_kc - moved_kc.mean(0), still_kc - still_kc.mean(0)
        cosine, sine = float((a * b).sum()), float((a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum())
        scale, turn = math.hypot(cosine, sine) / float((a**2).sum()), math.atan2(sine, cosine)
        linear = scale * rotation(turn)
        return cls(scale, turn, still_kc.mean(0) - middle - linear @ (moved_kc.mean(0) - middle), middle)

    @property
    def matrix(self) -> Doubles:
        """(2, 3)."""
        linear = self.scale * rotation(self.turn)
        return np.column_stack([linear, self.middle + self.shift - linear @ self.middle])


def fit_frame(edited: Picture, source: Picture, settings: EditSettings, what: str = "first frame") -> tuple[Picture, Fit]:
    """The edited picture at the source's size and place, and what was done to it.

    Args:
        edited: (h, w, 3), any size.
        source: (height, width, 3), the source's frame that it stands for.
        settings: `align_beyond`, `max_misalignment`, `max_residual` and `align`.
        what: for the error.

    Raises:
        MediaError: MISALIGNED, with the numbers.
    """
    size = Size(source.shape[1], source.shape[0])
    placed, kind = _placed(Size(edited.shape[1], edited.shape[0]), size)
    picture = warped(edited, placed, size)
    _refuse_mirrored(picture, source, what)
    faces = _both_faces(picture, source)
    if faces is None:
        return picture, Fit(kind=kind)
    before, refuse = face_distance(*faces), settings.max_misalignment
    if before > refuse and not settings.align:
        raise _refusal(what, before, f"more than {refuse:g}; align it with the source's, or allow aligning")
    as_it_is = picture, Fit(kind=kind, misalignment_before=before, misalignment_after=before)
    if before <= settings.align_beyond or not settings.align:
        return as_it_is
    aligned = _aligned(edited, placed, source, faces)
    problem = aligned.problem(settings)
    if before <= refuse:
        better = not problem and aligned.likeness > resemblance(picture, source) + NEARER
        return aligned.result(before, source) if better else as_it_is
    if problem:
        raise _refusal(what, before, f"{problem}; edit the source's own first frame")
    return aligned.result(before, source)


def fit_part(edited: Picture, source: Picture, crop: Crop | None, settings: EditSettings, what: str) -> tuple[Picture, Fit]:
    """The same, and then the part of it alone; None is all of it. A picture that shows just the part is fitted onto that.

    Raises:
        MediaError: MISALIGNED, with the numbers.
    """
    if crop is None:
        return fit_frame(edited, source, settings, what)
    part = np.ascontiguousarray(crop.of(source))
    if _likeness(edited, part) > _likeness(edited, source) + NEARER:
        return fit_frame(edited, part, settings, what)
    picture, fit = fit_frame(edited, source, settings, what)
    return np.ascontiguousarray(crop.of(picture)), fit


def largest_face(picture: Picture) -> Doubles | None:
    """The points FACE_FRAME (11, 2) of the picture's largest face; None if it shows none."""
    return max(_faces(picture), key=face_width, default=None)


@dataclass(frozen=True)
class _Aligned:
    """The edited picture in its place, its face on the source's."""

    turn: _Turn
    picture: Picture
    cover_yx: Doubles
    after: float
    likeness: float

    def problem(self, settings: EditSettings) -> str:
        """What speaks against it, "" if nothing does."""
        limit, degrees, cover = min(settings.max_misalignment, settings.max_residual), math.degrees(self.turn.turn), self.cover
        if self.after > limit:
            return f"and {self.after:.2f} after the best turn, scale and shift, more than {limit:g}: the head looks elsewhere"
        if not 1 / MAX_SCALE <= self.turn.scale <= MAX_SCALE:
            return f"and it would have to be scaled by {self.turn.scale:.2f}, at most {MAX_SCALE:g}"
        if abs(degrees) > MAX_TURN_DEGREES:
            return f"and it would have to be turned by {degrees:.0f} degrees, at most {MAX_TURN_DEGREES:g}"
        if cover < MIN_COVER:
            return f"and in its place it covers {cover:.0%} of the picture, less than {MIN_COVER:.0%}"
        if 1 - cover > MAX_FOREIGN and self.likeness < LIKENESS:
            resembles = f"resembles the source there by {self.likeness:.2f} only, less than {LIKENESS:g}"
            return f"in its place it covers {cover:.0%} of the picture, and {resembles}"
        return ""

    @property
    def cover(self) -> float:
        """Share of the source's picture."""
        return float(self.cover_yx.mean())

    def result(self, before: float, source: Picture) -> tuple[Picture, Fit]:
        """Filled up, and stated."""
        shift_x, shift_y = map(float, self.turn.shift)
        fit = Fit(
            kind="aligned",
            scale=self.turn.scale,
            turn_degrees=math.degrees(self.turn.turn),
            shift_x_px=shift_x,
            shift_y_px=shift_y,
            misalignment_before=before,
            misalignment_after=self.after,
            filled=1 - self.cover,
        )
        return filled(self.picture, source, self.cover_yx), fit


def _aligned(edited: Picture, placed: Doubles, source: Picture, faces: tuple[Doubles, Doubles]) -> _Aligned:
    size = Size(source.shape[1], source.shape[0])
    turn = _Turn.between(*faces, np.array([size.width - 1, size.height - 1]) / 2)
    whole = joined(turn.matrix, placed)
    picture, cover_yx = warped(edited, whole, size), warped(np.full(edited.shape, 255, np.uint8), whole, size)[..., 0] / 255.0
    after = face_distance(moved(faces[0], turn.matrix), faces[1])
    return _Aligned(turn, picture, cover_yx, after, resemblance(picture, source, cover_yx))


def _placed(edited: Size, source: Size) -> tuple[Doubles, str]:
    """The matrix (2, 3) from edited to source pixels by size alone, and its name."""
    if edited == source:
        return np.eye(2, 3), "none"
    across, down = source.width / edited.width, source.height / edited.height
    kind = "scaled" if abs(across / down - 1) <= SAME_SHAPE else "cropped"
    scale = np.array([across, down]) if kind == "scaled" else np.full(2, max(across, down))
    middle = np.array([[edited.width, edited.height], [source.width, source.height]]) / 2 - 0.5
    return np.column_stack([np.diag(scale), middle[1] - scale * middle[0]]), kind


def _likeness(edited: Picture, source: Picture) -> float:
    """Of a picture in its place by size alone."""
    size = Size(source.shape[1], source.shape[0])
    placed, _kind = _placed(Size(edited.shape[1], edited.shape[0]), size)
    return resemblance(warped(edited, placed, size), source)


def _both_faces(picture: Picture, source: Picture) -> tuple[Doubles, Doubles] | None:
    """Eleven points (k, 2) of the face in the edited picture and in the source's."""
    still = largest_face(source)
    ours = [] if still is None else _faces(picture)
    if still is None or not ours:
        return None
    return min(ours, key=lambda face: face_distance(face, still)), still


def _faces(picture: Picture) -> list[Doubles]:
    """Faces in the picture; if there is none, small ones in its parts: MediaPipe's detector needs a sixth of the picture's width."""
    found = still_faces(picture)
    places = [(0, 0)] * len(found)
    if not found:
        height, width = picture.shape[:2]
        for top, left in product((0, height // 4, height // 2), (0, width // 4, width // 2)):
            part = np.ascontiguousarray(picture[top : top + height // 2, left : left + width // 2])
            new = still_faces(part, _SURE)
            found, places = [*found, *new], [*places, *[(left, top)] * len(new)]
    return [face[list(FACE_FRAME), :2].astype(np.float64) + place for face, place in zip(found, places, strict=True)]


def _refusal(what: str, before: float, rest: str) -> MediaError:
    return MediaError(Reason.MISALIGNED, f"{what}: its face is {before:.2f} face widths from the source's, {rest}")


def _refuse_mirrored(picture: Picture, source: Picture, what: str) -> None:
    """Landmarks cannot tell a mirrored face that looks ahead; the rest of the picture can."""
    direct, mirrored = (resemblance(one, source) for one in (picture, picture[:, ::-1]))
    if mirrored - direct > MIRRORED and mirrored > LIKENESS:
        numbers = f"resembles the source by {direct:.2f}, mirrored by {mirrored:.2f}"
        raise MediaError(Reason.MISALIGNED, f"{what}: it is mirrored ({numbers}); edit the source's own first frame")
