import math
import re

import pytest
import torch

from synclora.train.lora import (
    AdapterError,
    LoraSettings,
    add_lora,
    attach_lora,
    layers_of,
    load_lora,
    lora_state,
    named_lora_parameters,
    rank_of,
)
from tests.train.adapters import KINDS, adapted, caption, stream, tokens, velocity

A = "transformer_blocks.0.attn1.to_q.lora_A.weight"
B = "transformer_blocks.0.attn1.to_q.lora_B.weight"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_new_adapter_changes_nothing_and_alone_trains(dtype):
    one = stream(dtype=dtype)
    before = velocity(one, dtype=dtype)
    add_lora(one, LoraSettings(rank=4), seed=0)
    assert torch.equal(velocity(one, dtype=dtype), before)
    trained = {id(p) for p in one.transformer.parameters() if p.requires_grad}
    assert trained == {id(p) for p in named_lora_parameters(one.transformer).values()}
    loss = one.velocity(tokens(one.channels, dtype), caption().to("cpu", dtype)).float().square().mean()
    loss.backward()
    of_b = [p.grad for name, p in named_lora_parameters(one.transformer).items() if ".lora_B." in name]
    assert all(grad.dtype == torch.float32 for grad in of_b)
    assert all(grad.abs().max() > 0 for grad in of_b)


@pytest.mark.parametrize("kind", KINDS)
def test_layers_are_those_of_the_lineage(kind):
    one = stream(kind)
    add_lora(one, LoraSettings(rank=4), seed=0)
    blocks = len(one.transformer.transformer_blocks)
    inner = [f"{attention}.{layer}" for attention in ("attn1", "attn2") for layer in ("to_q", "to_k", "to_v", "to_out.0")]
    inner += ["ff.net.0.proj", "ff.net.2"]
    assert layers_of(lora_state(one.transformer)) == [f"transformer_blocks.{i}.{layer}" for i in range(blocks) for layer in inner]


@pytest.mark.parametrize(
    ("targets", "inner"), [("attention", r"attn[12]\.to_\w+(\.0)?"), ("self-attention", r"attn1\.to_\w+(\.0)?")]
)
def test_targets_narrow_the_layers(targets, inner):
    one = stream()
    add_lora(one, LoraSettings(rank=4, targets=targets), seed=0)
    layers = layers_of(lora_state(one.transformer))
    assert len(layers) == 4 * (4 if targets == "self-attention" else 8)
    assert all(re.fullmatch(rf"transformer_blocks\.\d\.{inner}", layer) for layer in layers)


def test_first_weights_depend_on_the_seed_alone():
    def first(run_seed, draws=0, **settings):
        one = stream()
        torch.manual_seed(draws)
        torch.rand(draws)
        add_lora(one, LoraSettings(rank=4, **settings), run_seed)
        return lora_state(one.transformer)

    state = first(1)
    assert all(torch.equal(state[name], same) for name, same in first(1, draws=5).items())
    assert all(torch.equal(state[name], same) for name, same in first(2, seed=1).items())
    assert all(torch.equal(state[name], same) for name, same in first(1, targets="attention").items())
    assert not torch.equal(state[A], first(2)[A])
    assert not torch.equal(state[A], state[A.replace("to_q", "to_k")])


def test_first_weights_are_as_peft_draws_them():
    one = stream()
    add_lora(one, LoraSettings(rank=64), seed=0)
    a, b = lora_state(one.transformer)[A], lora_state(one.transformer)[B]
    bound = 1 / math.sqrt(a.shape[1])  # uniform: deviation bound / √3
    assert a.abs().max() <= bound
    assert a.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.03)
    assert b.abs().max() == 0


def test_random_state_is_left_alone():
    one = stream()
    before = torch.random.get_rng_state()
    add_lora(one, LoraSettings(), seed=0)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_scale_is_alpha_over_rank():
    def gain(alpha):
        one = stream()
        layer = one.transformer.transformer_blocks[0].attn1
        x = torch.randn(1, 3, layer.to_q.in_features, generator=torch.Generator().manual_seed(0))
        plain = layer.to_q(x)
        adapted(one, rank=8, alpha=alpha)
        return (layer.to_q(x) - plain).detach()

    assert torch.allclose(gain(None), gain(8.0))
    assert torch.allclose(gain(3.0), gain(None) * 3 / 8, atol=1e-6)


