"""A whole step against a reference in float64 that is written here, from the formulas of the method alone, and what chance decides in it."""

import math
from dataclasses import replace
from functools import cache
from itertools import product

import numpy as np
import pytest
import torch
from diffusers import LTX2VideoTransformer3DModel, LTXVideoTransformer3DModel
from scipy import stats

from synclora.backbone.base import Caption
from synclora.incontext.flow import SigmaSettings, draw_sigma
from synclora.incontext.layout import first_frame
from synclora.incontext.positions import Grid
from synclora.train.batches import seed_of, share
from synclora.train.recipe import ContextSettings
from synclora.train.step import Batch, Draws, draw, step_loss
from tests.train.adapters import KINDS, tiny

FPS = 30000 / 1001
F, H, W, CHANNELS = 3, 2, 3, 16  # latent frames, rows, columns: no two alike but by chance
N, FIRST = F * H * W, H * W
GRID = Grid.of_video(frames=17, height=64, width=96, fps=FPS)
SIGMAS = (0.137, 0.62, 0.985)
SIGMA = SigmaSettings()


@cache
def ours(kind):
    return tiny(kind).stream(torch.float32, "cpu", "shared")


@cache
def captions(kind="ltx-video"):
    """Three of different lengths, and the empty one."""
    texts = ("3d1t", "the same person with a beard, a hat, a red jacket", "a person blinks", "")
    return [tiny(kind).caption(text) for text in texts]


@pytest.fixture(scope="module")
def stream():
    return ours("ltx-video")


@cache
def stock(kind):
    """Diffusers' own transformer with its own attention, in double precision."""
    made = {"ltx-video": LTXVideoTransformer3DModel, "ltx-2": LTX2VideoTransformer3DModel}[kind]
    return made.from_pretrained(tiny(kind).folder / "transformer").double().eval().requires_grad_(False)


def stock_velocity(kind, sequence_sc, timesteps_s, starts_sa, ends_sa, level, caption):
    """(s, c): one call of it, by the names that its `forward` has for what a token is."""
    given = {
        "hidden_states": sequence_sc,
        "encoder_hidden_states": caption.embeds_bld[0].double().numpy(),
        "timestep": timesteps_s,
        "video_coords": starts_sa.T if kind == "ltx-video" else np.stack([starts_sa.T, ends_sa.T], axis=-1),
    }
    given = {name: torch.from_numpy(array)[None] for name, array in given.items()}
    if kind == "ltx-2":  # of its other half, which is told to keep apart, nothing may be heard
        config, generator = stock(kind).config, torch.Generator().manual_seed(4)
        sounds = {
            "audio_hidden_states": config.audio_in_channels,
            "audio_encoder_hidden_states": config.audio_cross_attention_dim,
        }
        given |= {name: torch.randn(1, 5, size, generator=generator).double() for name, size in sounds.items()}
        given |= {"sigma": torch.tensor([1000 * level]), "audio_timestep": torch.tensor([700.0]), "audio_num_frames": 5}
        given |= {"isolate_modalities": True, "use_cross_timestep": True}
    return stock(kind)(**given, encoder_attention_mask=caption.mask_bl, return_dict=False)[0][0].numpy()


def batch_of(dtype=torch.float32, kind="ltx-video"):
    generator = torch.Generator().manual_seed(5)
    source, edited = (torch.randn(3, N, CHANNELS, generator=generator).to(dtype) for _ in range(2))
    *own, empty = (caption.to("cpu", dtype) for caption in captions(kind))
    return Batch(source, edited, Caption.stack(own), empty, GRID)


def draws_of(given, captioned, with_source):
    noise = torch.randn(3, N, CHANNELS, generator=torch.Generator().manual_seed(6))
    return Draws(torch.tensor(SIGMAS), noise, torch.tensor(given), torch.tensor(captioned), with_source)


