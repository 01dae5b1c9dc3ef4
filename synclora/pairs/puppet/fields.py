"""Smooth displacement fields: from sparse control points, and back.

Points and displacements are pixels, x first. A field is a float32 array (height, width, 2).
"""

import numpy as np

from synclora.pairs.puppet.raster import Array, floats, pixel_grid, sample, smoothstep


def spread(points: Array, values: Array, height: int, width: int, step: int) -> Array:
    """Values (n, c) given at points (n, 2), on a grid of `step` pixels: exact at the points, as straight as possible between."""
    from scipy.interpolate import RBFInterpolator  # a third of a second that most processes need not spend

    _, first = np.unique(np.round(points, 2), axis=0, return_index=True)
    grid = pixel_grid(height, width, step)
    spline = RBFInterpolator(points[first].astype(np.float64), values[first].astype(np.float64), kernel="linear")
    return floats(spline(grid.reshape(-1, 2))).reshape((*grid.shape[:2], -1))


def fade_border(height: int, width: int, margin: float) -> Array:
    """A window (height, width) that is 1 inside and falls to 0 at the border over `margin` pixels."""
    ys = np.minimum(np.arange(height), np.arange(height)[::-1]).astype(np.float32)
    xs = np.minimum(np.arange(width), np.arange(width)[::-1]).astype(np.float32)
    return smoothstep(ys / margin)[:, None] * smoothstep(xs / margin)[None, :]


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
        came = target - floats(sample(field, (came - offset) / np.float32(step), smooth=False))
    return came.reshape(shape)
