"""Smooth fields over a picture: displacement from sparse control points, its inversion, and filling of holes.

Points and displacements are pixels, x first. A field is a float32 array (height, width, 2).
"""

import cv2
import numpy as np
import numpy.typing as npt
from scipy.interpolate import RBFInterpolator

Array = npt.NDArray[np.float32]
Picture = npt.NDArray[np.uint8]


def pixel_grid(height: int, width: int, step: int = 1) -> Array:
    """The pixel coordinates at the centres of a grid of `step`×`step` cells: what `cv2.resize` calls the same place."""
    ys, xs = np.mgrid[0 : height // step, 0 : width // step].astype(np.float32)
    return np.stack([(xs + 0.5) * step - 0.5, (ys + 0.5) * step - 0.5], axis=-1).astype(np.float32)


def spread(points: Array, values: Array, height: int, width: int, step: int = 4) -> Array:
    """Interpolate `values` (n, c) given at `points` (n, 2) over a picture: exact there, as straight as possible between."""
    _, first = np.unique(np.round(points, 2), axis=0, return_index=True)
    shape = (-(-height // step), -(-width // step))
    grid = pixel_grid(shape[0] * step, shape[1] * step, step)
    spline = RBFInterpolator(points[first].astype(np.float64), values[first].astype(np.float64), kernel="linear")
    coarse = spline(grid.reshape(-1, 2)).reshape(*shape, -1).astype(np.float32)
    full = cv2.resize(coarse, (shape[1] * step, shape[0] * step), interpolation=cv2.INTER_LINEAR)
    return np.ascontiguousarray(full.reshape(shape[0] * step, shape[1] * step, -1)[:height, :width])


def smoothstep(values: Array) -> Array:
    """0 below 0, 1 above 1, and an S between them."""
    t = np.clip(values, 0, 1)
    return (t * t * (3 - 2 * t)).astype(np.float32)


def fade_border(height: int, width: int, margin: float) -> Array:
    """A window (height, width) that is 1 inside and falls to 0 at the border over `margin` pixels."""
    ys = np.minimum(np.arange(height), np.arange(height)[::-1]).astype(np.float32)
    xs = np.minimum(np.arange(width), np.arange(width)[::-1]).astype(np.float32)
    return (smoothstep(ys / margin)[:, None] * smoothstep(xs / margin)[None, :]).astype(np.float32)


def invert(field: Array, places: Array, origin: tuple[float, float] = (0.0, 0.0), step: int = 1, rounds: int = 4) -> Array:
    """Where the points that land on `places` come from, when each point p moves to p + field(p).

    Solves p = place - field(p) by repetition, which converges while neighbours do not overtake each other.

    Args:
        field: (h, w, 2), its cell (0, 0) centred as in `pixel_grid` with `step`.
        places: (…, 2) pixel coordinates.
        origin: the picture coordinates of the field's first pixel.
        step: pixels per cell of the field.
        rounds: repetitions; four leave less than a tenth of a pixel at the strongest turns used here.
    """
    shape = places.shape
    target = places.reshape(shape[0], -1, 2)
    came = target
    offset = np.asarray([origin[0] + (step - 1) / 2, origin[1] + (step - 1) / 2], dtype=np.float32)
    for _ in range(rounds):
        at = ((came - offset) / step).astype(np.float32)
        came = target - cv2.remap(field, at, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return came.reshape(shape)


def fill(picture: Array, known: Array) -> Array:
    """Replace what is not known by a smooth continuation of what is.

    Args:
        picture: (h, w, c) float32.
        known: (h, w) in 0..1; 0 marks the hole.
    """
    weighted, weight = picture * known[..., None], known
    levels: list[tuple[Array, Array]] = [(weighted, weight)]
    while min(weight.shape) > 2:
        weighted = cv2.pyrDown(weighted).reshape(-(-weighted.shape[0] // 2), -(-weighted.shape[1] // 2), -1)
        weight = cv2.pyrDown(weight)
        levels.append((weighted, weight))
    guess: Array = np.zeros((1, 1, picture.shape[2]), np.float32)
    for weighted, weight in reversed(levels):
        guess = cv2.resize(guess, weight.shape[::-1], interpolation=cv2.INTER_LINEAR).reshape(weighted.shape)
        trust = np.clip(weight * 4, 0, 1)[..., None]  # a cell a quarter full is trusted: its mean is of real pixels
        guess = guess * (1 - trust) + trust * weighted / np.maximum(weight, 1e-6)[..., None]
    result: Array = (guess * (1 - known[..., None]) + picture * known[..., None]).astype(np.float32)
    return result


def polygon(points: Array, height: int, width: int, soften: float = 0.6) -> Array:
    """The inside of a polygon as a soft mask (height, width) in 0..1."""
    mask: Picture = np.zeros((height, width), np.uint8)
    fixed = np.round(points * 16).astype(np.int32)  # 4 fractional bits
    cv2.fillPoly(mask, [fixed], 255, lineType=cv2.LINE_AA, shift=4)
    result = mask.astype(np.float32) / 255
    if soften > 0:
        result = cv2.GaussianBlur(result, (0, 0), soften)
    return result
