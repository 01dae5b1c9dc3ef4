"""The ceiling of a training step: forward and backward of the transformer alone, on the same tokens, nothing else done.

What a step takes beyond it (reading latents, noise, the optimizer, exchange with other workers, the log) is ours to keep small. Machines are
noisy, and a worker's first passes are slow: the ceiling is the fastest of several passes, taken when a worker begins.
"""

import time

import torch

from synclora.backbone.base import Stream
from synclora.incontext.layout import first_frame, lay_out
from synclora.train.step import Batch, Draws


def bare_seconds(stream: Stream, batch: Batch, draws: Draws, rounds: int = 5) -> float:
    """Seconds of one forward and backward pass of the bare transformer, its adapter in place; the fastest after one that is not counted.

    To be called before DDP or DeepSpeed have put their hooks on the transformer. Leaves no gradient behind.
    """
    clean_bn = first_frame(draws.given_b, batch.grid)
    source_bnc = batch.source_bnc if draws.with_source else None
    tokens = lay_out(source_bnc, batch.edited_bnc, draws.sigma_b, clean_bn, batch.grid)
    inputs = stream.inputs(tokens, batch.caption)
    stream.span.source_tokens = tokens.source_tokens
    device = batch.edited_bnc.device
    bf16 = (
        batch.edited_bnc.dtype == torch.bfloat16
    )  # then the adapter's float32 weights are rounded for each product, as in training
    times = []
    for _ in range(1 + rounds):
        begun = time.monotonic()
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            output: torch.Tensor = stream.transformer(**inputs)[0]
        output.float().square().mean().backward()  # type: ignore[no-untyped-call]
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.monotonic() - begun)
    stream.transformer.zero_grad(set_to_none=True)
    return min(times[1:])
