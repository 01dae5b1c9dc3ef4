"""Who attends to whom. The mode is part of an adapter: one trained in a mode is wrong in the other.

    shared          the paper: every token sees every token
    causal-source   source tokens see source tokens only, target tokens see all

In the second the source never depends on the target or its noise level, so its keys and values are the same at every step of an edit and
need be computed once. Two calls of plain attention, no mask of (2n)² entries.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

AttentionMode = Literal["shared", "causal-source"]
MODES: tuple[AttentionMode, ...] = get_args(AttentionMode)

Attend = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Plain attention of (b, s, h, e) queries, keys and values to (b, s, h, e)."""


@dataclass
class Span:
    """What the attention layers of one transformer must know of the call under way; they share one and the backbone keeps it up to date.

    It stays as it is until the next call, because gradient checkpointing computes layers again in the backward pass.
    """

    mode: AttentionMode = "shared"
    source_tokens: int = 0

    @property
    def split(self) -> int:
        """Where the sequence must be cut, 0 for nowhere."""
        return self.source_tokens if self.mode == "causal-source" else 0


def attend_in_context(q_bshe: Tensor, k_bshe: Tensor, v_bshe: Tensor, span: Span, attend: Attend) -> Tensor:
    """Self-attention of one sequence [source ; target] in the mode of the span."""
    cut = span.split
    if not cut:
        return attend(q_bshe, k_bshe, v_bshe)
    source = attend(q_bshe[:, :cut], k_bshe[:, :cut], v_bshe[:, :cut])
    return torch.cat([source, attend(q_bshe[:, cut:], k_bshe, v_bshe)], dim=1)
