"""[source ; target]: what is clean, what is noised, and where each token lies."""

import pytest
import torch

from synclora.incontext.layout import first_frame, lay_out, to_latents, to_tokens
from synclora.incontext.positions import Grid

GRID = Grid.of_video(17, 64, 96, 25.0)


def laid(given=(True, False), source=True):
    source_bnc, target_bnc = torch.randn(2, 2, GRID.tokens, 4)
    clean_bn = first_frame(torch.tensor(given), GRID)
    sigma_b = torch.tensor([0.25, 0.75])
    return source_bnc, target_bnc, lay_out(source_bnc if source else None, target_bnc, sigma_b, clean_bn, GRID)


def test_source_first_then_target_on_the_same_coordinates():
    source_bnc, target_bnc, tokens = laid()
    n = GRID.tokens
    assert tokens.source_tokens == n
    assert torch.equal(tokens.x_bsc, torch.cat([source_bnc, target_bnc], 1))
    assert torch.equal(tokens.bounds_basz[:, :, :n], tokens.bounds_basz[:, :, n:])
    assert torch.equal(tokens.bounds_basz[1, :, :n], GRID.bounds_anz())
    assert torch.equal(tokens.target(tokens.x_bsc), target_bnc)


def test_a_noise_level_for_each_token():
    _, _, tokens = laid()
    n, first = GRID.tokens, GRID.frame_tokens
    assert (tokens.sigma_bs[:, :n] == 0).all()
    assert (tokens.sigma_bs[0, n : n + first] == 0).all()  # its edited first frame is given
    assert (tokens.sigma_bs[0, n + first :] == 0.25).all()
    assert (tokens.sigma_bs[1, n:] == 0.75).all()  # this one's is not
    assert tokens.sigma_b.tolist() == [0.25, 0.75]


def test_without_a_source():
    _, target_bnc, tokens = laid(source=False)
    assert tokens.source_tokens == 0
    assert torch.equal(tokens.x_bsc, target_bnc)
    assert tokens.bounds_basz.shape == (2, 3, GRID.tokens, 2)
    assert torch.equal(tokens.target(tokens.x_bsc), target_bnc)


def test_tokens_and_latents_are_each_others_inverse_time_slowest():
    latents = torch.randn(2, 4, GRID.frames, GRID.height, GRID.width)
    tokens = to_tokens(latents)
    assert torch.equal(to_latents(tokens, GRID), latents)
    f, y, x = 2, 1, 2
    assert torch.equal(tokens[:, (f * GRID.height + y) * GRID.width + x], latents[:, :, f, y, x])


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="on a grid of 18 tokens"):
        lay_out(torch.randn(1, 18, 4), torch.randn(1, 17, 4), torch.ones(1), torch.zeros(1, 17, dtype=torch.bool), GRID)
    with pytest.raises(ValueError, match=r"source \(1, 12, 4\)"):
        lay_out(torch.randn(1, 12, 4), torch.randn(1, 18, 4), torch.ones(1), torch.zeros(1, 18, dtype=torch.bool), GRID)
