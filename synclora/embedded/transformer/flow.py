"""One training step's mathematics: which tokens are given, what noise the others carry, and the loss. Knows no files and no optimizer.

    draws = draw(seed, step, samples, settings)
    loss_b = loss_of(stream, samples, draws, caption)

What is trained is what `stream.velocity` computes in an edit without adapter. Shapes: b samples, n tokens, c channels.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from synclora.backbone.base import Caption, Stream
from synclora.embedded.transformer.settings import GivenSettings, TransformerSettings
from synclora.incontext.flow import add_noise, draw_sigma
from synclora.incontext.layout import Tokens, lay_out
from synclora.incontext.positions import Grid
from synclora.train.batches import seed_of


@dataclass(frozen=True)
class Samples:
    """Clips of one shape, each in its own time.

    Attributes:
        x0_bnc: (b, n, c) normalised latents.
        weight_bn: (b, n) what a token counts.
        grids: the cells of each.
    """

    x0_bnc: Tensor
    weight_bn: Tensor
    grids: tuple[Grid, ...]


@dataclass(frozen=True)
class FlowDraws:
    """What chance decides.

    Attributes:
        sigma_b: (b,) float32 noise levels.
        noise_bnc: (b, n, c) float32.
        clean_bn: (b, n) bool, the tokens that are given.
    """

    sigma_b: Tensor
    noise_bnc: Tensor
    clean_bn: Tensor


def draw(seed: int, step: int, samples: Samples, settings: TransformerSettings) -> FlowDraws:
    """The draws of a step: a function of the seed, the step and the place in the batch."""
    sigmas, noises, cleans = [], [], []
    for place, grid in enumerate(samples.grids):
        generator = torch.Generator().manual_seed(seed_of("flow", seed, step, place))
        cleans.append(given_frames(grid, settings.given, generator))
        sigmas.append(draw_sigma(1, grid.tokens, settings.sigma, generator))
        noises.append(torch.randn(samples.x0_bnc.shape[1:], generator=generator))
    return FlowDraws(torch.cat(sigmas).float(), torch.stack(noises), torch.stack(cleans))


def given_frames(grid: Grid, settings: GivenSettings, generator: torch.Generator) -> Tensor:
    """(n,) bool. The first latent frame always is given, the last drawn one never all of the clip."""
    which, scattered = torch.rand(2, generator=generator).tolist()
    coins = torch.rand(grid.frames, generator=generator)
    frames = torch.arange(grid.frames)
    shares = torch.tensor(settings.first).cumsum(0)
    count = 1 + int((which * shares[-1] >= shares[:-1]).sum())
    given = frames < count
    if scattered < settings.scattered:
        given = (coins < 0.5) | (frames == 0)
        given[1 + int(coins[0] * (grid.frames - 1))] = False  # something is to be made
    return given.repeat_interleave(grid.frame_tokens)


def lay_out_each(x_bnc: Tensor, sigma_b: Tensor, clean_bn: Tensor, grids: Sequence[Grid]) -> Tokens:
    """The tokens of samples that differ in their frames per second."""
    each = [lay_out(None, x_bnc[i : i + 1], sigma_b[i : i + 1], clean_bn[i : i + 1], grid) for i, grid in enumerate(grids)]
    return Tokens(
        torch.cat([one.x_bsc for one in each]),
        torch.cat([one.sigma_bs for one in each]),
        torch.cat([one.sigma_b for one in each]),
        torch.cat([one.bounds_basz for one in each]),
        source_tokens=0,
    )


def loss_of(stream: Stream, samples: Samples, draws: FlowDraws, caption: Caption) -> Tensor:
    """(b,) float32 weighted mean squared error of the velocity over the noised tokens, with its graph."""
    noised_bnc = add_noise(samples.x0_bnc, draws.noise_bnc, draws.sigma_b, draws.clean_bn)
    tokens = lay_out_each(noised_bnc, draws.sigma_b, draws.clean_bn, samples.grids)
    velocity_bnc = stream.velocity(tokens, caption.expand(len(samples.grids)))
    error_bn = (velocity_bnc.float() - (draws.noise_bnc - samples.x0_bnc)).square().mean(-1)
    counted_bn = samples.weight_bn * ~draws.clean_bn
    return (error_bn * counted_bn).sum(1) / counted_bn.sum(1)
