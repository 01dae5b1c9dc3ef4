"""The autoencoder's shape, and its files: `AutoencoderKLLTXVideo` as diffusers saves and loads it.

vae = build(ModelSettings(), seed=0)
write_folder(vae, out / "vae")           # config.json and one safetensors file, float16
"""

import shutil
from pathlib import Path
from typing import Any

import torch
from torch import nn

from synclora.backbone.load import quiet
from synclora.embedded.autoencoder.settings import ModelSettings
from synclora.errors import SyncLoraError

PATCH = 4
STRIDE_S, STRIDE_T = 4 * PATCH, 4
"""Two halvings after the patches."""

LARGEST_BYTES = 16_000_000
"""Of a file that is shipped."""

_HEADER_BYTES = 200_000
"""Left for names and shapes, which the library does not count."""


def build(settings: ModelSettings, seed: int) -> Any:
    """The autoencoder with random weights that are a function of the seed."""
    from diffusers import AutoencoderKLLTXVideo

    with quiet(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return AutoencoderKLLTXVideo(
            latent_channels=settings.latent_channels,
            block_out_channels=(settings.fine, settings.coarse, settings.coarse),
            down_block_types=("LTXVideoDownBlock3D",) * 3,
            layers_per_block=settings.layers,
            spatio_temporal_scaling=(True, True, False),
            decoder_block_out_channels=(settings.fine, settings.wide),
            decoder_layers_per_block=settings.decoder_layers,
            decoder_spatio_temporal_scaling=(True, True),
            decoder_inject_noise=(False,) * 3,
            upsample_residual=(False, False),
            upsample_factor=(1, settings.wide // settings.fine),
            patch_size=PATCH,
            encoder_causal=True,
            decoder_causal=False,
            spatial_compression_ratio=STRIDE_S,
            temporal_compression_ratio=STRIDE_T,
        )


def same_shape(model: Any) -> Any:
    """Another one of the same configuration, with weights of its own."""
    with quiet():
        return type(model).from_config(model.config)


def parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """By name."""
    return dict(model.named_parameters())


def write_folder(model: Any, folder: Path, dtype: torch.dtype = torch.float16, *, files: int = 1) -> None:
    """Save in diffusers' layout under a temporary name, then rename; the folder before it goes.

    Args:
        model: an autoencoder, or another model of diffusers.
        folder: its last part is what diffusers' pipelines call it.
        dtype: of the weights.
        files: at most so many of `LARGEST_BYTES`.

    Raises:
        SyncLoraError: a weight does not fit the dtype, or more files would be needed.
        OSError: it cannot be written.
    """
    copy = same_shape(model)
    copy.load_state_dict(model.state_dict())
    with quiet():  # it would rather load than cast, for models with layers that must stay float32; this has none
        copy = copy.to(dtype)
    if not all(tensor.isfinite().all() for tensor in copy.state_dict().values()):
        raise SyncLoraError(f"{folder}: a weight is not finite in {dtype}; train with a smaller rate")
    scratch = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(scratch, ignore_errors=True)
    with quiet():
        copy.save_pretrained(scratch, safe_serialization=True, max_shard_size=LARGEST_BYTES - _HEADER_BYTES)
    sizes = [file.stat().st_size for file in scratch.glob("*.safetensors")]
    if len(sizes) > files or max(sizes) > LARGEST_BYTES:
        shutil.rmtree(scratch, ignore_errors=True)
        raise SyncLoraError(f"{folder}: {sum(sizes)} bytes, more than {files} x {LARGEST_BYTES}; make the model smaller")
    for file in scratch.iterdir():
        file.chmod(0o644)  # the library's own is the writer's alone
    shutil.rmtree(folder, ignore_errors=True)
    scratch.rename(folder)
