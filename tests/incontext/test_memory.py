"""Keys and values that are kept: whose they are, and that nothing else is."""

import gc
import weakref

import pytest
import torch

from synclora.incontext.attention import Span, attend_in_context
from synclora.incontext.layout import Key, Tokens, lay_out
from synclora.incontext.memory import SourceMemory
from synclora.incontext.positions import Grid

GRID = Grid(frames=2, height=2, width=3, fps=25.0)
N = GRID.tokens


def tokens_of(source_seed: int = 0, fps: float = 25.0, keys: int = 0) -> Tokens:
    grid = Grid(2, 2, 3, fps)
    source, target, key = (
        torch.randn(1, count, 4, generator=torch.Generator().manual_seed(seed))
        for count, seed in ((N, source_seed), (N, 1), (grid.frame_tokens, 2))
    )
    return lay_out(source, target, torch.tensor([0.5]), torch.zeros(1, N, dtype=torch.bool), grid, [Key(3, key)] * keys)


def attend(q, k, v):
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))
    return torch.nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2)


@pytest.mark.parametrize("keys", [0, 1])
def test_the_target_s_attention_is_the_same_from_memory(keys):
    tokens, memory = tokens_of(keys=keys), SourceMemory()
    count = tokens.x_bsc.shape[1]
    q, k, v = torch.randn(3, 1, count, 2, 8, generator=torch.Generator().manual_seed(5))
    span = Span("causal-source", N, memory)
    memory.begin(tokens)
    whole = attend_in_context(q, k, v, span, attend, layer=4)
    memory.filled = True
    assert torch.equal(whole, attend_in_context(q, k, v, Span("causal-source", N), attend))
    later = Span("causal-source", 0, memory)
    target = attend_in_context(*(x[:, N:] for x in (q, k, v)), later, attend, layer=4)
    torch.testing.assert_close(target, whole[:, N:], rtol=0, atol=1e-6)
    with pytest.raises(KeyError):  # each layer has its own
        attend_in_context(*(x[:, N:] for x in (q, k, v)), later, attend, layer=3)


def test_it_knows_its_source_its_place_and_its_weights():
    memory, adapter = SourceMemory(), object()
    assert not memory.knows(tokens_of())
    memory.begin(tokens_of(), adapter)
    assert not memory.knows(tokens_of(), adapter)  # a call that failed half-way leaves nothing to use
    memory.filled = True
    assert memory.knows(tokens_of(), adapter)
    assert not memory.knows(tokens_of(source_seed=9), adapter)
    assert not memory.knows(tokens_of(fps=24.0), adapter)
    assert not memory.knows(tokens_of(), None)


def test_what_is_kept_is_the_source_s_part_alone():
    memory = SourceMemory()
    k = torch.randn(1, 2 * N, 2, 8)
    memory.keep(0, k[:, :N], k[:, :N])
    kept, _ = memory.before(0, k[:, :0], k[:, :0])
    assert torch.equal(kept, k[:, :N])
    assert memory._kept[0][0].untyped_storage().nbytes() == N * 2 * 8 * 4


def test_it_goes_with_its_last_reference():
    memory = SourceMemory()
    memory.keep(0, torch.randn(1, N, 2, 8), torch.randn(1, N, 2, 8))
    kept = weakref.ref(memory._kept[0][0])
    del memory
    gc.collect()
    assert kept() is None


def test_tokens_without_the_source_are_the_rest():
    tokens = tokens_of(keys=1)
    rest = tokens.without_source()
    assert torch.equal(rest.x_bsc, tokens.x_bsc[:, N:])
    assert torch.equal(rest.sigma_bs, tokens.sigma_bs[:, N:])
    assert torch.equal(rest.bounds_basz, tokens.bounds_basz[:, :, N:])
    assert (rest.source_tokens, rest.key_tokens) == (0, GRID.frame_tokens)
    assert torch.equal(rest.target(rest.x_bsc), tokens.target(tokens.x_bsc))