def reference_loss(batch, draws, sample, kind="ltx-video"):
    """One sample's loss: sections 4 and 5.1 of the method's notes, in float64."""
    x0, source, noise = (t[sample].double().numpy() for t in (batch.edited_bnc, batch.source_bnc, draws.noise_bnc))
    level, given = SIGMAS[sample], int(draws.given_b[sample])
    x, timesteps, starts, ends, noised = [], [], [], [], []
    for f, y, z in product(range(F), range(H), range(W)):
        token, clean = len(x), f < given
        sigma = 0.0 if clean else level
        x.append((1 - sigma) * x0[token] + sigma * noise[token])
        timesteps.append(1000 * sigma)
        starts.append([max(8 * f - 7, 0) / FPS, 32 * y, 32 * z])
        ends.append([(8 * f + 1) / FPS, 32 * y + 32, 32 * z + 32])
        noised.append(not clean)
    tokens = [np.stack(x), np.array(timesteps), np.array(starts), np.array(ends)]
    if draws.with_source:
        tokens = [np.concatenate(both) for both in zip([source, np.zeros(N), *tokens[2:]], tokens, strict=True)]
    caption = captions(kind)[sample if bool(draws.captioned_b[sample]) else 3]
    velocity = stock_velocity(kind, *tokens, level, caption)[-N:]
    mask = np.array(noised, np.float64)
    error = ((velocity - (noise - x0)) ** 2).mean(axis=1)
    return (error * mask).mean() / mask.mean()


