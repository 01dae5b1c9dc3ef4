"""From noise to the edited video: Euler steps along the velocity, on the token layout of training.

The source stays clean at every step, and so does the given first frame: nothing is noised that training keeps clean.
"""

import math
from collections.abc import Callable
from itertools import pairwise

import torch
from pydantic import Field
from torch import Tensor

from synclora.incontext.flow import shift
from synclora.incontext.layout import Tokens, first_frame, lay_out
from synclora.incontext.positions import Grid
from synclora.settings import Settings

Velocity = Callable[[Tokens], Tensor]
"""One transformer call: (b, s, c) velocity of every token."""


class SamplerSettings(Settings):
    """How an edit is sampled."""

    steps: int = Field(default=30, ge=1, le=1000)
    """Transformer calls per edit."""
    last_sigma: float = Field(default=0.1, ge=0, lt=1)
    """Level of the last step, from which one stride leads to the end; LTX models are sampled with 0.1."""
    seed: int = 0


def schedule(steps: int, tokens: int, last_sigma: float) -> list[float]:
    """steps + 1 levels from 1 to 0, closer together near 1 the more target tokens there are, the last but one at `last_sigma`.

    The rule of diffusers' dynamic shifting, σ = e^μ / (e^μ + 1/t − 1), with the μ that training draws by, stretched to end at `last_sigma`.
    """
    scale = math.exp(shift(tokens))
    sigmas = [scale / (scale + 1 / t - 1) for t in (1 - i * (1 - 1 / steps) / max(1, steps - 1) for i in range(steps))]
    if steps > 1:
        stretch = (1 - last_sigma) / (1 - sigmas[-1])
        sigmas = [1 - (1 - sigma) * stretch for sigma in sigmas]
    return [*sigmas, 0.0]


def sample(velocity: Velocity, source_bnc: Tensor, first_bnc: Tensor | None, grid: Grid, settings: SamplerSettings) -> Tensor:
    """The edited clip's latents.

    Args:
        velocity: the model.
        source_bnc: (b, n, c) latents of the source.
        first_bnc: (b, frame tokens, c) latents of the edited first frame; None lets the model invent it.
        grid: the cells of either stream.
        settings: steps and seed; the same seed gives the same noise on any device.

    Returns:
        (b, n, c), float32.
    """
    device = source_bnc.device
    generator = torch.Generator().manual_seed(settings.seed)
    x_bnc = torch.randn(source_bnc.shape, generator=generator).to(device)
    given_b = torch.full(source_bnc.shape[:1], first_bnc is not None, device=device)
    clean_bn = first_frame(given_b, grid)
    if first_bnc is not None:
        x_bnc[:, : grid.frame_tokens] = first_bnc.float()
    sigmas = schedule(settings.steps, grid.tokens, settings.last_sigma)
    for now, after in pairwise(sigmas):
        sigma_b = torch.full(source_bnc.shape[:1], now, device=device)
        tokens = lay_out(source_bnc, x_bnc.to(source_bnc.dtype), sigma_b, clean_bn, grid)
        step_bnc = tokens.target(velocity(tokens)).float() * (after - now)
        x_bnc = torch.where(clean_bn[..., None], x_bnc, x_bnc + step_bnc)
    return x_bnc
