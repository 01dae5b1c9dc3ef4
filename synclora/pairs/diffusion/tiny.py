"""Miniatures of the generating pipelines: the true classes and the hub's layout, a few layers, random weights. They prove
plumbing, never a picture.

    portrait: {model: "tiny:flux", dtype: float32, steps: 2, width: 64, height: 64}

Built once per machine and kept beside the backbones' (`synclora/backbone/tiny.py`), then loaded like any other folder.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from synclora.backbone.tiny import kept_folder, ltx_2_parts, small_tokenizer
from synclora.pairs.diffusion.tiny_text import clip_tokenizer, mistral, qwen_vl, t5

_VERSION = 1
"""Raised when a configuration below changes: old miniatures in the cache are then left alone."""

_SAVE = {"safe_serialization": True}


def tiny_pipeline(kind: str) -> Path:
    """The folder of a miniature, built if need be.

    Raises:
        KeyError: there is no such miniature.
    """
    return kept_folder(tiny_name(kind), MINIATURES[kind])


def tiny_name(kind: str) -> str:
    """What stands for a miniature's content, on every machine."""
    return f"{kind}-pipeline-v{_VERSION}"


def _flux(folder: Path) -> None:
    """FLUX.1-dev: two text encoders, distilled guidance."""
    from diffusers import FluxPipeline

    FluxPipeline(**_flux_parts()).save_pretrained(folder, **_SAVE)


def _flux_kontext(folder: Path) -> None:
    """FLUX.1-Kontext-dev: the same parts, and a picture in the sequence."""
    from diffusers import FluxKontextPipeline

    FluxKontextPipeline(**_flux_parts()).save_pretrained(folder, **_SAVE)


def _flux_parts() -> dict[str, Any]:
    from diffusers import FlowMatchEulerDiscreteScheduler, FluxTransformer2DModel
    from transformers import CLIPTextConfig, CLIPTextModel

    transformer = FluxTransformer2DModel(
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=32,
        pooled_projection_dim=32,
        guidance_embeds=True,
        axes_dims_rope=(4, 6, 6),
    )
    clip = clip_tokenizer()
    size = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2, "projection_dim": 32}
    marks = {"vocab_size": len(clip), "bos_token_id": clip.bos_token_id, "eos_token_id": clip.eos_token_id, "pad_token_id": 1}
    pieces = small_tokenizer()
    return {
        "scheduler": FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True),
        "vae": _picture_vae(),
        "text_encoder": CLIPTextModel(CLIPTextConfig(**size, **marks, max_position_embeddings=77)),
        "tokenizer": clip,
        "text_encoder_2": t5(len(pieces)),
        "tokenizer_2": pieces,
        "transformer": transformer,
    }


def _flux2(folder: Path) -> None:
    """FLUX.2-dev: three layers of Mistral's are read together, so it needs as many as the pipeline asks for."""
    from diffusers import AutoencoderKLFlux2, FlowMatchEulerDiscreteScheduler, Flux2Pipeline, Flux2Transformer2DModel

    text_encoder, tokenizer = mistral(hidden=16)
    transformer = Flux2Transformer2DModel(
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=3 * 16,
        timestep_guidance_channels=32,
        axes_dims_rope=(4, 4, 4, 4),
    )
    vae = AutoencoderKLFlux2(block_out_channels=(8, 8, 8, 8), layers_per_block=1, latent_channels=4, norm_num_groups=4)
    scheduler = FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True)
    Flux2Pipeline(scheduler, vae, text_encoder, tokenizer, transformer).save_pretrained(folder, **_SAVE)


def _qwen_image_edit(folder: Path) -> None:
    """Qwen-Image-Edit: the encoder sees the picture beside the words, and the transformer sees its latents."""
    from diffusers import (
        AutoencoderKLQwenImage,
        FlowMatchEulerDiscreteScheduler,
        QwenImageEditPipeline,
        QwenImageTransformer2DModel,
    )

    text_encoder, tokenizer, processor = qwen_vl(hidden=32)
    transformer = QwenImageTransformer2DModel(
        in_channels=16,
        out_channels=4,
        num_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=32,
        axes_dims_rope=(4, 6, 6),
    )
    # without residual blocks, because the pipeline enlarges every picture it edits to a megapixel
    vae = AutoencoderKLQwenImage(
        base_dim=8, z_dim=4, dim_mult=[1, 1, 1, 1], num_res_blocks=0, latents_mean=[0.0] * 4, latents_std=[1.0] * 4
    )
    scheduler = FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True)
    QwenImageEditPipeline(scheduler, vae, text_encoder, tokenizer, processor, transformer).save_pretrained(folder, **_SAVE)


def _wan_i2v(folder: Path) -> None:
    """Wan 2.2's 14B: two transformers, one for the first steps and one for the rest, and no encoder of pictures."""
    from diffusers import AutoencoderKLWan, UniPCMultistepScheduler, WanImageToVideoPipeline, WanTransformer3DModel
    from transformers import UMT5Config, UMT5EncoderModel

    size = {"num_attention_heads": 2, "attention_head_dim": 16, "ffn_dim": 64, "num_layers": 1, "text_dim": 32, "freq_dim": 32}
    # beside the noise: the first frame's latents, and four channels of mask
    both = [WanTransformer3DModel(**size, in_channels=4 + 4 + 4, out_channels=4) for _ in range(2)]
    vae = AutoencoderKLWan(
        base_dim=4, z_dim=4, dim_mult=[1, 1, 1, 1], num_res_blocks=1, latents_mean=[0.0] * 4, latents_std=[1.0] * 4
    )
    tokenizer = small_tokenizer()
    encoder = UMT5Config(vocab_size=len(tokenizer), d_model=32, d_kv=16, d_ff=64, num_layers=1, num_heads=2)
    WanImageToVideoPipeline(
        tokenizer,
        UMT5EncoderModel(encoder),
        vae,
        UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0),
        transformer=both[0],
        transformer_2=both[1],
        boundary_ratio=0.9,
    ).save_pretrained(folder, **_SAVE)


def _ltx_2_i2v(folder: Path) -> None:
    """The backbone's miniature of LTX-2.3, under the name of the pipeline that animates a picture."""
    from diffusers import LTX2ImageToVideoPipeline

    LTX2ImageToVideoPipeline(**ltx_2_parts()).save_pretrained(folder, **_SAVE)


def _picture_vae() -> Any:
    """FLUX.1's autoencoder: sixteenths of the side in a token, four channels instead of sixteen."""
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(8, 8, 8, 8),
        latent_channels=4,
        norm_num_groups=4,
        scaling_factor=0.3611,
        shift_factor=0.1159,
        use_quant_conv=False,
        use_post_quant_conv=False,
    )


MINIATURES: dict[str, Callable[[Path], None]] = {
    "flux": _flux,
    "flux-kontext": _flux_kontext,
    "flux2": _flux2,
    "qwen-image-edit": _qwen_image_edit,
    "wan-i2v": _wan_i2v,
    "ltx-2-i2v": _ltx_2_i2v,
}
