"""Small tools on pictures and soft masks, typed; pictures are uint8 or float32 (height, width, channels), masks float32 0..1.

Points and displacements are pixels, x first.
"""

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
Picture = npt.NDArray[np.uint8]

_NO_SECOND_MAP: Any = None


def floats(values: Any) -> Array:
    """As float32."""
    return np.asarray(values, dtype=np.float32)


def to_bytes(picture: Any) -> Picture:
    """Rounded to 0..255."""
    return np.asarray(np.clip(np.asarray(picture) + np.float32(0.5), 0, 255), dtype=np.uint8)


def pixel_grid(height: int, width: int, step: int = 1) -> Array:
    """The pixel coordinates at the centres of a grid of `step`×`step` cells: what `cv2.resize` calls the same place."""
    ys, xs = np.mgrid[0 : height // step, 0 : width // step].astype(np.float32)
    return floats(np.stack([(xs + 0.5) * step - 0.5, (ys + 0.5) * step - 0.5], axis=-1))


def smoothstep(values: Any) -> Array:
    """0 below 0, 1 above 1, and an S between them."""
    t = np.clip(values, 0, 1)
    return floats(t * t * (3 - 2 * t))


def sample(picture: Any, at: Array, border: int = cv2.BORDER_REPLICATE, *, smooth: bool = True) -> Any:
    """The picture read at places (h, w, 2), bicubic or, for fields, bilinear."""
    return cv2.remap(picture, at, _NO_SECOND_MAP, cv2.INTER_CUBIC if smooth else cv2.INTER_LINEAR, borderMode=border)


def resized(picture: Any, width: int, height: int, method: int = cv2.INTER_LINEAR) -> Array:
    """Scaled, as float32 with the channels kept."""
    scaled = cv2.resize(picture, (width, height), interpolation=method)
    return floats(scaled).reshape((height, width, *picture.shape[2:]))


def blur(mask: Any, sigma: float) -> Array:
    """Softened by a Gaussian of `sigma` pixels."""
    return floats(cv2.GaussianBlur(floats(mask), (0, 0), sigma))


def grown(mask: Any, width: int, height: int) -> Array:
    """A mask grown by an ellipse of so many pixels across."""
    return floats(cv2.dilate(floats(mask), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, height))))


def polygon(points: Array, height: int, width: int, soften: float = 0.6) -> Array:
    """The inside of a polygon as a soft mask."""
    mask: Picture = np.zeros((height, width), np.uint8)
    cv2.fillPoly(mask, [_sixteenths(points)], (255,), cv2.LINE_AA, 4)
    result = mask.astype(np.float32) / 255
    return blur(result, soften) if soften > 0 else result


def stroke(mask: Picture, points: Array, thickness: int, *, closed: bool = False) -> None:
    """Draw a smooth line through points of the mask."""
    cv2.polylines(mask, [_sixteenths(points)], closed, (255,), thickness, cv2.LINE_AA, 4)


def _sixteenths(points: Array) -> npt.NDArray[np.int32]:
    return np.asarray(np.round(points * 16), dtype=np.int32)  # cv2 takes 4 fractional bits


def fill(picture: Array, known: Array) -> Array:
    """Replace what is not known by a smooth continuation of what is.

    Args:
        picture: (h, w, c) float32.
        known: (h, w) in 0..1; 0 marks the hole.
    """
    weighted, weight = floats(picture * known[..., None]), known
    levels: list[tuple[Array, Array]] = [(weighted, weight)]
    while min(weight.shape) > 2:
        weight = floats(cv2.pyrDown(weight))
        weighted = floats(cv2.pyrDown(weighted)).reshape((*weight.shape, -1))
        levels.append((weighted, weight))
    guess = np.zeros((1, 1, picture.shape[2]), np.float32)
    for weighted, weight in reversed(levels):
        guess = resized(guess, weight.shape[1], weight.shape[0])
        trust = np.clip(weight * 4, 0, 1)[..., None]  # a cell a quarter full is trusted: its mean is of real pixels
        guess = floats(guess * (1 - trust) + trust * weighted / np.maximum(weight, 1e-6)[..., None])
    return floats(guess * (1 - known[..., None]) + picture * known[..., None])
