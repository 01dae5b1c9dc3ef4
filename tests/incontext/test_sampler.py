"""The sampler on flows whose answer is known."""

import itertools

import pytest
import torch
from torch import Tensor

from synclora.incontext.layout import Tokens, lay_out
from synclora.incontext.positions import Grid
from synclora.incontext.sampler import DISTILLED, Given, Guidance, Key, Model, SamplerSettings, sample, schedule

GRID = Grid.of_video(17, 64, 64, 25.0)
FIRST = GRID.frame_tokens


def drawn(seed: int, tokens: int = GRID.tokens, batch: int = 1) -> Tensor:
    return torch.randn(batch, tokens, 4, generator=torch.Generator().manual_seed(seed))


def odd(tokens: Tokens) -> Tensor:
    """A velocity in which every token depends on every other one, on its level and on its place."""
    mixed = torch.sin(tokens.x_bsc.cumsum(1) + tokens.x_bsc.flip(1)) + tokens.bounds_basz.sum((1, 3))[..., None] / 500
    return mixed * (1 + tokens.sigma_bs[..., None]) + tokens.x_bsc.mean(1, keepdim=True)


def still(tokens: Tokens) -> Tensor:
    return torch.zeros_like(tokens.x_bsc)


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


def test_the_distilled_levels_are_diffusers_own():
    from diffusers.pipelines.ltx2.utils import DISTILLED_SIGMA_VALUES

    assert list(DISTILLED) == [*DISTILLED_SIGMA_VALUES, 0.0]
    levels = []
    sample(
        Model(lambda tokens: levels.append(float(tokens.sigma_b)) or still(tokens)),
        drawn(0),
        None,
        GRID,
        SamplerSettings(steps=30, schedule="distilled"),
    )
    assert levels == pytest.approx(DISTILLED_SIGMA_VALUES)


def test_a_model_that_knows_the_answer_is_followed_to_it():
    answer, source = drawn(1), drawn(2)
    seen = []

    def velocity(tokens):
        seen.append(tokens)
        sigma = tokens.sigma_bs[..., None].clamp(min=1e-6)
        whole = torch.cat([source, answer], 1)
        return (tokens.x_bsc - whole) / sigma  # the noise that is left, over its level

    first = answer[:, :FIRST]
    edited = sample(Model(velocity), source, Given.start(first, GRID), GRID, SamplerSettings(steps=7))
    torch.testing.assert_close(edited, answer, atol=1e-4, rtol=1e-4)
    assert len(seen) == 7
    for tokens in seen:  # nothing that training keeps clean is ever noised
        assert torch.equal(tokens.x_bsc[:, : GRID.tokens], source)
        assert torch.equal(tokens.target(tokens.x_bsc)[:, :FIRST], first)
        assert (tokens.sigma_bs[:, : GRID.tokens + FIRST] == 0).all()


