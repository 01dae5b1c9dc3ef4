"""FLUX.1's and Wan 2.2's shapes with random weights, made on the card: neither their size nor their time depends on what they learned.

parts = flux_parts(torch.device("cuda"))                 # 12 billion numbers of FLUX.1-dev, 4.8 of its encoders
model = kontext(parts, settings.edit, "cuda")            # the same parts, as FLUX.1-Kontext-dev
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from synclora.backbone.tiny import small_tokenizer
from synclora.pairs.diffusion import quirks
from synclora.pairs.diffusion.call import Call
from synclora.pairs.diffusion.model import PipelineModel
from synclora.pairs.diffusion.settings import ModelSettings, Stage
from synclora.pairs.diffusion.tiny_text import clip_tokenizer

_XXL = {"d_model": 4096, "d_kv": 64, "d_ff": 10240, "num_layers": 24, "num_heads": 64, "feed_forward_proj": "gated-gelu"}


@contextmanager
def _made_on(device: torch.device, dtype: torch.dtype = torch.bfloat16) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device), torch.no_grad():
            yield
    finally:
        torch.set_default_dtype(before)


def flux_parts(device: torch.device) -> dict[str, Any]:
    """Of FLUX.1-dev and of FLUX.1-Kontext-dev: 34 GB."""
    from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, FluxTransformer2DModel
    from transformers import CLIPTextConfig, CLIPTextModel, T5Config, T5EncoderModel

    clip = {
        "hidden_size": 768,
        "intermediate_size": 3072,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "projection_dim": 768,
    }
    with _made_on(device):
        return {
            "transformer": FluxTransformer2DModel(guidance_embeds=True).eval(),
            "vae": AutoencoderKL(
                down_block_types=("DownEncoderBlock2D",) * 4,
                up_block_types=("UpDecoderBlock2D",) * 4,
                block_out_channels=(128, 256, 512, 512),
                layers_per_block=2,
                latent_channels=16,
                scaling_factor=0.3611,
                shift_factor=0.1159,
                use_quant_conv=False,
                use_post_quant_conv=False,
            ).eval(),
            "text_encoder": CLIPTextModel(CLIPTextConfig(vocab_size=49408, max_position_embeddings=77, **clip)).eval(),
            "text_encoder_2": T5EncoderModel(T5Config(vocab_size=32128, **_XXL)).eval(),
            "tokenizer": clip_tokenizer(),
            "tokenizer_2": small_tokenizer(),
            "scheduler": FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True),
        }


def wan_parts(device: torch.device) -> dict[str, Any]:
    """Of Wan2.2-I2V-A14B: 69 GB."""
    from diffusers import AutoencoderKLWan, UniPCMultistepScheduler, WanTransformer3DModel
    from transformers import UMT5Config, UMT5EncoderModel

    with _made_on(device):
        both = [WanTransformer3DModel(in_channels=36).eval() for _ in range(2)]
        encoder = UMT5EncoderModel(UMT5Config(vocab_size=256384, **_XXL)).eval()
    with _made_on(device, torch.float32):
        vae = AutoencoderKLWan().eval()
    return {
        "transformer": both[0],
        "transformer_2": both[1],
        "text_encoder": encoder,
        "vae": vae,
        "tokenizer": small_tokenizer(),
        "scheduler": UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0),
        "boundary_ratio": 0.9,
    }


def flux(parts: dict[str, Any], settings: ModelSettings, device: str) -> PipelineModel:
    """FLUX.1-dev."""
    from diffusers import FluxPipeline

    return _model("FLUX.1-dev", FluxPipeline(**parts), Stage.PORTRAIT, settings, device)


def kontext(parts: dict[str, Any], settings: ModelSettings, device: str) -> PipelineModel:
    """FLUX.1-Kontext-dev."""
    from diffusers import FluxKontextPipeline

    return _model("FLUX.1-Kontext-dev", FluxKontextPipeline(**parts), Stage.EDIT, settings, device)


def wan(parts: dict[str, Any], settings: ModelSettings, device: str) -> PipelineModel:
    """Wan2.2-I2V-A14B."""
    from diffusers import WanImageToVideoPipeline

    return _model("Wan2.2-I2V-A14B", WanImageToVideoPipeline(**parts), Stage.VIDEO, settings, device)


def _model(name: str, pipe: Any, stage: Stage, settings: ModelSettings, device: str) -> PipelineModel:
    pipe.set_progress_bar_config(disable=True)
    quirks.prepare(pipe)
    return PipelineModel(name, pipe, Call(stage, settings, type(pipe)), device)
