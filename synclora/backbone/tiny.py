"""Miniatures: the true classes and the hub's layout, a few layers, random weights. They prove plumbing, never a picture.

Built once per machine from configuration and a fixed seed, kept under the user's cache folder, and loaded like any other folder.
"""

import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from synclora.backbone.load import quiet
from synclora.backbone.shared import cache_folder

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
    return kept_folder(f"{kind}-v{_VERSION}", MINIATURES[kind])


def kept_folder(name: str, build: Callable[[Path], None]) -> Path:
    """A folder of the user's cache that is made once: whole, or not at all.

    Args:
        name: of the folder; another one when what is built changes.
        build: fills an empty folder. Torch's randomness starts from the same seed each time, and the caller's is left alone.
    """
    cache = cache_folder() / "tiny"
    folder = cache / name
    if folder.exists():
        return folder
    import diffusers  # noqa: F401  for `quiet`, which keeps imported libraries quiet only
    import transformers  # noqa: F401

    cache.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=cache))
    try:
        with quiet(), torch.random.fork_rng(devices=[]):
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


def small_tokenizer() -> Any:
    """A tokenizer trained on a few sentences, with T5's special tokens."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    _train(tokenizer, ["<pad>", "</s>", "<unk>"])
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
    """LTX-Video 0.9.0, diffusers' default."""
    from diffusers import AutoencoderKLLTXVideo, LTXPipeline, LTXVideoTransformer3DModel
    from transformers import T5Config, T5EncoderModel

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
    LTXPipeline(_scheduler(), vae, text_encoder, tokenizer, transformer).save_pretrained(folder, safe_serialization=True)


def _ltx_2(folder: Path) -> None:
    from diffusers import LTX2InContextPipeline

    LTX2InContextPipeline(**ltx_2_parts()).save_pretrained(folder, safe_serialization=True)


def ltx_2_parts() -> dict[str, Any]:
    """LTX-2.3 in what a video's velocity depends on: gates, split rotation, a modulated caption, connectors that fill up with registers.

    Under the names that all of the family's pipelines give them.
    """
    from diffusers import AutoencoderKLLTX2Video, LTX2VideoTransformer3DModel
    from diffusers.pipelines.ltx2 import LTX2TextConnectors

    size = {"num_layers": 4, "in_channels": 16, "out_channels": 16, "num_attention_heads": 4, "attention_head_dim": 32}
    audio = {"audio_in_channels": 4, "audio_out_channels": 4, "audio_num_attention_heads": 4, "audio_attention_head_dim": 16}
    caption = {"caption_channels": 64, "cross_attention_dim": 128, "audio_cross_attention_dim": 64}
    gates = {"gated_attn": True, "audio_gated_attn": True, "cross_attn_mod": True, "audio_cross_attn_mod": True}
    rest = {"rope_type": "split", "perturbed_attn": True, "use_prompt_embeddings": False}
    transformer = LTX2VideoTransformer3DModel(**size, **audio, **caption, **gates, **rest)
    vae = AutoencoderKLLTX2Video(
        latent_channels=16,
        block_out_channels=(16, 32, 32, 32),
        decoder_block_out_channels=(16, 32, 64),
        layers_per_block=(1, 1, 1, 1, 1),
        decoder_layers_per_block=(1, 1, 1, 1),
        spatial_compression_ratio=32,
        temporal_compression_ratio=8,
    )
    normalise_latents(vae.eval())
    tokenizer, text_encoder = _gemma()
    layers = text_encoder.config.text_config.num_hidden_layers
    read = {"caption_channels": 64, "text_proj_in_factor": layers + 1, "per_modality_projections": True, "proj_bias": True}
    video = {"video_hidden_dim": 128, "video_connector_num_attention_heads": 4, "video_connector_attention_head_dim": 32}
    heard = {"audio_hidden_dim": 64, "audio_connector_num_attention_heads": 4, "audio_connector_attention_head_dim": 16}
    deep = {"video_connector_num_layers": 1, "audio_connector_num_layers": 1, "rope_type": "split"}
    connectors = LTX2TextConnectors(**read, **video, **heard, **deep, video_gated_attn=True, audio_gated_attn=True)
    audio_vae, vocoder = _sound()
    return {
        "scheduler": _scheduler(),
        "vae": vae,
        "audio_vae": audio_vae,
        "text_encoder": text_encoder,
        "tokenizer": tokenizer,
        "connectors": connectors,
        "transformer": transformer,
        "vocoder": vocoder,
    }


def _gemma() -> tuple[Any, Any]:
    """Gemma 3 and its tokenizer; it can see pictures, which nothing here shows it."""
    from tokenizers import Tokenizer, models, normalizers
    from transformers import Gemma3Config, Gemma3ForConditionalGeneration, GemmaTokenizer

    pieces = Tokenizer(models.BPE(unk_token="<unk>"))
    pieces.normalizer = normalizers.Replace(" ", "▁")
    _train(pieces, ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"])
    trained = json.loads(pieces.to_str())["model"]
    tokenizer = GemmaTokenizer(vocab=trained["vocab"], merges=[tuple(merge) for merge in trained["merges"]])
    width = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16}
    marks = {"vocab_size": len(tokenizer), "pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 2}
    sight = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 28}
    config = Gemma3Config(
        text_config={**width, **heads, **marks}, vision_config=sight, mm_tokens_per_image=4, image_token_index=4
    )
    return tokenizer, Gemma3ForConditionalGeneration(config)


def _sound() -> tuple[Any, Any]:
    """The audio's autoencoder and vocoder: the pipeline wants them, nothing here hears them."""
    from diffusers import AutoencoderKLLTX2Audio
    from diffusers.pipelines.ltx2 import LTX2Vocoder

    audio_vae = AutoencoderKLLTX2Audio(
        base_channels=4, ch_mult=(1,), num_res_blocks=1, resolution=32, latent_channels=2, mel_bins=8
    )
    vocoder = LTX2Vocoder(
        in_channels=16,
        hidden_channels=16,
        upsample_kernel_sizes=[4, 4],
        upsample_factors=[2, 2],
        resnet_kernel_sizes=[3],
        resnet_dilations=[[1, 3, 5]],
    )
    return audio_vae, vocoder


def _scheduler() -> Any:
    """As the released models come with."""
    from diffusers import FlowMatchEulerDiscreteScheduler

    return FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True, shift_terminal=0.1, base_shift=0.95, max_shift=2.05)


def _train(tokenizer: Any, special: list[str]) -> None:
    from tokenizers import trainers

    tokenizer.train_from_iterator(_SENTENCES, trainers.BpeTrainer(vocab_size=256, special_tokens=special, show_progress=False))


MINIATURES: dict[str, Callable[[Path], None]] = {"ltx-video": _ltx_video, "ltx-2": _ltx_2}