@pytest.mark.parametrize("given", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_without_guidance_no_bit_differs_from_the_plain_loop(given, dtype):
    source, first = drawn(2, batch=2).to(dtype), drawn(3, FIRST, batch=2).to(dtype)
    settings = SamplerSettings(steps=5, seed=11)
    x_bnc = torch.randn(source.shape, generator=torch.Generator().manual_seed(11))
    clean_bn = torch.zeros(source.shape[:2], dtype=torch.bool)
    if given:
        clean_bn[:, :FIRST] = True
        x_bnc[:, :FIRST] = first.float()
    for now, after in itertools.pairwise(schedule(5, GRID.tokens, 0.1)):
        tokens = lay_out(source, x_bnc.to(dtype), torch.full((2,), now), clean_bn, GRID)
        step_bnc = tokens.target(odd(tokens)).float() * (after - now)
        x_bnc = torch.where(clean_bn[..., None], x_bnc, x_bnc + step_bnc)
    ours = sample(Model(odd, without_text=odd), source, Given.start(first, GRID) if given else None, GRID, settings)
    assert ours.dtype == torch.float32
    assert torch.equal(ours, x_bnc)


def test_the_seed_decides():
    one, again, other = (
        sample(Model(still), torch.zeros(1, GRID.tokens, 4), None, GRID, SamplerSettings(steps=2, seed=seed))
        for seed in (0, 0, 1)
    )
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


def test_any_number_of_latent_frames_can_be_given():
    overlap = drawn(3, 2 * FIRST)
    seen = []
    model = Model(lambda tokens: seen.append(tokens) or odd(tokens))
    edited = sample(model, drawn(2), Given.start(overlap, GRID), GRID, SamplerSettings(steps=3))
    assert torch.equal(edited[:, : 2 * FIRST], overlap)
    for tokens in seen:
        assert torch.equal(tokens.target(tokens.x_bsc)[:, : 2 * FIRST], overlap)
        assert (tokens.target(tokens.sigma_bs) == 0).sum() == 2 * FIRST
    for wrong in (FIRST + 1, 0, 4 * FIRST):
        with pytest.raises(ValueError, match=f"{wrong} given tokens: give whole latent frames of 4 tokens, 3 at most"):
            Given.start(drawn(3, wrong), GRID)


def test_keys_are_clean_tokens_at_their_own_time():
    keys = [Key(9, drawn(5, FIRST)), Key(16, drawn(6, FIRST))]
    seen = []
    model = Model(lambda tokens: seen.append(tokens) or odd(tokens))
    edited = sample(model, drawn(2), Given.start(drawn(3, FIRST), GRID), GRID, SamplerSettings(steps=3), keys=keys)
    assert edited.shape == (1, GRID.tokens, 4)
    for tokens in seen:
        assert tokens.x_bsc.shape[1] == 2 * GRID.tokens + 2 * FIRST
        for number, key in enumerate(keys):
            at = slice(2 * GRID.tokens + number * FIRST, 2 * GRID.tokens + (number + 1) * FIRST)
            assert torch.equal(tokens.x_bsc[:, at], key.x_bnc)
            assert (tokens.sigma_bs[:, at] == 0).all()
            seconds = tokens.bounds_basz[:, 0, at]
            assert torch.equal(seconds, (torch.tensor([key.frame, key.frame + 1.0]) / 25).expand(1, FIRST, 2))
            assert torch.equal(tokens.bounds_basz[:, 1:, at], tokens.bounds_basz[:, 1:, :FIRST])
    without = sample(Model(odd), drawn(2), Given.start(drawn(3, FIRST), GRID), GRID, SamplerSettings(steps=3))
    assert not torch.equal(edited, without)
    for wrong in (Key(17, drawn(5, FIRST)), Key(-1, drawn(5, FIRST)), Key(3, drawn(5, 3))):
        with pytest.raises(ValueError, match=f"at frame {wrong.frame}: expected \\(1, 4, 4\\) at a frame below 17"):
            sample(Model(odd), drawn(2), None, GRID, SamplerSettings(steps=1), keys=[wrong])


class Parts:
    """A velocity that is a sum: of the noise (left as it is), and of a constant for each condition that it sees."""

    def __init__(self) -> None:
        self.calls: list[Tokens] = []

    def of(self, text: float):
        def velocity(tokens: Tokens) -> Tensor:
            self.calls.append(tokens)
            given = tokens.target(tokens.sigma_bs)[:, 0] == 0
            total = text + 100.0 * bool(tokens.source_tokens) + 10.0 * bool(given) + 1000.0 * bool(tokens.key_tokens)
            return torch.full_like(tokens.x_bsc, total)

        return velocity


@pytest.mark.parametrize(
    ("scales", "calls", "expected"),
    [
        ({}, 1, 111.0),
        ({"text": 3.0}, 2, 111 + 2 * 1),
        ({"source": 2.0}, 2, 111 + 100),
        ({"first_frame": 1.5}, 2, 111 + 0.5 * 10),
        ({"first_frame": 0.0}, 2, 101.0),
        ({"text": 3.0, "source": 2.0, "first_frame": 1.5}, 4, 111 + 2 + 100 + 5),
    ],
)
def test_guidance_adds_each_condition_s_part(scales, calls, expected):
    parts = Parts()
    model = Model(parts.of(1.0), without_text=parts.of(0.0))
    settings = SamplerSettings(steps=1, guidance=Guidance(**scales))
    start = sample(Model(still), drawn(2), None, GRID, SamplerSettings(steps=1))
    edited = sample(model, drawn(2), Given.start(drawn(3, FIRST), GRID), GRID, settings)
    assert len(parts.calls) == calls
    torch.testing.assert_close((start - edited)[:, FIRST:], torch.full((1, GRID.tokens - FIRST, 4), float(expected)))
    assert torch.equal(edited[:, :FIRST], drawn(3, FIRST))


def test_guidance_on_pictures_counts_the_keys_and_is_free_without_any():
    parts = Parts()
    settings = SamplerSettings(steps=1, guidance=Guidance(first_frame=2.0))
    start = sample(Model(still), drawn(2), None, GRID, SamplerSettings(steps=1))
    edited = sample(Model(parts.of(0.0)), drawn(2), None, GRID, settings, keys=[Key(9, drawn(5, FIRST))])
    torch.testing.assert_close(start - edited, torch.full((1, GRID.tokens, 4), 100.0 + 1000 + 1000), rtol=1e-5, atol=1e-3)
    parts.calls.clear()
    sample(Model(parts.of(0.0)), drawn(2), None, GRID, settings)
    assert len(parts.calls) == 1


def test_where_nothing_is_given_the_given_frame_is_never_seen():
    """The call without it runs from noise to a frame of its own."""
    first, seen = drawn(3, FIRST), []

    def velocity(tokens):
        if (tokens.sigma_bs[:, GRID.tokens] == 0).all():
            return torch.zeros_like(tokens.x_bsc)
        seen.append(tokens.target(tokens.x_bsc)[:, :FIRST])
        return torch.full_like(tokens.x_bsc, 7.0)

    settings = SamplerSettings(steps=4, guidance=Guidance(first_frame=2.0))
    sample(Model(velocity), drawn(2), Given.start(first, GRID), GRID, settings)
    noise = torch.randn(1, GRID.tokens, 4, generator=torch.Generator().manual_seed(0))[:, :FIRST]
    levels = schedule(4, GRID.tokens, 0.1)
    for frame, level in zip(seen, levels, strict=False):
        torch.testing.assert_close(frame, noise + 7.0 * (level - 1), atol=1e-5, rtol=1e-5)


def test_guidance_on_text_needs_a_velocity_without_it():
    with pytest.raises(ValueError, match=r"guidance\.text = 3\.0"):
        sample(Model(still), drawn(2), None, GRID, SamplerSettings(guidance=Guidance(text=3.0)))


def test_each_step_is_told_and_an_exception_ends_it_at_once():
    told, calls = [], []
    model = Model(lambda tokens: calls.append(1) or still(tokens))
    sample(model, drawn(2), None, GRID, SamplerSettings(steps=3), on_step=lambda *at: told.append(at))
    assert told == [(1, 3), (2, 3), (3, 3)]

    class Stop(Exception):
        pass

    def stop(done, _steps):
        if done == 2:
            raise Stop

    calls.clear()
    with pytest.raises(Stop):
        sample(model, drawn(2), None, GRID, SamplerSettings(steps=9), on_step=stop)
    assert len(calls) == 2
