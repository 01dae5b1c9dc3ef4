"""Several adapters on one base: in, out, swapped; the base as it was."""

import time
from pathlib import Path

import pytest
import torch

from synclora.backbone.base import Stream
from synclora.train.adapter import COMFYUI_FILE, load_adapter, save_adapter
from synclora.train.lora import AdapterError, State, attach_lora, ready_lora
from tests.train.adapters import KINDS, adapted, metadata, stream, velocity


def made(kind: str, seed: int, rank: int = 8) -> State:
    """A trained adapter's weights, other ones for each seed."""
    state, draw = adapted(stream(kind), rank=rank), torch.Generator().manual_seed(seed)
    return {name: tensor + 0.1 * torch.randn(tensor.shape, generator=draw) for name, tensor in state.items()}


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def states(kind: str) -> list[State]:
    return [made(kind, 1), made(kind, 2, rank=4)]


def bits(one: Stream) -> dict[str, bytes]:
    return {name: p.detach().numpy().tobytes() for name, p in one.transformer.named_parameters()}


def test_swapped_in_and_out_and_nothing_is_left_behind(kind, states):
    one = stream(kind)
    bare, weights = velocity(one, kind), bits(one)
    a, b = ready_lora(one, states[0], alpha=3.0), ready_lora(one, states[1], mode="causal-source")
    assert torch.equal(velocity(one, kind), bare)  # ready is not yet in use
    one.use(a)
    with_a = velocity(one, kind)
    one.use(b)
    with_b = velocity(one, kind)
    assert one.mode == "causal-source"
    one.use(a)
    assert one.adapter is a
    assert torch.equal(velocity(one, kind), with_a)
    one.use(None)
    assert (one.adapter, one.mode) == (None, "shared")
    assert torch.equal(velocity(one, kind), bare)
    assert bits(one) == weights
    for with_one in (with_a, with_b):
        assert not torch.allclose(with_one, bare, atol=1e-3)
    alone = stream(kind, mode="causal-source")
    attach_lora(alone, states[1])
    assert torch.equal(velocity(alone, kind), with_b)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_it_computes_what_training_computed(kind, states, dtype):
    trained, one = stream(kind, dtype), stream(kind, dtype)
    attach_lora(trained, states[0], alpha=3.0)
    one.use(ready_lora(one, states[0], alpha=3.0, dtype=torch.float32))
    assert torch.equal(velocity(one, kind, dtype), velocity(trained, kind, dtype))


def test_its_weights_follow_the_transformer_s_dtype(kind, states):
    one = stream(kind, torch.bfloat16)
    exact, short = (ready_lora(one, states[0], dtype=dtype) for dtype in (torch.float32, None))
    assert short.nbytes * 2 == exact.nbytes
    one.use(short)
    found = velocity(one, kind, torch.bfloat16).float()
    one.use(exact)
    expected = velocity(one, kind, torch.bfloat16).float()
    assert (found - expected).norm() < 0.03 * expected.norm()


def test_a_swap_takes_milliseconds(kind, states):
    one = stream(kind)
    both = [ready_lora(one, state) for state in states]
    took = []
    for number in range(20):
        began = time.perf_counter()
        one.use(both[number % 2])
        took.append(time.perf_counter() - began)
    assert sorted(took)[10] < 0.01


def test_an_adapter_made_elsewhere(kind, states, tmp_path: Path):
    """ComfyUI's names, no metadata, and layers of the audio branch, which are not there."""
    save_adapter(tmp_path, states[0], metadata(kind=kind, alpha=4))
    from safetensors.torch import load_file, save_file

    tensors = load_file(tmp_path / COMFYUI_FILE)
    if kind == "ltx-2":
        for half, shape in (("A", (8, 64)), ("B", (64, 8))):
            tensors[f"diffusion_model.transformer_blocks.0.audio_attn1.to_q.lora_{half}.weight"] = torch.ones(shape)
    save_file(tensors, tmp_path / "foreign.safetensors")
    state, found = load_adapter(tmp_path / "foreign.safetensors")
    assert found is None
    ours, one = stream(kind), stream(kind)
    ours.use(ready_lora(ours, states[0], alpha=4.0))
    one.use(ready_lora(one, state))
    torch.testing.assert_close(velocity(one, kind), velocity(ours, kind), rtol=0, atol=1e-5)


def test_one_that_does_not_fit_changes_nothing(kind, states):
    one = stream(kind)
    a = ready_lora(one, states[0])
    one.use(a)
    with_a = velocity(one, kind)
    name = next(iter(states[0])).rsplit(".lora_", 1)[0]
    wide = {f"{name}.lora_{half}.weight": torch.zeros(shape) for half, shape in (("A", (4, 4096)), ("B", (4096, 4)))}
    strange = {f"blocks.30.to_q.lora_{half}.weight": torch.zeros(4, 4) for half in "AB"}
    audio = {f"transformer_blocks.0.audio_attn1.to_q.lora_{half}.weight": torch.zeros(4, 4) for half in "AB"}
    for state, says in (
        (wide, "4 x 4096, expected 4 x 128"),
        (strange, r"blocks\.30\.to_q.*no such layer"),
        (audio, "none of its layers has to do with the video" if kind == "ltx-2" else "no such layer"),
    ):
        with pytest.raises(AdapterError, match=says):
            ready_lora(one, state)
    assert one.adapter is a
    assert torch.equal(velocity(one, kind), with_a)
    taken = stream(kind)
    attach_lora(taken, states[0])
    with pytest.raises(AdapterError, match="has one already"):
        ready_lora(taken, states[1])
