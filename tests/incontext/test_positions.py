"""One rule for where a cell lies, in seconds."""

import numpy as np
import pytest
import torch

from synclora.incontext.positions import Grid


def test_a_clip_of_81_frames_at_512_pixels_has_2816_cells():
    grid = Grid.of_video(81, 512, 512, 25.0)
    assert (grid.frames, grid.height, grid.width, grid.tokens, grid.frame_tokens) == (11, 16, 16, 2816, 256)
    assert grid.video_frames == 81


@pytest.mark.parametrize("fps", [14.7, 16.0, 25.0, 30000 / 1001])
def test_every_cell_against_the_frames_that_it_holds(fps):
    grid = Grid.of_video(33, 96, 64, fps)
    bounds = grid.bounds_anz().double().numpy()
    cell = 0
    for f in range(grid.frames):
        held = [0] if f == 0 else list(range(8 * f - 7, 8 * f + 1))  # a causal autoencoder: one frame, then eight at a time
        for y in range(grid.height):
            for x in range(grid.width):
                wanted = [[held[0] / fps, (held[-1] + 1) / fps], [32 * y, 32 * y + 32], [32 * x, 32 * x + 32]]
                np.testing.assert_allclose(bounds[:, cell], wanted, rtol=1e-6)
                cell += 1
    assert cell == grid.tokens


def test_the_same_frames_at_another_rate_are_another_motion():
    slow, fast = (Grid.of_video(17, 64, 64, fps).bounds_anz() for fps in (12.5, 25.0))
    torch.testing.assert_close(slow[0], 2 * fast[0])
    torch.testing.assert_close(slow[1:], fast[1:])


@pytest.mark.parametrize(("frames", "height", "width"), [(80, 512, 512), (81, 500, 512), (81, 512, 40), (0, 32, 32), (9, 0, 32)])
def test_what_no_autoencoder_takes_is_refused(frames, height, width):
    with pytest.raises(ValueError, match=f"{width}x{height}, {frames} frames: sides must be multiples of 32 and frames 8k \\+ 1"):
        Grid.of_video(frames, height, width, 25.0)


def test_a_rate_must_be_given():
    with pytest.raises(ValueError, match="fps = 0"):
        Grid.of_video(9, 32, 32, 0)
