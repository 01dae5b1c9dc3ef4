"""How large each latent channel is made, by what it does to the picture.

    vae = scaled(vae, raw_bnc, clips, ScaleSettings())        # its latents_mean and latents_std set

An autoencoder trained with noise on its latents gives channels that are about white: a trace of grain deviates as much as where the head is,
and a squared error counts them alike. So a channel's importance g is measured, the mean squared change of the picture when the channel is
disturbed by its own deviation, and its normalised deviation a is proportional to g^(power/2), with mean a² = 1.

Importance is measured backwards: with v a random picture of independent unit numbers and J the decoder's derivative, (Jᵀv)² has the expectation
of the squared derivatives summed over all pixels (Hutchinson's estimator), for every channel at once. Finite differences would take a decoding
per channel, minutes in place of seconds.
"""

from typing import Any

import torch
from torch import Tensor

from synclora.embedded.clips.feed import ClipBatch
from synclora.embedded.transformer.settings import ScaleSettings
from synclora.train.batches import seed_of


def scaled(vae: Any, raw_bnc: Tensor, probed: ClipBatch, settings: ScaleSettings, seed: int) -> Any:
    """The autoencoder with its latents' normalisation set.

    Args:
        vae: changed in place.
        raw_bnc: latents of training clips.
        probed: a few of them as pixels.
        settings: the power, and how much is measured.
        seed: of the probes.
    """
    mean_c, std_c = raw_bnc.mean((0, 1)), raw_bnc.std((0, 1))
    amplitude_c = amplitudes(importance(vae, probed, std_c, settings.probes, seed), settings.power)
    with torch.no_grad():
        vae.latents_mean.copy_(mean_c)
        vae.latents_std.copy_(std_c.clamp(min=1e-4) / amplitude_c)
    return vae


def importance(vae: Any, clips: ClipBatch, std_c: Tensor, probes: int, seed: int) -> Tensor:
    """(c,) weighted mean squared change of a pixel when a channel is disturbed by `std_c`, independently in every cell."""
    total_c = torch.zeros_like(std_c)
    vae.requires_grad_(False)
    for number, (clip, weight) in enumerate(zip(clips.pixels_bcfyx, clips.weight_b1fyx, strict=True)):
        with torch.no_grad():
            latents = vae.encode(clip[None]).latent_dist.mode()
        latents.requires_grad_()
        made = vae.decode(latents, return_dict=False)[0]
        for probe in range(probes):
            random = torch.Generator().manual_seed(seed_of("probe", seed, number, probe))
            seen = torch.randn(made.shape, generator=random) * (weight / weight.mean()).sqrt()
            (back,) = torch.autograd.grad((made * seen).sum(), latents, retain_graph=probe < probes - 1)
            total_c += back.square().sum((0, 2, 3, 4)) / made.numel()
    return total_c * std_c.square() / (len(clips.pixels_bcfyx) * probes)


def amplitudes(importance_c: Tensor, power: float) -> Tensor:
    """(c,) deviations of the normalised channels: mean square 1."""
    amplitude_c = importance_c.clamp(min=1e-12) ** (power / 2)
    return amplitude_c / amplitude_c.square().mean().sqrt()
