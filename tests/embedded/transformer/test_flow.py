"""Given frames are clean and never in the loss; each clip is in its own time."""

import dataclasses

import pytest
import torch

from synclora.backbone.ltx_video import LTXVideoStream
from synclora.embedded.transformer.flow import Samples, draw, given_frames, lay_out_each, loss_of
from synclora.embedded.transformer.settings import GivenSettings
from synclora.embedded.transformer.training import build, caption_of
from synclora.errors import SyncLoraError
from synclora.incontext.flow import add_noise
from synclora.incontext.positions import Grid
from tests.embedded.conftest import TINY_TRANSFORMER

pytestmark = pytest.mark.usefixtures("one_thread")


def samples_of(*fps):
    random = torch.Generator().manual_seed(0)
    grids = tuple(Grid(5, 3, 3, one, 4, 16) for one in fps)
    return Samples(torch.randn(len(fps), 45, 12, generator=random), torch.rand(len(fps), 45, generator=random) + 0.5, grids)


def frames_given(settings, count=400):
    grid = Grid(5, 2, 2, 25.0, 4, 16)
    draws = [given_frames(grid, settings, torch.Generator().manual_seed(seed)).view(5, 4) for seed in range(count)]
    assert all(bool((one == one[:, :1]).all()) for one in draws)  # whole frames
    return torch.stack([one[:, 0] for one in draws])


def test_the_first_frames_are_given_in_their_shares():
    given = frames_given(GivenSettings(first=(0.5, 0.25, 0.25), scattered=0))
    counts = given.sum(1)
    assert all(given[i, : counts[i]].all() for i in range(len(given)))
    assert [float((counts == n).float().mean()) for n in (1, 2, 3)] == pytest.approx([0.5, 0.25, 0.25], abs=0.07)


def test_scattered_frames_hold_the_first_and_leave_something():
    given = frames_given(GivenSettings(scattered=1))
    assert given[:, 0].all()
    assert not given.all(1).any()
    assert len({tuple(one.tolist()) for one in given}) == 15


def test_given_tokens_are_clean_and_not_in_the_loss():
    samples = samples_of(25.0, 16.0)
    draws = draw(0, 7, samples, TINY_TRANSFORMER)
    clean = draws.clean_bn
    x = add_noise(samples.x0_bnc, draws.noise_bnc, draws.sigma_b, clean)
    tokens = lay_out_each(x, draws.sigma_b, clean, samples.grids)
    assert torch.equal(tokens.x_bsc[clean], samples.x0_bnc[clean])
    assert bool((tokens.sigma_bs[clean] == 0).all())
    assert bool((tokens.sigma_bs[~clean] > 0).all())

    stream = LTXVideoStream(build(TINY_TRANSFORMER.model, 12, 0), "shared")
    caption = caption_of(TINY_TRANSFORMER)
    loss = loss_of(stream, samples, draws, caption)
    noise = torch.where(clean[..., None], 100.0, draws.noise_bnc)
    heavy = dataclasses.replace(samples, weight_bn=torch.where(clean, 100.0, samples.weight_bn))
    torch.testing.assert_close(loss_of(stream, heavy, dataclasses.replace(draws, noise_bnc=noise), caption), loss)
    noise = torch.where(clean[..., None], draws.noise_bnc, 100.0)
    assert bool((loss_of(stream, samples, dataclasses.replace(draws, noise_bnc=noise), caption) > 10 * loss).all())


def test_a_token_counts_what_it_weighs():
    samples = samples_of(25.0)
    draws = draw(0, 0, samples, TINY_TRANSFORMER)
    stream = LTXVideoStream(build(TINY_TRANSFORMER.model, 12, 0), "shared")
    caption, one = caption_of(TINY_TRANSFORMER), torch.zeros(1, 45)
    losses = []
    for token in (40, 44):
        weight = one.clone()
        weight[0, token] = 1
        losses.append(loss_of(stream, dataclasses.replace(samples, weight_bn=weight), draws, caption))
    both = one.clone()
    both[0, [40, 44]] = torch.tensor([3.0, 1.0])
    torch.testing.assert_close(
        loss_of(stream, dataclasses.replace(samples, weight_bn=both), draws, caption), (3 * losses[0] + losses[1]) / 4
    )


def test_clips_are_laid_out_in_their_own_seconds():
    samples = samples_of(25.0, 12.5)
    draws = draw(0, 0, samples, TINY_TRANSFORMER)
    bounds = lay_out_each(samples.x0_bnc, draws.sigma_b, draws.clean_bn, samples.grids).bounds_basz
    torch.testing.assert_close(bounds[1, 0], 2 * bounds[0, 0])
    torch.testing.assert_close(bounds[1, 1:], bounds[0, 1:])


def test_draws_are_a_function_of_seed_step_and_place():
    samples = samples_of(25.0, 16.0)
    one, again, other = (draw(0, step, samples, TINY_TRANSFORMER) for step in (3, 3, 4))
    for field in ("sigma_b", "noise_bnc", "clean_bn"):
        assert torch.equal(getattr(one, field), getattr(again, field))
    assert not torch.equal(one.noise_bnc, other.noise_bnc)
    assert not torch.equal(one.noise_bnc[0], one.noise_bnc[1])


def test_more_given_frames_than_there_are_is_one_line():
    with pytest.raises(SyncLoraError, match="leave nothing"):
        type(TINY_TRANSFORMER).from_values({"frames": 9, "given": {"first": [1, 1, 1]}}, "x")
