"""The optimizer's side: AdamW as it is written in the paper, the same under every strategy, and a state from which one goes on exactly."""

import copy
import json
import subprocess
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from synclora.train import checkpoint
from synclora.train.recipe import OptimizerSettings, ParallelSettings
from synclora.train.strategy import OptimizerState, Plain, Worker, start, zero_config
from tests.train.conftest import trace
from tests.train.zero_runs import HALF, MOVES, RUNS, STEPS

RATES = (0.02, 0.01, 0.03, 0.005, 0.02, 0.01)
SETTINGS = OptimizerSettings(lr=0.5, betas=(0.8, 0.95), weight_decay=0.1, clip=0.3)


def toy(dtype=torch.float32):
    """A frozen layer between two that train, as far as an optimizer can tell a transformer with its adapter."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 2)).to(dtype)
    model[2].requires_grad_(False)
    return model


def trained(model):
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def data(step, dtype=torch.float32):
    generator = torch.Generator().manual_seed(100 + step)
    return torch.randn(8, 5, generator=generator).to(dtype), 3 * torch.randn(8, 2, generator=generator).to(dtype)


def plain(model, micros=1, settings=SETTINGS):
    return start(model, trained(model), settings, ParallelSettings(strategy="ddp"), micros, Worker(), bf16=False)


def take(strategy, steps, micros=1):
    """Steps of one strategy on parts of equal size; their gradients' norms."""
    norms = []
    for step in steps:
        x, y = data(step)
        parts = list(zip(x.chunk(micros), y.chunk(micros), strict=True))
        for i, (some, wanted) in enumerate(parts):
            last = i == micros - 1
            with strategy.computing(last=last):
                loss = (strategy.through(some) - wanted).square().mean()
            strategy.backward(loss, last=last)
        norms.append(strategy.step(RATES[step]))
    return norms


def by_hand(steps):
    """Decoupled weight decay and bias-corrected moments, in float64, on the gradient cut to its norm."""
    model = toy(torch.float64)
    weights = trained(model)
    (b1, b2), moments, norms = SETTINGS.betas, {name: [0.0, 0.0] for name in weights}, []
    for step in steps:
        x, y = data(step, torch.float64)
        gradients = torch.autograd.grad((model(x) - y).square().mean(), list(weights.values()))
        norm = float(torch.cat([gradient.flatten() for gradient in gradients]).norm())
        norms.append(norm)
        for (name, weight), gradient in zip(weights.items(), gradients, strict=True):
            cut, t = gradient * min(1.0, SETTINGS.clip / norm), step + 1
            first, second = (b * m + (1 - b) * g for b, m, g in zip((b1, b2), moments[name], (cut, cut**2), strict=True))
            moments[name] = [first, second]
            with torch.no_grad():
                weight *= 1 - RATES[step] * SETTINGS.weight_decay
                weight -= RATES[step] * (first / (1 - b1**t)) / ((second / (1 - b2**t)).sqrt() + 1e-8)
    return weights, moments, norms


