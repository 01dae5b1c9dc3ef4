"""One training step's mathematics: draws, the call, the loss. Knows nothing of workers, files or optimizers.

    draws = draw(seed, step, places, batch, settings)
    loss_b = step_loss(stream, batch, draws)

Every draw depends on the seed, the step and the sample's place in the batch, not on the worker that computes it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from synclora.backbone.base import Caption, Stream
from synclora.incontext.flow import SigmaSettings, add_noise, draw_sigma, edit_weight, flow_loss
from synclora.incontext.layout import first_frame, lay_out
from synclora.incontext.positions import Grid
from synclora.train.batches import seed_of
from synclora.train.recipe import ContextSettings


@dataclass(frozen=True)
class Batch:
    """Samples of one shape, on the transformer's device.

    Attributes:
        source_bnc: latents of the sources.
        edited_bnc: latents of the edited halves, which the model is to make.
        caption: one per sample.
        empty: the caption that says nothing, for dropping it; b = 1.
        grid: the cells of either half.
    """

    source_bnc: Tensor
    edited_bnc: Tensor
    caption: Caption
    empty: Caption
    grid: Grid


@dataclass(frozen=True)
class Draws:
    """What chance decides.

    Attributes:
        sigma_b: (b,) float32 noise levels.
        noise_bnc: (b, n, c) float32.
        given_b: (b,) int64, how many of the first latent frames are given; 1 is the edited first frame, 0 nothing.
        captioned_b: (b,) bool, whether the caption is kept.
        with_source: whether the source is seen, by the whole step.
    """

    sigma_b: Tensor
    noise_bnc: Tensor
    given_b: Tensor
    captioned_b: Tensor
    with_source: bool


def draw(seed: int, step: int, places: Sequence[int], batch: Batch, context: ContextSettings, sigma: SigmaSettings) -> Draws:
    """The draws of these places of a step's batch; always on the CPU, so that every device trains on the same."""
    device, tokens = batch.edited_bnc.device, batch.grid.tokens
    sigmas, noises, chances = [], [], []
    for place in places:
        generator = torch.Generator().manual_seed(seed_of("sample", seed, step, place))
        chances.append(torch.rand(2, generator=generator))
        sigmas.append(draw_sigma(1, tokens, sigma, generator))
        noises.append(torch.randn(batch.edited_bnc.shape[1:], generator=generator))
    of_step = torch.rand(1, generator=torch.Generator().manual_seed(seed_of("step", seed, step)))
    given_b, captioned_b = torch.stack(chances).unbind(1)
    return Draws(
        sigma_b=torch.cat(sigmas).float().to(device),
        noise_bnc=torch.stack(noises).to(device),
        given_b=((given_b < context.first_frame) * _frames(seed, step, places, context, batch.grid.frames - 1)).to(device),
        captioned_b=(captioned_b >= context.drop_caption).to(device),
        with_source=bool(of_step >= context.drop_source),
    )


def _frames(seed: int, step: int, places: Sequence[int], context: ContextSettings, most: int) -> Tensor:
    """(b,) int64: how many first latent frames are given where any are. Has a generator of its own, so that no other draw moves."""
    if len(context.given_frames) == 1:
        return torch.ones(len(places), dtype=torch.int64)
    bounds = torch.tensor(context.given_frames, dtype=torch.float64).cumsum(0)[:-1]
    generators = (torch.Generator().manual_seed(seed_of("given", seed, step, place)) for place in places)
    chance_b = torch.cat([torch.rand(1, dtype=torch.float64, generator=generator) for generator in generators])
    return (1 + torch.searchsorted(bounds, chance_b, right=True)).clamp(max=most)


def step_loss(
    stream: Stream, batch: Batch, draws: Draws, through: Callable[..., Any] | None = None, edit_share: float = 0.0
) -> Tensor:
    """(b,) float32 loss of each sample, with its graph.

    Args:
        stream: the model.
        batch: the samples, in the transformer's dtype.
        draws: as many as samples.
        through: the transformer's wrapper, if it has one.
        edit_share: of the loss, what goes by how far the halves are apart; see `ContextSettings`.
    """
    clean_bn = first_frame(draws.given_b, batch.grid)
    noised_bnc = add_noise(batch.edited_bnc.float(), draws.noise_bnc, draws.sigma_b, clean_bn).to(batch.edited_bnc.dtype)
    source_bnc = batch.source_bnc if draws.with_source else None
    tokens = lay_out(source_bnc, noised_bnc, draws.sigma_b, clean_bn, batch.grid)
    kept_b = draws.captioned_b.tolist()
    caption = batch.caption
    if not all(kept_b):
        own = (Caption(caption.embeds_bld[i : i + 1], caption.mask_bl[i : i + 1]) for i in range(len(kept_b)))
        caption = Caption.stack([one if kept else batch.empty for one, kept in zip(own, kept_b, strict=True)])
    velocity_bnc = tokens.target(stream.velocity(tokens, caption, through))
    weight_bn = edit_weight(batch.edited_bnc, batch.source_bnc, clean_bn, edit_share) if edit_share else None
    return flow_loss(velocity_bnc, batch.edited_bnc, draws.noise_bnc, clean_bn, weight_bn)
