"""Who attends to whom. The mode is part of an adapter: one trained in a mode is wrong in the other.

    shared          the paper: every token sees every token
    causal-source   source tokens see source tokens only, target tokens see all

In the second the source never depends on the target or its noise level, so its keys and values are the same at every step of an edit and
need be computed once (`memory.py`). Two calls of plain attention, no mask of (2n)² entries.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from synclora.incontext.memory import SourceMemory

AttentionMode = Literal["shared", "causal-source"]
MODES: tuple[AttentionMode, ...] = get_args(AttentionMode)

Attend = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Plain attention of (b, s, h, e) queries, keys and values to (b, s, h, e)."""


@dataclass
class Span:
    """What the attention layers of one transformer must know of the call under way; they share one and the backbone keeps it up to date.

    It stays as it is until the next call, because gradient checkpointing computes layers again in the backward pass. Only the memory is taken
    away after its call; none is used where gradients are wanted.
    """

    mode: AttentionMode = "shared"
    source_tokens: int = 0
    memory: SourceMemory | None = None

    @property
    def split(self) -> int:
        """Where the sequence must be cut, 0 for nowhere."""
        return self.source_tokens if self.mode == "causal-source" else 0


def attend_in_context(q_bshe: Tensor, k_bshe: Tensor, v_bshe: Tensor, span: Span, attend: Attend, layer: int = 0) -> Tensor:
    """Self-attention of one sequence [source ; target] in the mode of the span; of [target] alone where the memory holds the source."""
    cut, memory = span.split, span.memory
    if not cut:
        if memory is not None:
            k_bshe, v_bshe = memory.before(layer, k_bshe, v_bshe)
        return attend(q_bshe, k_bshe, v_bshe)
    k_source, v_source = k_bshe[:, :cut], v_bshe[:, :cut]
    if memory is not None:
        memory.keep(layer, k_source, v_source)
    source = attend(q_bshe[:, :cut], k_source, v_source)
    return torch.cat([source, attend(q_bshe[:, cut:], k_bshe, v_bshe)], dim=1)
