"""A start better than chance: blockwise principal components, written into the autoencoder's weights.

    pca_start(vae, pixels_bcfyx, noise=0.05)

Two stages of PCA make latents, their transposes make pixels again, and residual blocks begin as nothing. On the way lie norms over channels.
They would take away how bright or contrasted a place is, so signals ride small (`SWING`) on offsets of size 1: then a norm changes little,
SiLU bends little, and the convolution behind both is fitted by least squares to what is wanted. Offsets are spread over channels, none is
large, so that gradients stay even; and no place is near 0 in all channels, where a norm's gradient has no bound.

Shapes: d numbers of a block of 2x2x2 cells, ordered channel, time, row, column, as the class's upsampling orders them; n samples.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from synclora.embedded.autoencoder.model import PATCH

SWING = 0.3
"""Deviation of a signal beside its offset of 1. Smaller drowns in bfloat16's rounding at 1 (.004), larger is bent by norms."""

_RIDGE = 1e-4
_MOST = 100_000
"""Samples of a fit."""


@torch.no_grad()
def pca_start(vae: Any, pixels_bcfyx: Tensor, *, noise: float, seed: int = 0) -> None:
    """Write it.

    Args:
        vae: in float32, of `model.build`'s kind.
        pixels_bcfyx: clips to analyse; some dozens.
        noise: deviation that the posterior says it has.
        seed: of the rotations that spread components over channels.
    """
    random = torch.Generator().manual_seed(seed)
    encoder, decoder = vae.encoder, vae.decoder
    for block in vae.modules():
        if hasattr(block, "conv1") and hasattr(block, "conv2"):
            nn.init.zeros_(block.conv2.conv.weight)
            nn.init.zeros_(block.conv2.conv.bias)
    patches = patched(pixels_bcfyx)
    _identity(encoder.conv_in.conv, patches.shape[1], at=2)
    encoder.conv_in.conv.bias[patches.shape[1] :] = 1  # the offset of a picture's own cells: a grey patch is 0 in all others

    # first halving: cells of patches to components, the strong ones held back by the root of their deviation
    first = _Components.of(blocks(patches), encoder.down_blocks[0].downsamplers[0].conv.out_channels)
    gain = first.std.clamp_min(first.std.max() * 1e-3) ** -0.5
    gain = gain * (SWING / (first.std * gain).square().mean().sqrt())
    turn = _rotation(len(gain), len(gain), random)
    sign = torch.ones(len(gain))
    sign[1::2] = -1  # the norm behind takes the mean over channels away
    _down(encoder.down_blocks[0].downsamplers[0].conv, turn @ (gain[:, None] * first.axes), first.mean, sign, patches.shape[1])
    _fit_shortcut(encoder, pixels_bcfyx, blocks(patches), first, gain)

    # second halving: cells of components, weighed as pixels, to latents of deviation 1
    middle = _until(encoder, pixels_bcfyx, encoder.down_blocks[0])[:, : len(gain)] / gain.view(1, -1, 1, 1, 1)
    second = _Components.of(blocks(middle), vae.config.latent_channels)
    whiten = 1 / second.std.clamp_min(second.std.max() * 1e-3)
    down = encoder.down_blocks[1].downsamplers[0].conv
    turn = _rotation(down.out_channels, len(whiten), random) * SWING
    per_cell = gain.reciprocal().repeat_interleave(8)
    matrix = turn @ (whiten[:, None] * second.axes * per_cell)
    _down(down, matrix, second.mean / per_cell, torch.ones(down.out_channels), len(gain))
    wanted = second.of_blocks(blocks(middle)) * whiten.view(1, -1, 1, 1, 1)
    _fit(encoder, pixels_bcfyx, wanted, at=2)
    encoder.conv_out.conv.bias[-1] = 2 * torch.log(torch.tensor(max(noise, 1e-4)))

    # and back
    latents = vae.encode(pixels_bcfyx).latent_dist.mode()
    _identity(decoder.conv_in.conv, vae.config.latent_channels, at=1)
    cells = gain.repeat_interleave(8)
    _up(decoder.up_blocks[0], cells[:, None] * second.axes.T / whiten, cells * second.mean + 1)
    offset = patches.mean()
    swing = SWING / (patches - offset).square().mean().sqrt()
    last = decoder.up_blocks[1].upsamplers[0].conv
    turn = _rotation(last.out_channels // 8, patches.shape[1], random) * swing
    axes = (first.axes.T / gain).view(patches.shape[1], 8, -1)
    means = (first.mean - offset).view(patches.shape[1], 8)
    matrix = torch.einsum("oc,csk->osk", turn, axes).flatten(0, 1)
    _up(decoder.up_blocks[1], matrix, (turn @ means + 1).flatten() - matrix.sum(1))
    _fit(decoder, latents, patches, at=1)


def patched(pixels_bcfyx: Tensor) -> Tensor:
    """Patches as channels, in the class's order: colour, column, row."""
    b, c, f, y, x = pixels_bcfyx.shape
    cells = pixels_bcfyx.reshape(b, c, f, y // PATCH, PATCH, x // PATCH, PATCH)
    return cells.permute(0, 1, 6, 4, 2, 3, 5).flatten(1, 3)


def blocks(cells: Tensor) -> Tensor:
    """(b, c, f, y, x) to (b, 8c, (f + 1) / 2, y / 2, x / 2): blocks of 2x2x2 cells, the first frame standing twice."""
    cells = torch.cat([cells[:, :, :1], cells], 2)
    b, c, f, y, x = cells.shape
    return cells.reshape(b, c, f // 2, 2, y // 2, 2, x // 2, 2).permute(0, 1, 3, 5, 7, 2, 4, 6).flatten(1, 4)


class _Components:
    """Principal components: axes (k, d) of unit length, the mean (d), and their deviations (k)."""

    def __init__(self, axes: Tensor, mean: Tensor, std: Tensor) -> None:
        self.axes, self.mean, self.std = axes, mean, std

    @classmethod
    def of(cls, found: Tensor, count: int) -> "_Components":
        rows = _rows(found)
        mean = rows.mean(0)
        values, axes = torch.linalg.eigh((rows - mean).T.double() @ (rows - mean).double() / len(rows))
        return cls(axes.flip(1)[:, :count].T.float(), mean, values.flip(0)[:count].clamp_min(0).sqrt().float())

    def of_blocks(self, found: Tensor) -> Tensor:
        """Their coordinates, in place of the channels."""
        return torch.einsum("kd,bdfyx->bkfyx", self.axes, found - self.mean.view(1, -1, 1, 1, 1))


def _rows(found: Tensor) -> Tensor:
    """(n, d) of (b, d, f, y, x), thinned evenly."""
    rows = found.movedim(1, -1).flatten(0, -2)
    return rows[:: max(1, len(rows) // _MOST)]


def _rotation(rows: int, columns: int, random: torch.Generator) -> Tensor:
    """(rows, columns) with orthogonal columns of length 1."""
    square: Tensor = torch.linalg.qr(torch.randn(rows, rows, generator=random))[0]
    return square[:, :columns].contiguous()


def _identity(conv: nn.Conv3d, channels: int, at: int) -> None:
    """The first channels pass as they are, read at one moment of the kernel; the others stay random and small."""
    conv.weight[:channels] = 0
    conv.bias[:channels] = 0  # type: ignore[index]
    for channel in range(min(channels, conv.out_channels)):
        conv.weight[channel, channel, at, 1, 1] = 1


def _down(conv: nn.Conv3d, matrix: Tensor, mean: Tensor, offset: Tensor, channels: int) -> None:
    """A halving convolution that reads the block of each cell: out = matrix (block - mean) + offset."""
    conv.weight.zero_()
    conv.weight[:, :channels, 1:, 1:, 1:] = matrix.view(len(matrix), channels, 2, 2, 2)
    conv.bias.copy_(offset - matrix @ mean)  # type: ignore[union-attr]


def _up(block: Any, matrix: Tensor, offset: Tensor) -> None:
    """A doubling convolution that reads the cell alone."""
    conv = block.upsamplers[0].conv.conv
    conv.weight.zero_()
    conv.weight[:, : matrix.shape[1], 1, 1, 1] = matrix
    conv.bias.copy_(offset)


def _fit_shortcut(encoder: Any, pixels: Tensor, found: Tensor, first: _Components, gain: Tensor) -> None:
    """The widening block's shortcut: its first channels give the components behind its norm."""
    wide = encoder.down_blocks[0].conv_out
    if wide is None:
        raise ValueError("the start needs more channels at a sixteenth than at a quarter")
    normed = _until(encoder, pixels, wide.norm3)
    wanted = _rows(first.of_blocks(found) * gain.view(1, -1, 1, 1, 1))
    weight, bias = _least_squares(normed.flatten(0, -2)[:: max(1, normed[..., 0].numel() // _MOST)], wanted)
    conv = wide.conv_shortcut.conv
    conv.weight[: len(gain), :, 0, 0, 0] = weight
    conv.bias[: len(gain)] = bias


def _fit(half: Any, inputs: Tensor, wanted: Tensor, at: int) -> None:
    """A half's last convolution, from what its norm and SiLU give to what is wanted, at the same place and moment."""
    seen = _until(half, inputs, half.norm_out)
    rows = F.silu(seen.flatten(0, -2)[:: max(1, seen[..., 0].numel() // _MOST)])
    weight, bias = _least_squares(rows, _rows(wanted))
    conv = half.conv_out.conv
    conv.weight.zero_()
    conv.bias.zero_()
    conv.weight[: len(weight), :, at, 1, 1] = weight
    conv.bias[: len(weight)] = bias


def _least_squares(rows: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """Weight (k, d) and bias (k) of the ridge regression."""
    x, y = rows.double(), wanted.double()
    mean_x, mean_y = x.mean(0), y.mean(0)
    square = (x - mean_x).T @ (x - mean_x) / len(x)
    square += _RIDGE * square.diagonal().mean() * torch.eye(len(square), dtype=square.dtype)
    weight = torch.linalg.solve(square, (x - mean_x).T @ (y - mean_y) / len(x)).T
    return weight.float(), (mean_y - weight @ mean_x).float()


def _until(half: Any, inputs: Tensor, module: nn.Module) -> Tensor:
    """What a module inside an encoder or decoder gives."""
    found: list[Tensor] = []
    handle = module.register_forward_hook(lambda _module, _args, output: found.append(output))
    try:
        half(inputs)
    finally:
        handle.remove()
    return found[0]
