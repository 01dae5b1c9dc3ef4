"""A training step of a released model's shape on one card, with random weights made there: time, rate, share of the card's own speed, memory.

bench = Bench(SHAPES["LTX-Video 2B"], torch.device("cuda"), rank=128)
print(bench.measure("shared", checkpointing=True, rounds=8))
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch
from diffusers import LTXVideoTransformer3DModel

from synclora.backbone.base import Caption
from synclora.backbone.load import quiet
from synclora.backbone.ltx_video import LTXVideoStream
from synclora.incontext.attention import AttentionMode
from synclora.incontext.flow import SigmaSettings
from synclora.incontext.layout import first_frame, lay_out
from synclora.incontext.positions import Grid
from synclora.train.lora import LoraSettings, add_lora, named_lora_parameters
from synclora.train.recipe import ContextSettings, OptimizerSettings, ParallelSettings
from synclora.train.step import Batch, draw, step_loss
from synclora.train.strategy import Worker, start
from tests.benchmarks.flops import Counted, count

CAPTION_TOKENS = 256


@dataclass(frozen=True)
class Shape:
    """A transformer's size, and the clip that it is shown."""

    layers: int
    heads: int
    head_channels: int
    grid: Grid
    rank: int
    caption_channels: int = 4096

    @property
    def config(self) -> dict[str, Any]:
        """For `LTXVideoTransformer3DModel`."""
        size = {"num_layers": self.layers, "num_attention_heads": self.heads, "attention_head_dim": self.head_channels}
        return size | {"cross_attention_dim": self.heads * self.head_channels, "caption_channels": self.caption_channels}


CLIP = Grid.of_video(frames=81, height=512, width=512, fps=25)
SHAPES = {
    "LTX-Video 2B": Shape(28, 32, 64, CLIP, rank=128),  # diffusers' default
    "LTX-Video 13B": Shape(48, 32, 128, CLIP, rank=128),  # transformer/config.json of 0.9.7 and 0.9.8
}
TINY = {"miniature": Shape(2, 4, 32, Grid.of_video(frames=17, height=64, width=64, fps=25), rank=8, caption_channels=64)}
"""To see on a CPU that the script works."""


@dataclass(frozen=True)
class Measured:
    """One way of training a shape.

    Attributes:
        step_s: median seconds of a step.
        bare_s: median seconds of the bare transformer's forward and backward pass, at the same adapter and precision.
        peak_gb: most memory that tensors held on the card during steps; 0 on a CPU.
    """

    step_s: float
    bare_s: float
    peak_gb: float


def matmul_rate(device: torch.device, side: int, rounds: int = 20) -> float:
    """Operations per second of one large bf16 product: what the card gives at best, now."""
    a, b = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    return 2 * side**3 / timed(lambda: a @ b, device, rounds, warm=5)


def timed(work: Callable[[], object], device: torch.device, rounds: int, warm: int) -> float:
    """Median seconds, from an idle card to an idle card."""
    took = []
    for _ in range(warm + rounds):
        synchronize(device)
        begun = time.perf_counter()
        work()
        synchronize(device)
        took.append(time.perf_counter() - begun)
    return median(took[warm:])


def synchronize(device: torch.device) -> None:
    """Wait for the card."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


class Bench:
    """A frozen bf16 transformer with a float32 adapter and its AdamW, as jobs/train.py has it on one card without ZeRO."""

    def __init__(self, shape: Shape, device: torch.device) -> None:
        self.shape, self.device = shape, device
        self.stream = LTXVideoStream(random_transformer(shape.config, device), "shared")
        add_lora(self.stream, LoraSettings(rank=shape.rank), seed=0)
        self.transformer = self.stream.transformer.train()
        self.adapter = named_lora_parameters(self.transformer)
        alone, plain = Worker(device=device), ParallelSettings(strategy="ddp")
        self.strategy = start(self.transformer, self.adapter, OptimizerSettings(), plain, 1, alone, bf16=True)
        latents = (torch.randn(1, shape.grid.tokens, self.stream.channels, device=device, dtype=torch.bfloat16) for _ in range(2))
        embeds_bld = torch.randn(1, CAPTION_TOKENS, shape.caption_channels, device=device, dtype=torch.bfloat16)
        caption = Caption(embeds_bld, torch.ones(1, CAPTION_TOKENS, device=device))
        self.batch = Batch(*latents, caption, caption, shape.grid)
        self._steps = 0

    def step(self) -> None:
        """A whole step, but for reading latents and writing the log."""
        draws = draw(0, self._steps, [0], self.batch, ContextSettings(), SigmaSettings())
        with self.strategy.computing(last=True):
            loss_b = step_loss(self.stream, self.batch, draws, self.strategy.through)
        self.strategy.backward(loss_b.mean(), last=True)
        norm = self.strategy.step(lr=1e-4)
        assert torch.isfinite(loss_b).all()
        assert norm > 0
        self._steps += 1

    def bare(self) -> None:
        """Forward and backward of the transformer alone."""
        sigma_b, given_b = (torch.ones(1, device=self.device, dtype=dtype) for dtype in (torch.float32, torch.bool))
        clean_bn = first_frame(given_b, self.shape.grid)
        tokens = lay_out(self.batch.source_bnc, self.batch.edited_bnc, sigma_b, clean_bn, self.shape.grid)
        self.stream.span.source_tokens = tokens.source_tokens
        with torch.autocast(self.device.type, torch.bfloat16):
            velocity_bsc = self.transformer(**self.stream.inputs(tokens, self.batch.caption))[0]
        velocity_bsc.float().square().mean().backward()
        self.transformer.zero_grad(set_to_none=True)

    def counted(self, mode: AttentionMode) -> Counted:
        """Operations of a step; for 48 layers that takes a while."""
        shape = self.shape
        return count("ltx-video", shape.config, shape.grid, caption_tokens=CAPTION_TOKENS, mode=mode, rank=shape.rank)

    def measure(self, mode: AttentionMode, *, checkpointing: bool, rounds: int) -> Measured | None:
        """None: it does not fit the card."""
        self.stream.span.mode = mode
        switch = "enable_gradient_checkpointing" if checkpointing else "disable_gradient_checkpointing"
        getattr(self.transformer, switch)()
        try:
            if self.device.type == "cuda":
                torch.cuda.reset_peak_memory_stats(self.device)
            step_s = timed(self.step, self.device, rounds, warm=3)
            peak_gb = torch.cuda.max_memory_allocated(self.device) / 2**30 if self.device.type == "cuda" else 0.0
            return Measured(step_s, timed(self.bare, self.device, rounds, warm=2), peak_gb)
        except torch.cuda.OutOfMemoryError:
            self.transformer.zero_grad(set_to_none=True)
        torch.cuda.empty_cache()  # outside of the handler, whose error still holds the graph
        return None


def random_transformer(config: dict[str, Any], device: torch.device) -> LTXVideoTransformer3DModel:
    """Weights drawn on the device, in bf16: 26 GB never pass through the host."""
    with quiet(), torch.device("meta"):
        transformer = LTXVideoTransformer3DModel(**config).to(torch.bfloat16)
    transformer = transformer.to_empty(device=device)  # it has no buffers, whose values this would lose
    with torch.no_grad():
        for name, weight in transformer.named_parameters():
            if "norm" in name:
                weight.fill_(1.0)
            else:
                weight.normal_(std=0.02)
    return transformer
