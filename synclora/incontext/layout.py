"""What one transformer call sees: [source ; target], the paper's figure 1 as one sequence.

The source is clean, and so are the target tokens of the edited first frame; every other target token carries noise. Each token has its own
noise level, 0 for the clean ones, and both streams lie on the same grid. Training and editing use this one function.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from synclora.incontext.positions import Grid


@dataclass(frozen=True)
class Tokens:
    """One call's tokens.

    Attributes:
        x_bsc: (b, s, c) latents, source first.
        sigma_bs: (b, s) float32 noise level of each token, 0 (clean) to 1 (pure noise).
        sigma_b: (b,) float32 noise level of the noised tokens.
        bounds_basz: (b, 3, s, 2) float32 start and end of each token: seconds, pixels, pixels.
        source_tokens: how many of s are the source's; 0 without one.
    """

    x_bsc: Tensor
    sigma_bs: Tensor
    sigma_b: Tensor
    bounds_basz: Tensor
    source_tokens: int

    def target(self, of_bsc: Tensor) -> Tensor:
        """The target's part of something that has a value for each token."""
        return of_bsc[:, self.source_tokens :]


def lay_out(source_bnc: Tensor | None, target_bnc: Tensor, sigma_b: Tensor, clean_bn: Tensor, grid: Grid) -> Tokens:
    """Lay source and target side by side on one grid.

    Args:
        source_bnc: (b, n, c) clean latents of the source; None leaves it out (for guidance).
        target_bnc: (b, n, c) latents of the target: noised, but clean where `clean_bn` says so.
        sigma_b: (b,) noise level of the noised tokens.
        clean_bn: (b, n) bool, target tokens that are given: the edited first frame.
        grid: the cells of either stream.

    Raises:
        ValueError: shapes that do not fit the grid or each other.
    """
    batch, count = target_bnc.shape[:2]
    if count != grid.tokens or (source_bnc is not None and source_bnc.shape != target_bnc.shape):
        found = None if source_bnc is None else tuple(source_bnc.shape)
        raise ValueError(f"source {found} and target {tuple(target_bnc.shape)} on a grid of {grid.tokens} tokens")
    sigma_b = sigma_b.float()
    sigma_bn = sigma_b[:, None] * ~clean_bn
    bounds_anz = grid.bounds_anz(target_bnc.device)
    if source_bnc is None:
        return Tokens(target_bnc, sigma_bn, sigma_b, bounds_anz.expand(batch, -1, -1, -1), 0)
    return Tokens(
        x_bsc=torch.cat([source_bnc, target_bnc], dim=1),
        sigma_bs=torch.cat([torch.zeros_like(sigma_bn), sigma_bn], dim=1),
        sigma_b=sigma_b,
        bounds_basz=torch.cat([bounds_anz, bounds_anz], dim=1).expand(batch, -1, -1, -1),
        source_tokens=count,
    )


def first_frame(given_b: Tensor, grid: Grid) -> Tensor:
    """(b, n) bool: the tokens of the first latent frame, in the samples where it is given."""
    mask_n = torch.arange(grid.tokens, device=given_b.device) < grid.frame_tokens
    return given_b[:, None] & mask_n


def to_tokens(latents_bcfyx: Tensor) -> Tensor:
    """(b, c, f, y, x) latents to (b, n, c) tokens, time slowest. The patch size is 1 in every released model."""
    return latents_bcfyx.flatten(2).transpose(1, 2)


def to_latents(tokens_bnc: Tensor, grid: Grid) -> Tensor:
    """The inverse of `to_tokens`."""
    return tokens_bnc.transpose(1, 2).reshape(len(tokens_bnc), -1, grid.frames, grid.height, grid.width)
