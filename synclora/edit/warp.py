"""Pictures moved as a whole: through a matrix, filled up where they do not reach, and compared.

A matrix is (2, 3): x' = matrix[:, :2] · x + matrix[:, 2], of pixel centres.
"""

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from synclora.edit.geometry import Size
from synclora.media.decode import Picture

Doubles = NDArray[np.float64]

_SIDE = 48  # of the pictures that are compared: coarse enough that an edit's details and small shifts do not count
_FEATHER = 0.02  # of the shorter side: where the edited picture ends, it fades into the filling


def warped(picture: Picture, matrix: Doubles, size: Size) -> Picture:
    """The picture through a matrix, blurred first where it is made smaller."""
    if np.array_equal(matrix, np.eye(2, 3)):
        return picture
    scale = math.sqrt(abs(float(np.linalg.det(matrix[:, :2]))))
    if scale < 0.75:  # sampling alone would skip pixels: shrink by area first
        shrunk = Size(max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
        ratio = np.array([picture.shape[1] / shrunk.width, picture.shape[0] / shrunk.height])
        picture = np.asarray(cv2.resize(picture, shrunk, interpolation=cv2.INTER_AREA), np.uint8)
        matrix = joined(matrix, np.column_stack([np.diag(ratio), (ratio - 1) / 2]))
    flags: Any = cv2.INTER_CUBIC
    reaches = _covers(matrix, picture, size)
    border = cv2.BORDER_REPLICATE if reaches else cv2.BORDER_CONSTANT
    return np.asarray(cv2.warpAffine(picture, matrix, size, flags=flags, borderMode=border), np.uint8)


def filled(picture: Picture, source: Picture, cover_yx: Doubles) -> Picture:
    """The source where the picture does not reach, in the picture's colours."""
    if cover_yx.min() >= 1:
        return picture
    radius = max(1, round(_FEATHER * min(cover_yx.shape)))
    inside = cv2.erode(
        (cover_yx >= 1).astype(np.uint8), np.ones((3, 3), np.uint8), iterations=radius, borderType=cv2.BORDER_REPLICATE
    )
    weight = cv2.blur(inside.astype(np.float64), (2 * radius + 1,) * 2)[..., None] * (cover_yx >= 1)[..., None]
    step = max(1, round(math.sqrt(cover_yx.size / 65536)))
    both = (inside > 0)[::step, ::step]
    seen = np.column_stack([source[::step, ::step][both].astype(np.float64), np.ones(int(both.sum()))])
    colours, *_rest = np.linalg.lstsq(seen, picture[::step, ::step][both].astype(np.float64), rcond=None)
    filling = np.clip(source.astype(np.float64) @ colours[:3] + colours[3], 0, 255)
    return np.asarray(np.round(weight * picture + (1 - weight) * filling), np.uint8)


def resemblance(picture: Picture, source: Picture, cover_yx: Doubles | None = None) -> float:
    """Correlation of the two pictures' fine structure, -1 to 1; light and colours, which an edit may change, do not count.

    Where the picture does not reach (`cover_yx` < 1), and near there, nothing counts.
    """
    a, b = (_structure(one) for one in (picture, source))
    if cover_yx is not None:
        cover = cv2.resize(cover_yx, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
        inside = cv2.erode((cover > 0.999).astype(np.float64), np.ones((7, 7)))
        a, b = a * inside, b * inside
    return float((a * b).sum() / max(1e-9, math.sqrt(float((a**2).sum() * (b**2).sum()))))


def rotation(turn: float) -> Doubles:
    """(2, 2) of a turn in radians, clockwise where y points down."""
    return np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])


def moved(points_kc: Doubles, matrix: Doubles) -> Doubles:
    """(k, 2) points through a matrix."""
    return np.asarray(points_kc @ matrix[:, :2].T + matrix[:, 2])


def joined(second: Doubles, first: Doubles) -> Doubles:
    """The matrix of `first`, then `second`."""
    return np.asarray(second[:, :2] @ first + np.column_stack([np.zeros((2, 2)), second[:, 2]]))


def _covers(matrix: Doubles, picture: Picture, size: Size) -> bool:
    """Whether the picture reaches every corner, to a pixel: then its edge is drawn out rather than mixed with black."""
    inverse = cv2.invertAffineTransform(matrix)
    corners = np.array([[x, y] for x in (0, size.width - 1) for y in (0, size.height - 1)], np.float64)
    places = moved(corners, np.asarray(inverse, np.float64))
    return bool((places >= -1).all() and (places <= np.array([picture.shape[1], picture.shape[0]])).all())


def _structure(picture: Picture) -> Doubles:
    small = cv2.resize(np.ascontiguousarray(picture), (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.float64)
    local = grey - cv2.GaussianBlur(grey, (0, 0), 3)
    return np.asarray(
        local / np.sqrt(cv2.GaussianBlur(local**2, (0, 0), 3) + 9), np.float64
    )  # 9: levels², sensor noise stays small
