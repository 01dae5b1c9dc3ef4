"""Edits on the miniatures: the source remembered, captions, modes."""

import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from synclora.backbone.base import Backbone, Stream
from synclora.incontext.memory import SourceMemory
from synclora.incontext.positions import Grid
from synclora.incontext.sampler import Given, Guidance, Key, SamplerSettings, sample

GRID = Grid(frames=3, height=2, width=3, fps=25.0)
ROUNDING = 2e-5  # of float32 over the steps of an edit, at latents of deviation 1: the same sums in matrices of other shapes


@pytest.fixture(scope="module", params=["ltx_video", "ltx2"])
def kind(request: pytest.FixtureRequest) -> Backbone:
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="module")
def stream(kind: Backbone) -> Stream:
    return kind.stream(torch.float32, "cpu", "causal-source")


@pytest.fixture(scope="module")
def captions(kind: Backbone) -> list[Any]:
    return [kind.caption(text) for text in ("a person speaks to the camera", "")]


@pytest.fixture
def lengths(stream: Stream) -> Any:
    """Tokens of each transformer call."""
    seen: list[int] = []
    hook = stream.transformer.register_forward_pre_hook(
        lambda _module, _args, kwargs: seen.append(kwargs["hidden_states"].shape[1]), with_kwargs=True
    )
    yield seen
    hook.remove()


def edit(stream: Stream, captions: list[Any], remember: bool, keys: int = 0, steps: int = 4, **scales: float) -> Tensor:
    draw = torch.Generator().manual_seed(3)
    source, first, key = (
        torch.randn(1, count, 16, generator=draw) for count in (GRID.tokens, GRID.frame_tokens, GRID.frame_tokens)
    )
    model = stream.sampling(*captions, remember=remember)
    settings = SamplerSettings(steps=steps, seed=7, guidance=Guidance(**scales))
    return sample(model, source, Given.start(first, GRID), GRID, settings, keys=[Key(9, key)] * keys)


@pytest.mark.parametrize("keys", [0, 1])
@pytest.mark.parametrize("scales", [{}, {"text": 2.0, "source": 1.5, "first_frame": 1.5}])
def test_a_remembered_source_changes_rounding_alone(stream, captions, lengths, keys, scales):
    plain = edit(stream, captions, False, keys, **scales)
    assert set(lengths) <= {n * GRID.tokens + k * GRID.frame_tokens for n in (1, 2) for k in (0, keys)}
    before = len(lengths)
    remembered = edit(stream, captions, True, keys, **scales)
    torch.testing.assert_close(remembered, plain, rtol=0, atol=ROUNDING)
    later = lengths[before:]
    assert len(later) == before
    whole = [count for count in later if count >= 2 * GRID.tokens]
    assert len(whole) == (2 if "text" in scales else 1)  # once for each caption, the source's guidance never


@pytest.mark.parametrize("keys", [0, 1])
def test_a_model_that_is_not_shown_the_source_does_not_depend_on_it(stream, captions, lengths, keys):
    model = stream.sampling(*captions, source=False)
    draw = torch.Generator().manual_seed(3)
    one, other, first = (torch.randn(1, count, 16, generator=draw) for count in (GRID.tokens, GRID.tokens, GRID.frame_tokens))
    given, settings = Given.start(first, GRID), SamplerSettings(steps=2, seed=7)
    made = [sample(model, x, given, GRID, settings, keys=[Key(9, first)] * keys) for x in (one, other)]
    assert torch.equal(*made)
    assert set(lengths) == {GRID.tokens + keys * GRID.frame_tokens}
    assert not torch.equal(made[0], sample(stream.sampling(*captions), one, given, GRID, settings, keys=[Key(9, first)] * keys))


def test_in_shared_mode_nothing_is_remembered(kind, captions):
    shared = kind.stream(torch.float32, "cpu", "shared")
    assert torch.equal(edit(shared, captions, True), edit(shared, captions, False))


def test_the_mode_can_be_turned_and_turned_back(kind, stream, captions):
    shared = kind.stream(torch.float32, "cpu", "shared")
    expected, causal = edit(shared, captions, False), edit(stream, captions, False)
    assert not torch.allclose(expected, causal, atol=1e-3)
    stream.mode = "shared"
    assert torch.equal(edit(stream, captions, True), expected)
    stream.mode = "causal-source"
    assert torch.equal(edit(stream, captions, False), causal)


def test_the_memory_goes_with_the_edit(stream, captions, monkeypatch):
    made: list[weakref.ref[SourceMemory]] = []
    before = SourceMemory.begin

    def begin(memory: SourceMemory, *which: Any) -> None:
        made.append(weakref.ref(memory))
        before(memory, *which)

    monkeypatch.setattr(SourceMemory, "begin", begin)
    edit(stream, captions, True)
    gc.collect()
    assert len(made) == 1
    assert made[0]() is None


def test_a_call_that_failed_is_not_built_on(stream, captions, tokens_of: Callable[..., Any]):
    tokens, memory, caption = tokens_of(), SourceMemory(), captions[0].expand(2)
    block = stream.transformer.transformer_blocks[-1]

    def fail(*_: Any) -> None:
        raise MemoryError

    hook = block.register_forward_pre_hook(fail)
    with torch.no_grad():
        with pytest.raises(MemoryError):
            stream.velocity(tokens, caption, memory=memory)
        hook.remove()
        assert stream.span.memory is None
        first, again = (stream.velocity(tokens, caption, memory=memory) for _ in range(2))
        expected = stream.velocity(tokens, caption)
    assert torch.equal(first, expected)
    torch.testing.assert_close(tokens.target(again), tokens.target(expected), rtol=0, atol=ROUNDING)
    assert (again[:, : tokens.source_tokens] == 0).all()
