"""Miniatures: the true classes and the hub's layout, a few layers, random weights. They prove plumbing, never a picture.

Built once per machine from configuration and a fixed seed, kept under the user's cache folder, and loaded like any other folder.
"""

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKLLTXVideo, FlowMatchEulerDiscreteScheduler, LTXPipeline, LTXVideoTransformer3DModel
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, T5Config, T5EncoderModel

_SEED = 0
_VERSION = 1
"""Raised when a configuration below changes: old miniatures in the cache are then left alone."""

_SENTENCES = [
    "3d1t",
    "a person speaks to the camera, blinks and turns the head",
    "the same person with a beard, a hat, a red jacket",
]


def tiny_folder(kind: str) -> Path:
    """The folder of a miniature, built if need be.

    Raises:
        KeyError: there is no such miniature.
    """
    build = MINIATURES[kind]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "synclora" / "tiny"
    folder = cache / f"{kind}-v{_VERSION}"
    if folder.exists():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{kind}-", dir=cache))
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(_SEED)
            build(scratch)
        try:
            scratch.rename(folder)
        except OSError:  # another process was first: equal content
            if not folder.exists():
                raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return folder


def small_tokenizer() -> PreTrainedTokenizerFast:
    """A word-piece tokenizer trained on a few sentences, with T5's special tokens."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.train_from_iterator(
        _SENTENCES, trainers.BpeTrainer(vocab_size=256, special_tokens=["<pad>", "</s>", "<unk>"], show_progress=False)
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>")


@torch.no_grad()
def normalise_latents(vae: Any) -> None:
    """Give a random autoencoder the statistics that a trained one comes with, so that its latents have mean 0 and deviation 1."""
    side, frames = 4 * int(vae.spatial_compression_ratio), 2 * int(vae.temporal_compression_ratio) + 1
    small = torch.rand(4, 3, frames, side // 8, side // 8) * 2 - 1
    video = torch.nn.functional.interpolate(small, (frames, side, side), mode="trilinear")
    latents = vae.encode(video).latent_dist.mode()
    vae.latents_mean.copy_(latents.mean((0, 2, 3, 4)))
    vae.latents_std.copy_(latents.std((0, 2, 3, 4)))


def _ltx_video(folder: Path) -> None:
    transformer = LTXVideoTransformer3DModel(
        in_channels=16,
        out_channels=16,
        num_attention_heads=4,
        attention_head_dim=32,
        cross_attention_dim=128,
        num_layers=4,
        caption_channels=64,
    )
    vae = AutoencoderKLLTXVideo(
        latent_channels=16,
        block_out_channels=(16, 32, 32, 32),
        decoder_block_out_channels=(16, 32, 32, 32),
        layers_per_block=(1, 1, 1, 1, 1),
        decoder_layers_per_block=(1, 1, 1, 1, 1),
    )
    normalise_latents(vae.eval())
    tokenizer = small_tokenizer()
    text_encoder = T5EncoderModel(T5Config(vocab_size=len(tokenizer), d_model=64, d_kv=16, d_ff=128, num_layers=2, num_heads=4))
    scheduler = FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True, shift_terminal=0.1, base_shift=0.95, max_shift=2.05)
    LTXPipeline(scheduler, vae, text_encoder, tokenizer, transformer).save_pretrained(folder, safe_serialization=True)


MINIATURES: dict[str, Callable[[Path], None]] = {"ltx-video": _ltx_video}
