"""The sampler on a flow whose answer is known."""

import itertools

import pytest
import torch

from synclora.incontext.positions import Grid
from synclora.incontext.sampler import SamplerSettings, sample, schedule

GRID = Grid.of_video(17, 64, 64, 25.0)


def test_the_schedule_falls_from_one_to_zero_by_way_of_the_last_level():
    sigmas = schedule(30, 2816, 0.1)
    assert len(sigmas) == 31
    assert sigmas[0] == 1
    assert sigmas[-2] == pytest.approx(0.1)
    assert sigmas[-1] == 0
    assert all(a > b for a, b in itertools.pairwise(sigmas))
    assert schedule(1, 2816, 0.1) == [1.0, 0.0]


@pytest.mark.parametrize("tokens", [48, 1024, 2816])
def test_the_schedule_is_that_of_diffusers_dynamic_shifting(tokens):
    from diffusers import FlowMatchEulerDiscreteScheduler

    from synclora.incontext.flow import shift

    scheduler = FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True, shift_terminal=0.1)
    scheduler.set_timesteps(sigmas=[1 - i / 20 for i in range(20)], mu=shift(tokens))
    torch.testing.assert_close(torch.tensor(schedule(20, tokens, 0.1)), scheduler.sigmas.float(), rtol=1e-5, atol=1e-6)


def test_a_model_that_knows_the_answer_is_followed_to_it():
    answer, source = torch.randn(2, 1, GRID.tokens, 4, generator=torch.Generator().manual_seed(1))
    seen = []

    def velocity(tokens):
        seen.append(tokens)
        sigma = tokens.sigma_bs[..., None].clamp(min=1e-6)
        whole = torch.cat([source, answer], 1)
        return (tokens.x_bsc - whole) / sigma  # the noise that is left, over its level

    first = answer[:, : GRID.frame_tokens]
    edited = sample(velocity, source, first, GRID, SamplerSettings(steps=7))
    torch.testing.assert_close(edited, answer, atol=1e-4, rtol=1e-4)
    assert len(seen) == 7
    for tokens in seen:  # nothing that training keeps clean is ever noised
        assert torch.equal(tokens.x_bsc[:, : GRID.tokens], source)
        assert torch.equal(tokens.target(tokens.x_bsc)[:, : GRID.frame_tokens], first)
        assert (tokens.sigma_bs[:, : GRID.tokens + GRID.frame_tokens] == 0).all()


def test_the_seed_decides():
    source = torch.zeros(1, GRID.tokens, 4)

    def still(tokens):
        return torch.zeros_like(tokens.x_bsc)

    one, again, other = (sample(still, source, None, GRID, SamplerSettings(steps=2, seed=seed)) for seed in (0, 0, 1))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
