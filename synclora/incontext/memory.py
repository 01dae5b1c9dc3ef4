"""The source's keys and values, computed once per edit.

In causal-source mode the source's states depend on the source and the caption alone: not on the target, nor on the noise level. The first call
of an edit fills the memory, and later ones show the transformer the target's tokens only. One memory is good for one source and one caption;
it is freed with the last reference to it. 2 · layers · source tokens · channels numbers: 2.2 GB in bf16 for LTX-2.3's 48 layers of 4096 channels
at 2816 tokens.
"""

import torch
from torch import Tensor

from synclora.incontext.layout import Tokens


class SourceMemory:
    """Keys and values of one source, by layer.

    Attributes:
        filled: a call went through all layers with it.
    """

    def __init__(self) -> None:
        self.filled = False
        self._kept: dict[int, tuple[Tensor, Tensor]] = {}
        self._source: tuple[Tensor, Tensor, object] | None = None

    def knows(self, tokens: Tokens, weights: object = None) -> bool:
        """Whether it holds the source of these tokens, at the same positions, as these weights (the adapter) see it."""
        if not self.filled or self._source is None or self._source[2] is not weights:
            return False
        x_bnc, bounds_banz, _ = self._source
        cut = tokens.source_tokens
        return torch.equal(x_bnc, tokens.x_bsc[:, :cut]) and torch.equal(bounds_banz, tokens.bounds_basz[:, :, :cut])

    def begin(self, tokens: Tokens, weights: object = None) -> None:
        """Forget all, and expect every layer's keys and values for the source of these tokens."""
        cut = tokens.source_tokens
        self.filled = False
        self._kept.clear()
        self._source = tokens.x_bsc[:, :cut].clone(), tokens.bounds_basz[:, :, :cut].clone(), weights

    def keep(self, layer: int, k_bnhe: Tensor, v_bnhe: Tensor) -> None:
        """Take a layer's source part; copied, or the target's part would stay in memory with it."""
        self._kept[layer] = k_bnhe.clone(), v_bnhe.clone()

    def before(self, layer: int, k_bnhe: Tensor, v_bnhe: Tensor) -> tuple[Tensor, Tensor]:
        """The source's keys and values of a layer, and behind them the target's."""
        k_source, v_source = self._kept[layer]
        return torch.cat([k_source, k_bnhe], dim=1), torch.cat([v_source, v_bnhe], dim=1)
