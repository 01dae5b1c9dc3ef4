"""Rectified flow: how noise is drawn and added, and what the model is asked for.

A sample at level σ is x_σ = (1 − σ)·x₀ + σ·ε; the velocity along it is ε − x₀. The loss is the squared error on the noised target tokens only,
over the share of them, so that a sample weighs the same whether its first frame is given or not.
"""

import math
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from synclora.settings import Settings

# Lightricks' trainers: the shift grows with the number of target tokens, 0.95 at 1024 and 2.05 at 4096
_SHIFT_AT = ((1024, 0.95), (4096, 2.05))
# Percentiles of a standard normal between which LTX-2 stretches: 0.5 % and 99.9 %
_LOW_Z, _HIGH_Z = -2.5758, 3.0902


class SigmaSettings(Settings):
    """The distribution of the noise level σ."""

    kind: Literal["shifted", "stretched", "uniform"] = "stretched"
    """shifted: logistic of a normal, shifted by the number of target tokens (LTX-Video's trainer). stretched: the same, stretched to cover
    0 to 1 and mixed with some uniform draws (LTX-2's trainer). uniform: 0 to 1."""
    std: float = Field(default=1.0, gt=0)
    """Of the normal."""
    uniform_share: float = Field(default=0.1, ge=0, le=1)
    """stretched: this share of draws is uniform, so that low levels are not starved at many tokens."""
    least: float = Field(default=1e-3, gt=0, lt=0.5)
    """stretched: smaller levels are mirrored back above it."""


def shift(tokens: int) -> float:
    """μ of the normal behind σ, linear in the number of target tokens."""
    (low, at_low), (high, at_high) = _SHIFT_AT
    return at_low + (at_high - at_low) * (tokens - low) / (high - low)


def draw_sigma(count: int, tokens: int, settings: SigmaSettings, generator: torch.Generator) -> Tensor:
    """(count,) noise levels in float64, on the generator's device.

    Always takes the same number of draws, so that changing `kind` leaves the noise of a seed as it was.
    """
    normal, uniform, which = (
        draw(count, dtype=torch.float64, generator=generator, device=generator.device)
        for draw in (torch.randn, torch.rand, torch.rand)
    )
    if settings.kind == "uniform":
        return uniform
    mu, std = shift(tokens), settings.std
    sigma = torch.sigmoid(mu + std * normal)
    if settings.kind == "shifted":
        return sigma
    low, high = (1 / (1 + math.exp(-(mu + std * z))) for z in (_LOW_Z, _HIGH_Z))
    stretched = (sigma - low) / (high - low)
    stretched = torch.where(stretched >= settings.least, stretched, 2 * settings.least - stretched).clamp(0, 1)
    return torch.where(which < settings.uniform_share, settings.least + (1 - settings.least) * uniform, stretched)


def add_noise(x0_bnc: Tensor, noise_bnc: Tensor, sigma_b: Tensor, clean_bn: Tensor) -> Tensor:
    """x_σ, but x₀ itself where the tokens are given."""
    sigma_bn1 = (sigma_b[:, None] * ~clean_bn)[..., None].to(x0_bnc.dtype)
    return (1 - sigma_bn1) * x0_bnc + sigma_bn1 * noise_bnc


def flow_loss(
    velocity_bnc: Tensor, x0_bnc: Tensor, noise_bnc: Tensor, clean_bn: Tensor, weight_bn: Tensor | None = None
) -> Tensor:
    """(b,) float32: mean squared error of the velocity over the noised tokens of each sample, each counting by its weight if there are any."""
    error_bn = (velocity_bnc.float() - (noise_bnc.float() - x0_bnc.float())).square().mean(-1)
    noised_bn = (~clean_bn).float()
    counts_bn = noised_bn if weight_bn is None else noised_bn * weight_bn
    return (error_bn * counts_bn).mean(1) / noised_bn.mean(1)


def edit_weight(edited_bnc: Tensor, source_bnc: Tensor, clean_bn: Tensor, share: float) -> Tensor:
    """(b, n) float32 weights of mean 1 over the noised tokens: of the loss, `share` goes by how far the halves are apart at a token.

    An edit is often a few tokens of hundreds: a model that copies the source there has still little to lose. At a share of one half the edit
    weighs what all the rest does. Halves that are one and the same are weighed evenly.
    """
    apart_bn = (edited_bnc.float() - source_bnc.float()).square().mean(-1) * ~clean_bn
    mean_b1 = apart_bn.sum(1, keepdim=True) / (~clean_bn).sum(1, keepdim=True)
    uneven_bn = torch.where(mean_b1 > 0, apart_bn / mean_b1.clamp(min=torch.finfo(torch.float32).tiny), 1.0)
    return (1 - share) + share * uneven_bn
