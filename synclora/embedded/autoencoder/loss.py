"""What a reconstruction is asked for.

    loss, parts = reconstruction_loss(vae, batch, noise, settings)

Shapes: b samples, c channels, f frames, y rows, x columns.
"""

import math
from typing import Any

import torch
from torch import Tensor

from synclora.embedded.autoencoder.settings import LossSettings
from synclora.embedded.clips.feed import ClipBatch
from synclora.train.batches import seed_of


def draw_noise(seed: int, step: int, latents_like: Tensor) -> Tensor:
    """Standard normal numbers, a function of the seed, the step and the shape."""
    random = torch.Generator().manual_seed(seed_of("latent", seed, step))
    return torch.randn(latents_like.shape, generator=random)


def reconstruction_loss(
    vae: Any, batch: ClipBatch, seed: int, step: int, settings: LossSettings
) -> tuple[Tensor, dict[str, float]]:
    """The loss with its graph, and its parts for the log."""
    video = batch.pixels_bcfyx.contiguous(memory_format=torch.channels_last_3d)
    latents = vae.encode(video).latent_dist.mode().float()
    noised = latents + settings.latent_noise * draw_noise(seed, step, latents)
    made = vae.decode(noised, return_dict=False)[0].float()
    pixel, gradient, motion = differences(made, batch.pixels_bcfyx, batch.weight_b1fyx)
    energy = latents.square().mean()
    loss = pixel + settings.gradient * gradient + settings.motion * motion + settings.latent_energy * energy
    parts = {"pixel": pixel, "gradient": gradient, "motion": motion, "energy": energy}
    return loss, {name: float(part.detach()) for name, part in parts.items()}


def differences(made: Tensor, wanted: Tensor, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Weighted L1 of pixels, of their steps along rows and columns, and of their steps in time."""
    error = made - wanted
    pixel = (weight * error.abs()).mean()
    across = (weight[..., 1:] * error.diff(dim=-1).abs()).mean()
    down = (weight[..., 1:, :] * error.diff(dim=-2).abs()).mean()
    motion = (weight[:, :, 1:] * error.diff(dim=2).abs()).mean()
    return pixel, across + down, motion


@torch.no_grad()
def quality(vae: Any, batch: ClipBatch) -> dict[str, float]:
    """Of plain clips: decibels over the picture and over eyes and lips, and the weighted L1."""
    squares, marked, near, pixel = 0.0, 0.0, 0.0, 0.0
    inside = batch.weight_b1fyx > batch.weight_b1fyx.min() * 1.01
    for clip, weight, marks in zip(batch.pixels_bcfyx, batch.weight_b1fyx, inside, strict=True):
        made = vae.decode(vae.encode(clip[None]).latent_dist.mode(), return_dict=False)[0].float().clamp(-1, 1)[0]
        error = made - clip
        squares += float(error.square().mean())
        marked += float((error.square() * marks).sum())
        near += float(marks.sum()) * 3
        pixel += float((weight * error.abs()).mean())
    count = len(batch.pixels_bcfyx)
    return {
        "psnr": _decibels(squares / count),
        "psnr_face": _decibels(marked / max(near, 1.0)),
        "pixel": pixel / count,
    }


def _decibels(square: float) -> float:
    return 10 * math.log10(4 / max(square, 1e-9))
