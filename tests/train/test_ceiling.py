"""The ceiling is the transformer's own work: the right calls, the fastest of them, and nothing left behind."""

import time
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from synclora.incontext.flow import SigmaSettings
from synclora.train.captions import CaptionStore
from synclora.train.ceiling import bare_seconds
from synclora.train.latents import LatentStore
from synclora.train.lora import LoraSettings, add_lora, lora_state, named_lora_parameters
from synclora.train.recipe import ContextSettings
from synclora.train.step import draw
from synclora.train.trainset import TrainSet
from tests.train.adapters import tiny
from tests.train.conftest import BACKBONE


@pytest.fixture
def batch(prepared):
    def make(dtype=torch.float32):
        captions = CaptionStore(prepared.out / "captions", BACKBONE)
        texts = dict.fromkeys("abcd", "3d1t")
        return TrainSet(prepared.rows, LatentStore(prepared.out / "latents"), captions, texts, "cpu", dtype).batch([0, 1])

    return make


def draws_of(batch, **context):
    return draw(0, 0, [0, 1], batch, ContextSettings(**context), SigmaSettings())


class Slow(nn.Module):
    """Stands in for a transformer: its passes take the times that it is given."""

    def __init__(self, seconds):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))
        self.seconds, self.calls = list(seconds), 0

    def forward(self, hidden_states):
        time.sleep(self.seconds[self.calls])
        self.calls += 1
        return (hidden_states * self.weight,)


def slow_stream(seconds):
    transformer = Slow(seconds)
    return SimpleNamespace(
        transformer=transformer,
        span=SimpleNamespace(source_tokens=None),
        inputs=lambda tokens, caption: {"hidden_states": tokens.x_bsc},
    )


def test_it_is_the_fastest_pass_but_not_the_first(batch):
    stream = slow_stream([0.0, 0.6, 0.05, 0.4])
    seconds = bare_seconds(stream, batch(), draws_of(batch()), rounds=3)
    assert stream.transformer.calls == 4
    assert 0.05 <= seconds < 0.4
    assert stream.transformer.weight.grad is None


@pytest.mark.parametrize(("context", "tokens"), [({}, 24), ({"drop_source": 0.999}, 12)])
def test_it_sees_the_tokens_of_the_step(batch, context, tokens):
    stream, seen = tiny().stream(torch.float32, "cpu", "causal-source"), []
    add_lora(stream, LoraSettings(rank=4), 0)
    stream.transformer.register_forward_pre_hook(lambda _m, _p, given: seen.append(given), with_kwargs=True)
    draws = draws_of(batch(), **context)
    bare_seconds(stream, batch(), draws, rounds=1)
    assert [given["hidden_states"].shape for given in seen] == [(2, tokens, 16)] * 2
    assert stream.span.source_tokens == tokens - 12
    target = seen[0]["timestep"][:, -12:]
    assert torch.equal(target[:, 4:], 1000 * draws.sigma_b[:, None].expand(-1, 8))
    assert not target[:, :4].any()


def test_nothing_is_left_behind(batch):
    stream = tiny().stream(torch.float32, "cpu", "shared")
    add_lora(stream, LoraSettings(rank=4), 0)
    before = lora_state(stream.transformer)
    random = torch.random.get_rng_state()
    assert bare_seconds(stream, batch(), draws_of(batch()), rounds=1) > 0
    assert all(parameter.grad is None for parameter in stream.transformer.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in lora_state(stream.transformer).items())
    assert torch.equal(torch.random.get_rng_state(), random)


def test_in_bf16_the_adapter_computes_in_it_as_in_training(batch):
    """Else the ceiling would be that of float32 products, and low."""
    stream, products = tiny().stream(torch.bfloat16, "cpu", "shared"), set()
    add_lora(stream, LoraSettings(rank=4), 0)
    for name, module in stream.transformer.named_modules():
        if name.endswith(("lora_A.default", "lora_B.default")):
            module.register_forward_hook(lambda _m, _given, made: products.add(made.dtype))
    bare_seconds(stream, batch(torch.bfloat16), draws_of(batch(torch.bfloat16)), rounds=1)
    assert products == {torch.bfloat16}
    assert all(parameter.dtype == torch.float32 for parameter in named_lora_parameters(stream.transformer).values())
