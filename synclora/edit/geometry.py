"""Sizes: what the model works at, what comes back, and how a picture gets from one to the other.

    work = working_size(1080, 1920, max_pixels=512 * 512, stride=32)      # Size(384, 672)

The autoencoder takes sides that are multiples of its stride. A picture of another size is scaled, each side by itself, to the size of
nearest aspect ratio: nothing is cut off and nothing is made up at the border, the few percent by which it is stretched are undone on the
way back, and source and edit are treated alike. Padding would spend tokens on what nobody sees, and cutting would lose what the edit must
give back.
"""

import math
from typing import NamedTuple

import cv2
import numpy as np

from synclora.media.decode import Picture

SAME_SHAPE = 0.03
"""Two pictures whose aspect ratios differ by less are of one shape: image editors round a side of 512 or so to multiples of 16."""
_ASPECT_WEIGHT = 4.0
"""One percent of stretch weighs as much as four of area: 512 x 640 becomes 448 x 576 (2.8 % stretch, 98 % of the area), not 384 x 480 (0 %,
70 %)."""


class Size(NamedTuple):
    """Of a picture, in pixels."""

    width: int
    height: int

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"

    @classmethod
    def parse(cls, text: str) -> "Size":
        """Of WIDTHxHEIGHT, as a request gives it."""
        width, height = map(int, text.split("x"))
        return cls(width, height)


def working_size(width: int, height: int, *, max_pixels: int, stride: int, enlarge: bool = False) -> Size:
    """The size that the model works at: both sides multiples of the stride, the area at most `max_pixels`.

    Args:
        width: of the source, in pixels.
        height: of the source.
        max_pixels: the area.
        stride: of the autoencoder; an area of fewer pixels than stride² gives one cell.
        enlarge: a smaller picture is brought up to that area too, as training does with clips.
    """
    target = max_pixels if enlarge else min(max_pixels, width * height)
    best, least = Size(stride, stride), math.inf
    for columns in range(1, max(1, max_pixels // stride**2) + 1):
        for rows in {max(1, math.floor(edge)) for edge in _rows(columns, width, height, max_pixels // stride**2)}:
            area = columns * rows * stride**2
            if area > max(max_pixels, stride**2):
                continue
            stretch = abs(math.log(columns / rows * height / width))
            cost = _ASPECT_WEIGHT * stretch + abs(math.log(area / target))
            if cost < least:
                best, least = Size(columns * stride, rows * stride), cost
    return best


def _rows(columns: int, width: int, height: int, cells: int) -> tuple[float, float, float]:
    """Rows that may suit so many columns: just below and above the aspect ratio, or as many as there is room for."""
    fitting = columns * height / width
    return fitting, fitting + 1, min(cells / columns, fitting + 1)


def output_size(width: int, height: int, asked: str | None) -> Size:
    """The size of the video that comes back: the source's or the one asked for, less the odd last line that 4:2:0 colour cannot store."""
    size = Size.parse(asked) if asked else Size(width, height)
    return Size(size.width // 2 * 2, size.height // 2 * 2)


def resized(picture: Picture, size: Size) -> Picture:
    """A picture at another size; the same array when it has that size already."""
    height, width = picture.shape[:2]
    if (width, height) == size:
        return picture
    shrinks = size.width * size.height < width * height
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC), np.uint8)
