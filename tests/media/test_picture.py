import av
import numpy as np
import pytest

from synclora.media.picture import Shaper


def shaped(stored: np.ndarray, rotation: int, half: str, side: int | None) -> np.ndarray:
    height, width = stored.shape[:2]
    if rotation % 180:
        height, width = width, height
    shaper = Shaper(width, height, rotation, half, side)
    rows = shaper.rows(av.VideoFrame.from_ndarray(stored, format="rgb24"))
    return np.frombuffer(b"".join(rows), np.uint8).reshape(shaper.height, shaper.width, 3)


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
@pytest.mark.parametrize("half", ["whole", "left", "right"])
def test_turning_and_cutting_move_pixels_and_change_none(rotation, half):
    stored = np.random.default_rng(0).integers(0, 255, (71, 133, 3), np.uint8)
    upright = np.rot90(stored, rotation // 90)
    cut = upright.shape[1] // 2
    expected = {"whole": upright, "left": upright[:, :cut], "right": upright[:, cut : 2 * cut]}[half]
    assert np.array_equal(shaped(stored, rotation, half, 640), expected)


@pytest.mark.parametrize("half", ["whole", "left", "right"])
def test_scaling_keeps_the_shape_and_averages(half):
    ramp = np.broadcast_to(np.linspace(0, 255, 1200)[None, :, None], (800, 1200, 3)).astype(np.uint8)
    got = shaped(ramp, 0, half, 300)
    width = 300 if half == "whole" else 225
    assert got.shape == ((200, 300, 3) if half == "whole" else (300, width, 3))
    part = {"whole": ramp, "left": ramp[:, :600], "right": ramp[:, 600:]}[half]
    expected = part[0, :, 0].reshape(width, -1).mean(axis=1) if part.shape[1] % width == 0 else None
    if expected is not None:
        assert np.abs(got[100, :, 0] - expected).max() < 2
    assert abs(float(got.mean()) - float(part.mean())) < 1
