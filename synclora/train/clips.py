"""From a pair's videos to clips of one shape: which frames, which part of the picture, which size.

    bucket = choose_bucket(sample, settings.shapes)               # 512x512x81
    window = windows_of(sample, bucket, settings)[0]              # range(0, 81)
    crop = cut_of(sample, bucket, settings)                       # the same for both halves
    pixels_thwc = read_clip(decoder.frames(sample.source, analysis=False), window, crop, bucket)

Nothing is drawn by chance: a pair gives the same clips in every run.
"""

import re
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from typing import Literal, Self

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from synclora.errors import MediaError, Reason
from synclora.media.decode import Frames
from synclora.media.settings import MediaLimits
from synclora.settings import Settings
from synclora.train.curated import Sample

STRIDE_S, STRIDE_T = 32, 8  # of every released autoencoder; the one that is used has the last word (`Encoder`)

FEW_FRAMES = 20
"""So many left unread are decoded to the end: leaving a video early ends its decoder, and a new one costs as much (0.1 s)."""

OUTER_WIDTH = 0.975
"""Width that the eleven points of a record span, over that of the face's 468: the mean over 14 real first frames, .93 to 1.00."""

CropMode = Literal["face", "center"]


@dataclass(frozen=True)
class Bucket:
    """A shape that clips are brought to: pixels and video frames."""

    width: int
    height: int
    frames: int

    def __str__(self) -> str:
        return f"{self.width}x{self.height}x{self.frames}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """The inverse of `str`.

        Raises:
            ValueError: it is not WIDTHxHEIGHTxFRAMES, or no autoencoder takes it.
        """
        if not re.fullmatch(r"[1-9]\d*x[1-9]\d*x[1-9]\d*", text):
            raise ValueError(f"bucket {text!r}: write width, height and frames as in 512x512x81")
        bucket = cls(*map(int, text.split("x")))
        if not bucket.fits(STRIDE_S, STRIDE_T):
            raise ValueError(
                f"bucket {text}: sides must be multiples of {STRIDE_S} and frames {STRIDE_T}k + 1, {STRIDE_T + 1} or more"
            )
        return bucket

    def fits(self, stride_s: int, stride_t: int) -> bool:
        """Whether an autoencoder of these strides takes it, and there is a frame to make after the first."""
        return not (self.width % stride_s or self.height % stride_s or (self.frames - 1) % stride_t) and self.frames > stride_t


class EncodeSettings(Settings):
    """What latents are made of. A change here encodes anew what it concerns."""

    buckets: tuple[str, ...] = Field(default=("512x512x81",), min_length=1)
    """Shapes, WIDTHxHEIGHTxFRAMES. A pair takes the one of nearest aspect ratio that it is long enough for, then the longest."""
    crop: CropMode = "face"
    """What stays in the picture where the aspect ratios differ: face keeps the first frame's face as central as possible."""
    face_share: float | None = Field(default=None, ge=0.3, le=0.9)
    """Cut the clip to the part in which the first frame's face has this share of the width, whatever `crop` says, less of it where the picture
    ends. For small backbones: at 128 pixels a glance in a whole picture is one of them. None: as much of the picture as the bucket shows."""
    windows_per_pair: int = Field(default=1, ge=1)
    """Clips of one pair, one after the other from its first frame. More than one makes use of long videos."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of the stored latents; auto is what the autoencoder computes in: bfloat16 on a GPU, float32 on a CPU."""

    @field_validator("buckets")
    @classmethod
    def _known_shapes(cls, buckets: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(str(Bucket.parse(text)) for text in buckets)

    @property
    def shapes(self) -> tuple[Bucket, ...]:
        """The buckets, in order."""
        return tuple(map(Bucket.parse, self.buckets))


class EncodeResources(Settings):
    """What Ray is asked for. Never changes what is encoded, but a GPU computes in bfloat16."""

    actors: int = Field(default=0, ge=0)
    """0: as many as the cluster's GPUs hold, or one per CPU where there is none."""
    actor_cpus: float = Field(default=1.0, gt=0)
    """An actor computes with one thread, its decoder waits meanwhile."""
    actor_gpus: float = Field(default=1.0, gt=0)
    """Where there are GPUs. Less than one puts several actors on each: one decodes while another computes, each holds an autoencoder."""
    attempts: int = Field(default=2, ge=1, le=10)
    """A clip that ended its worker so often is dropped as crashed."""
    media: MediaLimits = MediaLimits()
    """What a video may be. Videos that were curated under wider limits need the same ones here."""
    pin: bool = True
    """On a CPU, hold each actor and its decoder on one core: unpinned threads of several actors get in each other's way."""


@dataclass(frozen=True)
class Crop:
    """A part of the picture, in pixels of the video."""

    left: int
    top: int
    width: int
    height: int

    def of(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """This part of a picture (h, w, 3); no copy."""
        return picture[self.top : self.top + self.height, self.left : self.left + self.width]


def choose_bucket(sample: Sample, buckets: Sequence[Bucket]) -> Bucket:
    """The bucket of nearest aspect ratio among those no longer than the pair; of equals the longest, then the first listed.

    Raises:
        MediaError: TOO_SHORT, every bucket is longer than the pair.
    """
    long_enough = [bucket for bucket in buckets if bucket.frames <= sample.frames]
    if not long_enough:
        least = min(buckets, key=lambda bucket: bucket.frames)
        most = (sample.frames - 1) // STRIDE_T * STRIDE_T + 1
        remedy = f"; add the bucket {least.width}x{least.height}x{most} to train on it" if most > STRIDE_T else ""
        raise MediaError(Reason.TOO_SHORT, f"{sample.frames} frames, the shortest bucket has {least.frames}{remedy}")

    def stretch(bucket: Bucket) -> Fraction:  # exact, so that equals are equal
        ratio = Fraction(sample.width * bucket.height, sample.height * bucket.width)
        return max(ratio, 1 / ratio)

    return min(long_enough, key=lambda bucket: (stretch(bucket), -bucket.frames))


def windows_of(sample: Sample, bucket: Bucket, settings: EncodeSettings) -> list[range]:
    """The frames of each clip of a pair: consecutive, none in two clips, from frame 0."""
    count = min(settings.windows_per_pair, sample.frames // bucket.frames)
    return [range(k * bucket.frames, (k + 1) * bucket.frames) for k in range(count)]


def clips_of(sample: Sample, settings: EncodeSettings) -> int:
    """How many clips a pair gives; a pair that is too short counts as one, which is then dropped with its reason."""
    try:
        return len(windows_of(sample, choose_bucket(sample, settings.shapes), settings))
    except MediaError:
        return 1


def cut_of(sample: Sample, bucket: Bucket, settings: EncodeSettings) -> Crop:
    """The part of the picture that the settings ask for, the same in every frame and in both halves.

    Raises:
        MediaError: NO_FACE, it is to be cut around a face, and the pair's record knows of none.
    """
    if settings.face_share is None:
        return crop_of(sample, bucket, settings.crop)
    if not sample.face:
        detail = f"no face in its record, and encode.face_share = {settings.face_share:g} cuts around it; leave that setting out"
        raise MediaError(Reason.NO_FACE, detail)
    points = [(x * sample.height, y * sample.height) for x, y in sample.face]
    return face_crop(points, (sample.width, sample.height), settings.face_share, (bucket.width, bucket.height))


def face_crop(
    face: Sequence[tuple[float, float]], picture: tuple[int, int], share: float, shape: tuple[int, int] = (1, 1)
) -> Crop:
    """The part around a face in which the face has a share of the width; smaller, in the same shape, where the picture ends.

    As `synclora.embedded.crop.square_of` for one frame. The sides are even, so that the part can be a video by itself.

    Args:
        face: (x, y) of a face's outer points, those of `synclora.motion.signals.FACE_FRAME`, in pixels.
        picture: width and height.
        share: of the face's width.
        shape: width and height that the part is like.
    """
    (left, right), (top, bottom) = ((min(along), max(along)) for along in zip(*face, strict=True))
    wide = (right - left) / OUTER_WIDTH / share
    wide = min(wide, picture[0], picture[1] * shape[0] / shape[1])
    width, height = (max(2, round(side) // 2 * 2) for side in (wide, wide * shape[1] / shape[0]))
    x, y = (left + right) / 2, (top + bottom) / 2
    return _around(x, y, width, height, picture)


def crop_of(sample: Sample, bucket: Bucket, mode: CropMode) -> Crop:
    """The largest part of the picture in the bucket's aspect ratio, around the face or the middle, within the picture."""
    scale = max(bucket.width / sample.width, bucket.height / sample.height)
    width, height = min(sample.width, round(bucket.width / scale)), min(sample.height, round(bucket.height / scale))
    x, y = sample.width / 2, sample.height / 2
    if mode == "face" and sample.face:
        xs, ys = zip(*sample.face, strict=True)
        x, y = (sample.height * (min(along) + max(along)) / 2 for along in (xs, ys))
    return _around(x, y, width, height, (sample.width, sample.height))


def _around(x: float, y: float, width: int, height: int, picture: tuple[int, int]) -> Crop:
    """A part of that size with that middle, moved into the picture."""
    left = min(max(0, round(x - width / 2)), picture[0] - width)
    top = min(max(0, round(y - height / 2)), picture[1] - height)
    return Crop(left, top, width, height)


def read_clip(frames: Frames, window: range, crop: Crop, bucket: Bucket) -> NDArray[np.uint8]:
    """(t, h, w, 3) uint8 RGB: exactly the window's frames of an opened video, cut and brought to the bucket's size.

    Args:
        frames: of the whole video, in full size, none taken yet.
        window: frame numbers, within the video.
        crop: within the picture.
        bucket: as long as the window.

    Raises:
        MediaError: the video is damaged before the window's end.
    """
    pixels_thwc = np.empty((len(window), bucket.height, bucket.width, 3), np.uint8)
    shrinks = crop.width >= bucket.width and crop.height >= bucket.height
    how = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    for place, picture in zip(pixels_thwc, islice(frames, window.start, window.stop), strict=True):
        cv2.resize(crop.of(picture), (bucket.width, bucket.height), dst=place, interpolation=how)
    if len(frames) <= FEW_FRAMES:
        with suppress(MediaError):  # damage behind the window is no matter
            deque(frames, maxlen=0)
    return pixels_thwc