def test_plain_is_adamw():
    model = toy()
    frozen = model[2].weight.clone()
    strategy = plain(model)
    norms = take(strategy, range(6))
    weights, moments, expected = by_hand(range(6))
    assert norms == pytest.approx(expected, rel=1e-5)
    assert min(norms) > SETTINGS.clip  # else nothing was cut
    state = strategy.state()
    assert state.steps == 6
    for name, weight in weights.items():
        first, second = moments[name]
        np.testing.assert_allclose(state.weights[name], weight.detach(), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(state.mean[name], first, rtol=1e-4, atol=1e-7)
        np.testing.assert_allclose(state.square[name], second, rtol=1e-4, atol=1e-9)
    assert torch.equal(model[2].weight, frozen)


def test_a_small_gradient_is_not_cut():
    settings = SETTINGS.model_copy(update={"clip": 1e6})
    one, other = plain(toy()), plain(toy(), settings=settings)
    assert take(one, [0]) == take(other, [0])
    assert not torch.equal(one.state().mean["0.weight"], other.state().mean["0.weight"])


@pytest.mark.parametrize("micros", [2, 4, 8])
def test_accumulating_is_one_large_batch(micros):
    whole, parts = plain(toy()), plain(toy(), micros)
    assert take(parts, range(6), micros) == pytest.approx(take(whole, range(6)), rel=1e-5)
    for name, weight in whole.state().weights.items():
        torch.testing.assert_close(parts.state().weights[name], weight, rtol=1e-4, atol=1e-6)


def test_a_restored_run_goes_on_exactly():
    whole = plain(toy())
    norms = take(whole, range(6))
    first = plain(toy())
    take(first, range(3))
    state = first.state()
    model = toy()
    with torch.no_grad():
        for name, parameter in trained(model).items():
            parameter.copy_(state.weights[name])
    again = plain(model)
    again.restore(state)
    assert take(again, range(3, 6)) == norms[3:]
    same(again.state(), whole.state())
    assert state.steps == 3  # what was restored from is not what is trained on


def same(one, other):
    assert one.steps == other.steps
    for name in ("weights", "mean", "square"):
        mine, theirs = getattr(one, name), getattr(other, name)
        assert list(mine) == list(theirs)
        assert all(torch.equal(mine[key], theirs[key]) for key in theirs), name


def test_a_state_is_a_copy():
    strategy = plain(toy())
    take(strategy, [0])
    state = strategy.state()
    before = copy.deepcopy(state)
    take(strategy, [1, 2])
    same(state, before)
    again = plain(toy())
    again.restore(state)
    take(again, [1])
    same(state, before)


def test_a_state_before_the_first_step():
    model = toy()
    state = plain(model).state()
    assert state.steps == 0
    for name, parameter in trained(model).items():
        assert torch.equal(state.weights[name], parameter)
        for moment in (state.mean[name], state.square[name]):
            assert moment.shape == parameter.shape
            assert not moment.any()
    again = plain(toy())
    again.restore(state)
    assert take(again, range(3)) == take(plain(toy()), range(3))


def test_in_bf16_products_are_rounded_and_weights_are_not():
    model = toy()
    strategy = Plain(model, trained(model), SETTINGS, 1, Worker(), bf16=True)
    x, _ = data(0)
    with strategy.computing(last=True):
        assert strategy.through(x).dtype == torch.bfloat16
    assert strategy.through(x).dtype == torch.float32
    take(strategy, range(2))
    assert all(weight.dtype == torch.float32 for weight in trained(model).values())


BASE = {"train_micro_batch_size_per_gpu": 2, "gradient_accumulation_steps": 3, "gradient_clipping": 0.7}


def configured(micros=3, bf16=False, **settings):
    return zero_config(ParallelSettings(micro_batch=2, **settings), 0.7, micros, bf16=bf16)


@pytest.mark.parametrize("stage", [1, 2, 3])
def test_deepspeed_is_told_the_recipes_words(stage):
    config = configured(strategy=f"zero{stage}")
    assert BASE.items() <= config.items()
    assert config["zero_optimization"]["stage"] == stage
    assert not any(name.startswith("offload") for name in config["zero_optimization"])
    assert config["bf16"] == {"enabled": False}
    assert configured(strategy="zero1", bf16=True)["bf16"] == {"enabled": True}
    assert ("stage3_param_persistence_threshold" in config["zero_optimization"]) == (stage == 3)
    assert json.loads(json.dumps(config)) == config


def test_deepspeed_cuts_an_adapters_small_weights_too():
    assert configured(strategy="zero3")["zero_optimization"]["stage3_param_persistence_threshold"] == 0


@pytest.mark.parametrize(
    ("strategy", "offload", "moved"),
    [
        ("zero1", "optimizer", {"offload_optimizer"}),
        ("zero2", "optimizer", {"offload_optimizer"}),
        ("zero3", "optimizer", {"offload_optimizer"}),
        ("zero3", "all", {"offload_optimizer", "offload_param"}),
    ],
)
def test_what_is_offloaded(strategy, offload, moved):
    zero = configured(strategy=strategy, offload=offload)["zero_optimization"]
    assert {name for name in zero if name.startswith("offload")} == moved
    assert {zero[name]["device"] for name in moved} == {"cpu"}


@pytest.fixture(scope="module")
def runs(prepared, tmp_path_factory) -> Path:
    """The folder of all runs of `zero_runs.py`."""
    folder = tmp_path_factory.mktemp("zero")
    words = [sys.executable, "-m", "tests.train.zero_runs", prepared.out.parent, folder]
    done = subprocess.run(words, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


ZERO = [name for name in RUNS if name.startswith("zero")]
IN_FLOAT32 = [name for name in ZERO if "bf16" not in name]


def last_state(out) -> OptimizerState:
    found = checkpoint.newest_or_refuse(out / "checkpoints")
    assert found.step == STEPS
    return found.load()


def alike(out, other, rel=1e-6):
    """Losses, norms and the last state of two runs."""
    mine, theirs = trace(out), trace(other)
    assert [step["step"] for step in mine] == list(range(1, STEPS + 1))
    for name, step in product(("loss", "grad_norm"), range(STEPS)):
        assert mine[step][name] == pytest.approx(theirs[step][name], rel=rel), (name, step)
    assert [step["sigmas"] for step in mine] == [step["sigmas"] for step in theirs]
    state, wanted = last_state(out), last_state(other)
    for kind in ("weights", "mean", "square"):
        for name, expected in getattr(wanted, kind).items():
            found = getattr(state, kind)[name]
            assert float((found - expected).norm()) <= 50 * rel * float(expected.norm()), (kind, name)


@pytest.mark.slow
@pytest.mark.parametrize("name", IN_FLOAT32)
def test_zero_computes_what_plain_does(runs, name):
    alike(runs / name, runs / "ddp")


@pytest.mark.slow
@pytest.mark.parametrize("name", ZERO)
def test_zero_goes_on_exactly(runs, name):
    assert trace(runs / f"{name}-again") == trace(runs / name)
    same(last_state(runs / f"{name}-again"), last_state(runs / name))


@pytest.mark.slow
@pytest.mark.parametrize(("one", "other"), MOVES)
def test_a_run_goes_on_under_another_strategy(runs, one, other):
    out = runs / f"{one}-to-{other}"
    assert trace(out)[:HALF] == trace(runs / one)[:HALF]
    alike(out, runs / "ddp")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["zero1-bf16", "zero3-bf16"])
def test_zero_in_bf16_stays_close(runs, name):
    for one, two in zip(trace(runs / name), trace(runs / "ddp"), strict=True):
        assert one["loss"] == pytest.approx(two["loss"], rel=0.005)
        assert one["loss"] != two["loss"]
        assert one["grad_norm"] == pytest.approx(two["grad_norm"], rel=0.05)


@pytest.mark.slow
def test_zero_in_bf16_learns(runs):
    losses = [step["loss"] for step in trace(runs / "learns")]
    assert len(losses) == 16
    assert np.isfinite(losses).all()
    assert np.mean(losses[-5:]) < 0.75 * np.mean(losses[:5])