CASES = {
    "as at inference": ((True, True, True), (True, True, True), True),
    "no first frame": ((False, False, False), (True, True, True), True),
    "no source": ((True, True, True), (True, True, True), False),
    "no caption": ((True, True, True), (False, False, False), True),
    "more than one frame": ((2, 1, 2), (True, True, True), True),
    "each its own": ((True, False, True), (True, True, False), True),
    "nothing at all": ((False, False, False), (False, False, False), False),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", CASES)
def test_the_loss_is_the_references(kind, case):
    batch, draws = batch_of(kind=kind), draws_of(*CASES[case])
    with torch.no_grad():
        loss_b = step_loss(ours(kind), batch, draws)
    assert loss_b.dtype == torch.float32
    expected = [reference_loss(batch, draws, sample, kind) for sample in range(3)]
    assert loss_b.tolist() == pytest.approx(expected, rel=2e-6)


def test_what_is_weighed_by_the_edit_is_weighed_after_the_call(stream):
    batch, draws = batch_of(), draws_of(*CASES["more than one frame"])
    seen = []

    def through(*args, **kwargs):
        seen.append(stream.transformer(*args, **kwargs))
        return seen[-1]

    with torch.no_grad():
        even, weighed = (step_loss(stream, batch, draws, through, share) for share in (0.0, 0.5))
    assert torch.equal(*(out[0] for out in seen))
    clean_bn = first_frame(draws.given_b, GRID)
    velocity_bnc = seen[0][0][:, -N:]
    error_bn = (velocity_bnc - (draws.noise_bnc - batch.edited_bnc)).square().mean(-1) * ~clean_bn
    apart_bn = (batch.edited_bnc - batch.source_bnc).square().mean(-1) * ~clean_bn
    by_edit_b = (error_bn * apart_bn).sum(1) / apart_bn.sum(1)
    torch.testing.assert_close(weighed, 0.5 * even + 0.5 * by_edit_b)


def test_the_cases_differ_by_far_more_than_the_tolerance(stream):
    with torch.no_grad():
        losses = torch.stack([step_loss(stream, batch_of(), draws_of(*case)) for case in CASES.values()]).double()
    gaps = np.diff(np.sort(losses.numpy(), axis=0), axis=0)
    assert gaps[gaps > 1e-7].min() > 1e-4
    assert (
        len(np.unique(losses[:, 2].numpy().round(6))) == len(CASES) - 1
    )  # "each its own" leaves out the third one's caption only


def test_the_gradient_is_the_references(stream):
    """Of the loss by the source's latents: nothing on the way is cut off from the graph, and nothing is counted twice."""
    draws = draws_of(*CASES["each its own"])
    batch = batch_of()
    source = batch.source_bnc.clone().requires_grad_()
    step_loss(stream, replace(batch, source_bnc=source), draws).mean().backward()
    step, direction = 0.01, source.grad.double() / source.grad.double().norm()

    def along(t):
        moved = replace(batch, source_bnc=batch.source_bnc.double() + t * direction)
        return np.mean([reference_loss(moved, draws, sample) for sample in range(3)])

    slope = (along(step) - along(-step)) / (2 * step)
    assert float(source.grad.norm()) == pytest.approx(slope, rel=1e-4)


def test_in_bfloat16_the_loss_is_close_and_in_float32():
    draws = draws_of(*CASES["each its own"])
    with torch.no_grad():
        rounded = step_loss(tiny().stream(torch.bfloat16, "cpu", "shared"), batch_of(torch.bfloat16), draws)
        exact = step_loss(ours("ltx-video"), batch_of(), draws)
    assert rounded.dtype == torch.float32
    assert rounded.tolist() == pytest.approx(exact.tolist(), rel=0.02)


def test_a_wrapper_is_what_is_called(stream):
    calls = []

    def through(**inputs):
        calls.append(inputs)
        return stream.transformer(**inputs)

    draws = draws_of(*CASES["each its own"])
    with torch.no_grad():
        wrapped, bare = step_loss(stream, batch_of(), draws, through), step_loss(stream, batch_of(), draws)
    assert torch.equal(wrapped, bare)
    assert len(calls) == 1
    assert calls[0]["hidden_states"].shape == (3, 2 * N, CHANNELS)


SMALL = Grid(frames=2, height=1, width=1, fps=25.0)


def shaped(grid=SMALL, channels=2, dtype=torch.float32):
    """A batch as far as draws look at it."""
    tokens = torch.zeros(1, grid.tokens, channels, dtype=dtype)
    caption = Caption(torch.zeros(1, 1, 1), torch.ones(1, 1))
    return Batch(tokens, tokens, caption, caption, grid)


def drawn(places, seed=0, step=0, batch=None, **context):
    return draw(seed, step, places, batch or shaped(), ContextSettings(**context), SIGMA)


HALF = {"first_frame": 0.5, "drop_caption": 0.5, "drop_source": 0.5}


@pytest.mark.parametrize(("world", "micro"), [(1, 1), (1, 4), (2, 2), (4, 3), (6, 2), (12, 1)])
def test_draws_do_not_depend_on_who_computes_them(world, micro):
    for step in range(4):
        whole = drawn(range(12), step=step, **HALF)
        shares = [share(range(12), rank, world) for rank in range(world)]
        parts = [drawn(part[i : i + micro], step=step, **HALF) for part in shares for i in range(0, len(part), micro)]
        for name in ("sigma_b", "noise_bnc", "given_b", "captioned_b"):
            assert torch.equal(torch.cat([getattr(part, name) for part in parts]), getattr(whole, name)), name
        assert {part.with_source for part in parts} == {whole.with_source}


def test_draws_leave_the_random_state_alone():
    torch.manual_seed(1)
    first = drawn(range(2))
    before = torch.random.get_rng_state()
    torch.manual_seed(2)
    assert torch.equal(drawn(range(2)).noise_bnc, first.noise_bnc)
    torch.manual_seed(1)
    drawn(range(2))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_noise_and_levels_are_new_in_each_place_step_and_run():
    grid = Grid(frames=4, height=8, width=8, fps=25.0)
    batch = shaped(grid, channels=16)
    noises, sigmas = [], []
    for seed, step in ((0, 0), (0, 1), (1, 0), (1, 1)):
        draws = drawn(range(3), seed, step, batch)
        noises += [noise.flatten().numpy() for noise in draws.noise_bnc]
        sigmas += draws.sigma_b.tolist()
    assert len(set(sigmas)) == 12
    correlations = np.corrcoef(noises) - np.eye(12)
    assert abs(correlations).max() < 5 / math.sqrt(grid.tokens * 16)
    assert stats.kstest(np.concatenate(noises), "norm").pvalue > 1e-3


def test_how_often_something_is_left_out():
    count = 2000
    slack = 4.5 * math.sqrt(0.25 / count)
    draws = drawn(range(count), first_frame=0.3, drop_caption=0.2)
    assert draws.given_b.double().mean() == pytest.approx(0.3, abs=slack)
    assert draws.captioned_b.double().mean() == pytest.approx(0.8, abs=slack)
    both = np.corrcoef(draws.given_b, draws.captioned_b)[0, 1]
    assert abs(both) < 4.5 / math.sqrt(count)  # one says nothing of the other
    level = np.corrcoef(draws.given_b, draws.sigma_b)[0, 1]
    assert abs(level) < 4.5 / math.sqrt(count)
    sources = [drawn([0], step=step, drop_source=0.3).with_source for step in range(count)]
    assert np.mean(sources) == pytest.approx(0.7, abs=slack)
    by_default = drawn(range(count))
    assert by_default.given_b.all()
    assert by_default.captioned_b.all()
    assert by_default.with_source
    never = drawn(range(count), first_frame=0, drop_caption=1)
    assert not never.given_b.any()
    assert not never.captioned_b.any()


def test_dropping_something_leaves_the_noise_of_a_seed_as_it_was():
    plain, dropped = drawn(range(8)), drawn(range(8), **HALF)
    assert torch.equal(plain.noise_bnc, dropped.noise_bnc)
    assert torch.equal(plain.sigma_b, dropped.sigma_b)
    assert not torch.equal(plain.given_b, dropped.given_b)


@pytest.mark.parametrize("context", [{}, HALF, {**HALF, "given_frames": (0.5, 0.3, 0.2)}])
def test_how_many_frames_are_given_moves_no_other_draw(context):
    """One generator for each sample, in the order of old: chances, level, noise."""
    draws, batch = drawn(range(6), step=3, **context), shaped()
    settings = ContextSettings(**context)
    for place in range(6):
        generator = torch.Generator().manual_seed(seed_of("sample", 0, 3, place))
        given, captioned = torch.rand(2, generator=generator)
        assert torch.equal(draws.sigma_b[place], draw_sigma(1, batch.grid.tokens, SIGMA, generator).float()[0])
        assert torch.equal(draws.noise_bnc[place], torch.randn(batch.edited_bnc.shape[1:], generator=generator))
        assert bool(draws.given_b[place]) == bool(given < settings.first_frame)
        assert bool(draws.captioned_b[place]) == bool(captioned >= settings.drop_caption)
    if "given_frames" not in context:
        assert set(draws.given_b.tolist()) <= {0, 1}


def test_how_many_frames_are_given():
    count, grid = 2000, Grid(frames=5, height=1, width=1, fps=25.0)
    given = drawn(range(count), batch=shaped(grid, channels=1), given_frames=(0.7, 0.1, 0.2)).given_b
    shares = [float((given == frames).double().mean()) for frames in range(5)]
    assert shares == pytest.approx([0, 0.7, 0.1, 0.2, 0], abs=4.5 * math.sqrt(0.25 / count))
    short = drawn(range(50), batch=shaped(Grid(frames=2, height=1, width=1, fps=25.0), channels=1), given_frames=(0.2, 0.2, 0.6))
    assert set(short.given_b.tolist()) == {1}  # there is always a frame to make
    rarely = drawn(range(count), batch=shaped(grid, channels=1), given_frames=(0.5, 0.5), first_frame=0.2).given_b
    assert float((rarely > 0).double().mean()) == pytest.approx(0.2, abs=0.05)


@pytest.mark.parametrize("frames", [8, 16])
def test_levels_follow_the_number_of_target_tokens(frames):
    """Of one stream: the source's tokens do not shift it."""
    grid = Grid(frames=frames, height=12, width=12, fps=25.0)
    settings = SigmaSettings(kind="shifted")
    sigma = draw(0, 0, range(1500), shaped(grid, channels=1), ContextSettings(), settings).sigma_b.double()
    mean = 0.95 + 1.1 * (frames * 144 - 1024) / 3072
    assert float(torch.logit(sigma).mean()) == pytest.approx(mean, abs=4.5 / math.sqrt(1500))
    assert float(torch.logit(sigma).std()) == pytest.approx(1, abs=0.1)


def test_draws_are_in_float32_on_a_batch_of_any_precision():
    draws = drawn(range(3), batch=shaped(dtype=torch.bfloat16))
    assert (draws.sigma_b.dtype, draws.noise_bnc.dtype) == (torch.float32, torch.float32)
    assert draws.sigma_b.shape == draws.given_b.shape == draws.captioned_b.shape == (3,)
    assert torch.equal(draws.noise_bnc, drawn(range(3)).noise_bnc)