def test_state_is_a_copy_in_the_order_of_the_parameters():
    one = stream()
    adapted(one)
    state, parameters = lora_state(one.transformer), named_lora_parameters(one.transformer)
    assert list(state) == list(parameters)
    assert all(torch.equal(state[name], parameter) for name, parameter in parameters.items())
    with torch.no_grad():
        parameters[A].zero_()
    assert state[A].abs().max() > 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_trained_weights_go_on_a_fresh_transformer(dtype):
    one, other = stream(dtype=dtype), stream(dtype=dtype)
    state = adapted(one, alpha=3.0)
    attach_lora(other, state, alpha=3.0)
    assert torch.equal(velocity(other, dtype=dtype), velocity(one, dtype=dtype))
    assert not any(p.requires_grad for p in other.transformer.parameters())


def broken(state, name):
    match name:
        case "missing":
            return {key: tensor for key, tensor in state.items() if key != B}
        case "unexpected":
            return state | {"transformer_blocks.9.attn1.to_q.lora_A.weight": torch.zeros(8, 128)}
        case "rank":
            return {key: tensor[:4] if ".lora_A." in key else tensor[:, :4] for key, tensor in state.items()}
    return {key: torch.zeros(8, 96) if key == A else tensor for key, tensor in state.items()}


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ("missing", rf"{B} is missing, expected 128 x 8"),
        ("unexpected", r"transformer_blocks\.9\.attn1\.to_q\.lora_A\.weight, 8 x 128, is not among"),
        ("rank", rf"{A} is 4 x 128, expected 8 x 128"),
        ("shape", rf"{A} is 8 x 96, expected 8 x 128"),
    ],
)
def test_weights_that_do_not_fit_are_refused_whole(what, says):
    one = stream()
    state = adapted(one)
    other = {name: tensor + 1 for name, tensor in state.items()}
    with pytest.raises(AdapterError, match=says) as error:
        load_lora(one.transformer, broken(other, what))
    assert "\n" not in str(error.value)
    assert all(torch.equal(state[name], same) for name, same in lora_state(one.transformer).items())


def test_rank_beyond_a_layer_is_refused():
    with pytest.raises(AdapterError, match=r"rank = 129: transformer_blocks.0.attn1.to_q is 128 x 128.*choose 128 or less"):
        add_lora(stream(), LoraSettings(rank=129), seed=0)
    add_lora(stream(), LoraSettings(rank=128), seed=0)


def test_second_adapter_and_none_are_refused():
    one = stream()
    with pytest.raises(AdapterError, match="none to load into"):
        load_lora(one.transformer, {})
    state = adapted(one)
    for again in (lambda: add_lora(one, LoraSettings(), seed=0), lambda: attach_lora(one, state)):
        with pytest.raises(AdapterError, match="has one already"):
            again()


def test_adapter_of_another_model_is_refused():
    one = stream()
    with pytest.raises(AdapterError, match=r"blocks\.30\.attn1\.to_q.*no such layer"):
        attach_lora(one, {f"blocks.30.attn1.to_q.lora_{half}.weight": torch.zeros(4, 4) for half in "AB"})
    wide = {A: torch.zeros(4, 4096), B: torch.zeros(4096, 4)}
    with pytest.raises(AdapterError, match=r"4 x 4096, expected 4 x 128"):
        attach_lora(one, wide)


def test_ranks_and_names_are_checked():
    assert rank_of({A: torch.zeros(4, 16), B: torch.zeros(16, 4)}) == 4
    for state, says in (
        ({A: torch.zeros(4, 16)}, "lora_A.weight only"),
        ({A: torch.zeros(4, 16), B: torch.zeros(16, 5)}, "A 4 x 16 and B 16 x 5"),
        ({A: torch.zeros(4), B: torch.zeros(16, 4)}, "A 4 and B 16 x 4"),
        ({"proj_in.weight": torch.zeros(4, 4)}, "is no LoRA weight"),
        ({}, "no layers"),
        (
            {
                A: torch.zeros(4, 8),
                B: torch.zeros(8, 4),
                "x.lora_A.weight": torch.zeros(2, 8),
                "x.lora_B.weight": torch.zeros(8, 2),
            },
            "ranks",
        ),
    ):
        with pytest.raises(AdapterError, match=says):
            rank_of(state)


def test_settings_are_checked():
    for wrong in ({"rank": 0}, {"alpha": 0}, {"dropout": 1}, {"targets": "everything"}, {"size": 3}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            LoraSettings(**wrong)
