import numpy as np

from synclora.pairs.puppet.fields import invert, spread
from synclora.pairs.puppet.raster import fill, pixel_grid, polygon


def test_spread_is_exact_at_its_points():
    points = np.asarray([[5, 5], [40, 9], [20, 33], [50, 50]], np.float32)
    values = np.asarray([[1, 0], [0, 2], [3, -1], [0, 0]], np.float32)
    field = spread(points, values, 64, 64, 1)
    for (x, y), value in zip(points.astype(int), values, strict=True):
        assert np.allclose(field[y, x], value, atol=0.05)


def test_invert_undoes_a_smooth_motion():
    grid = pixel_grid(60, 60)
    field = np.stack([3 * np.sin(grid[..., 1] / 12), 2 * np.cos(grid[..., 0] / 10)], axis=-1).astype(np.float32)
    landed = grid + field
    inside = (slice(10, 50), slice(10, 50))
    assert np.abs(invert(field, landed, rounds=6)[inside] - grid[inside]).max() < 0.1


def test_fill_keeps_the_known_and_continues_it():
    picture = np.full((40, 40, 3), 90, np.float32)
    known = np.ones((40, 40), np.float32)
    picture[10:30, 10:30], known[10:30, 10:30] = 0, 0
    assert np.allclose(fill(picture, known), 90, atol=0.5)


def test_polygon_is_soft_at_its_edge_only():
    mask = polygon(np.asarray([[10, 10], [30, 10], [30, 30], [10, 30]], np.float32), 40, 40)
    assert mask[20, 20] > 0.999
    assert mask[2, 2] < 0.001
    assert 0.1 < mask[20, 10] < 0.95
