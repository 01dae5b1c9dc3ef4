"""What one transformer call sees: [source ; target], the paper's figure 1 as one sequence.

The source is clean, and so are the target tokens of the edited first frame; every other target token carries noise. Each token has its own
noise level, 0 for the clean ones, and both streams lie on the same grid. Training and editing use this one function. An edit can show further
edited pictures: clean tokens after the target's, each at the time of its video frame, as in the condition pipelines of LTX-Video and LTX-2.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from synclora.incontext.positions import Grid


@dataclass(frozen=True)
class Given:
    """Target tokens that are known before sampling: the edited first frame, or the latent frames that a window shares with the one before.

    Attributes:
        x_bnc: (b, n, c) clean latents; what stands where they are not given does not matter.
        clean_bn: (b, n) bool, where they are given.
    """

    x_bnc: Tensor
    clean_bn: Tensor

    @classmethod
    def start(cls, x_bnc: Tensor, grid: Grid) -> "Given":
        """The first latent frames of the clip, one or more of them: (b, k · frame tokens, c).

        Raises:
            ValueError: they are no whole frames, or more than the grid has.
        """
        batch, count, channels = x_bnc.shape
        if not count or count % grid.frame_tokens or count > grid.tokens:
            raise ValueError(
                f"{count} given tokens: give whole latent frames of {grid.frame_tokens} tokens, {grid.frames} at most"
            )
        rest_bnc = x_bnc.new_zeros(batch, grid.tokens - count, channels)
        clean_n = torch.arange(grid.tokens, device=x_bnc.device) < count
        return cls(torch.cat([x_bnc, rest_bnc], dim=1), clean_n.expand(batch, -1))


@dataclass(frozen=True)
class Key:
    """One more edited picture.

    Attributes:
        frame: which video frame of this clip it stands for, counted from 0.
        x_bnc: (b, frame tokens, c) its latents, encoded as a video of one frame.
    """

    frame: int
    x_bnc: Tensor


@dataclass(frozen=True)
class Tokens:
    """One call's tokens.

    Attributes:
        x_bsc: (b, s, c) latents: source, target, keys.
        sigma_bs: (b, s) float32 noise level of each token, 0 (clean) to 1 (pure noise).
        sigma_b: (b,) float32 noise level of the noised tokens.
        bounds_basz: (b, 3, s, 2) float32 start and end of each token: seconds, pixels, pixels.
        source_tokens: how many of s are the source's; 0 without one.
        key_tokens: how many are further pictures'.
    """

    x_bsc: Tensor
    sigma_bs: Tensor
    sigma_b: Tensor
    bounds_basz: Tensor
    source_tokens: int
    key_tokens: int = 0

    def target(self, of_bsc: Tensor) -> Tensor:
        """The target's part of something that has a value for each token."""
        return of_bsc[:, self.source_tokens : of_bsc.shape[1] - self.key_tokens]

    def without_source(self) -> "Tokens":
        """The same tokens but the source's."""
        cut = self.source_tokens
        x_bsc, sigma_bs, bounds_basz = self.x_bsc[:, cut:], self.sigma_bs[:, cut:], self.bounds_basz[:, :, cut:]
        return Tokens(x_bsc, sigma_bs, self.sigma_b, bounds_basz, source_tokens=0, key_tokens=self.key_tokens)


def lay_out(
    source_bnc: Tensor | None, target_bnc: Tensor, sigma_b: Tensor, clean_bn: Tensor, grid: Grid, keys: Sequence[Key] = ()
) -> Tokens:
    """Lay source and target side by side on one grid.

    Args:
        source_bnc: (b, n, c) clean latents of the source; None leaves it out (for guidance).
        target_bnc: (b, n, c) latents of the target: noised, but clean where `clean_bn` says so.
        sigma_b: (b,) noise level of the noised tokens.
        clean_bn: (b, n) bool, target tokens that are given: the edited first frame.
        grid: the cells of either stream.
        keys: further edited pictures.

    Raises:
        ValueError: shapes that do not fit the grid or each other, or a key outside the clip.
    """
    batch, count = target_bnc.shape[:2]
    if count != grid.tokens or (source_bnc is not None and source_bnc.shape != target_bnc.shape):
        found = None if source_bnc is None else tuple(source_bnc.shape)
        raise ValueError(f"source {found} and target {tuple(target_bnc.shape)} on a grid of {grid.tokens} tokens")
    sigma_b = sigma_b.float()
    sigma_bn = sigma_b[:, None] * ~clean_bn
    bounds_anz = grid.bounds_anz(target_bnc.device)
    source = [] if source_bnc is None else [(source_bnc, torch.zeros_like(sigma_bn), bounds_anz)]
    parts = [*source, (target_bnc, sigma_bn, bounds_anz), *(_laid(key, target_bnc, grid) for key in keys)]
    return Tokens(
        x_bsc=torch.cat([x for x, _, _ in parts], dim=1),
        sigma_bs=torch.cat([sigma for _, sigma, _ in parts], dim=1),
        sigma_b=sigma_b,
        bounds_basz=torch.cat([bounds for _, _, bounds in parts], dim=1).expand(batch, -1, -1, -1),
        source_tokens=0 if source_bnc is None else count,
        key_tokens=len(keys) * grid.frame_tokens,
    )


def _laid(key: Key, target_bnc: Tensor, grid: Grid) -> tuple[Tensor, Tensor, Tensor]:
    """A key's latents, levels and bounds."""
    batch, _, channels = target_bnc.shape
    if not 0 <= key.frame < grid.video_frames or key.x_bnc.shape != (batch, grid.frame_tokens, channels):
        raise ValueError(
            f"key {tuple(key.x_bnc.shape)} at frame {key.frame}: expected {(batch, grid.frame_tokens, channels)} "
            f"at a frame below {grid.video_frames}"
        )
    clean = torch.zeros(batch, grid.frame_tokens, device=target_bnc.device)
    return key.x_bnc.to(target_bnc), clean, grid.picture_bounds_anz(key.frame, target_bnc.device)


def first_frame(given_b: Tensor, grid: Grid) -> Tensor:
    """(b, n) bool: the tokens of the first latent frames, as many as are given in each sample; True is one, False none."""
    return torch.arange(grid.tokens, device=given_b.device) < grid.frame_tokens * given_b[:, None]


def to_tokens(latents_bcfyx: Tensor) -> Tensor:
    """(b, c, f, y, x) latents to (b, n, c) tokens, time slowest. The patch size is 1 in every released model."""
    return latents_bcfyx.flatten(2).transpose(1, 2)


def to_latents(tokens_bnc: Tensor, grid: Grid) -> Tensor:
    """The inverse of `to_tokens`."""
    return tokens_bnc.transpose(1, 2).reshape(len(tokens_bnc), -1, grid.frames, grid.height, grid.width)
