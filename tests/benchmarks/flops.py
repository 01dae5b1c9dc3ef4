"""Arithmetic of a training step, counted by torch on the meta device, where nothing is computed and nothing is held.

    counted = count("ltx-video", config, grid, caption_tokens=256, mode="shared", rank=128)
    counted.step / seconds                     # useful operations per second

Two for each multiplication and addition of matrices; all else is left out. The backward pass is the one that really runs: through the frozen
weights the gradient of their inputs alone, for the adapter that of its weights too, for attention twice the forward pass, although the kernels
on a card do some of the forward pass again. Gradient checkpointing does `forward` once more; that is not useful.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from synclora.backbone.base import Caption, Stream
from synclora.backbone.ltx2 import LTX2Stream
from synclora.backbone.ltx_video import LTXVideoStream
from synclora.incontext.attention import AttentionMode
from synclora.incontext.layout import first_frame, lay_out
from synclora.incontext.positions import Grid
from synclora.train.lora import LoraSettings, add_lora
from tests.benchmarks.midsize import CLASSES, caption_width

STREAMS: dict[str, Callable[[Any, AttentionMode], Stream]] = {"ltx-video": LTXVideoStream, "ltx-2": LTX2Stream}


@dataclass(frozen=True)
class Counted:
    """Floating-point operations of one sample.

    Attributes:
        forward: of the forward pass.
        step: of forward and backward pass.
        attention: those of `step` in products of queries, keys and values.
    """

    forward: int
    step: int
    attention: int


def count(kind: str, config: dict[str, Any], grid: Grid, *, caption_tokens: int, mode: AttentionMode, rank: int) -> Counted:
    """One sample through a transformer of that configuration, source and target on the grid."""
    with torch.device("meta"):
        stream = STREAMS[kind](CLASSES[kind](**config), mode)
        add_lora(stream, LoraSettings(rank=rank), seed=0)
        latents_bnc = torch.zeros(1, grid.tokens, stream.channels)
        clean_bn = first_frame(torch.ones(1, dtype=torch.bool), grid)
        tokens = lay_out(latents_bnc, latents_bnc, torch.ones(1), clean_bn, grid)
        caption = Caption(torch.zeros(1, caption_tokens, caption_width(config)), torch.ones(1, caption_tokens))
        inputs = stream.inputs(tokens, caption)
    stream.span.source_tokens = tokens.source_tokens
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):  # in its parts, which the counter knows
        velocity = stream.transformer(**inputs)[0]
        forward = counter.get_total_flops()
        velocity.square().mean().backward()
    products = counter.get_flop_counts()["Global"]
    return Counted(forward, counter.get_total_flops(), sum(n for op, n in products.items() if "bmm" in str(op)))
