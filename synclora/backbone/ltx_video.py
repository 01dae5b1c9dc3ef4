"""LTX-Video 0.9.x: the paper's backbone.

Its transformer takes a noise level and a position per token, which is all that in-context tokens need; only self-attention is ours, for the
mode. Positions are the start of each cell, as in LTX-Video's own sampler.
"""

from typing import Any, ClassVar

import torch
from diffusers import AutoencoderKLLTXVideo, LTXVideoTransformer3DModel
from diffusers.models.attention_dispatch import dispatch_attention_fn
from diffusers.models.transformers.transformer_ltx import LTXAttention, apply_rotary_emb
from torch import Tensor
from transformers import T5EncoderModel

from synclora.backbone.base import Backbone, Caption, Codec, Device, Stream
from synclora.backbone.load import load_part, load_tokenizer
from synclora.incontext.attention import AttentionMode, Span, attend_in_context
from synclora.incontext.layout import Tokens

TIMESTEPS = 1000  # the time embedding was trained on σ · 1000
_DECODE_TIMESTEP = 0.05  # of the decoders from 0.9.1 on, which remove a last trace of noise


class LTXVideo(Backbone):
    """A folder with `transformer`, `vae`, `text_encoder` (T5) and `tokenizer`."""

    kind = "ltx-video"
    caption_tokens = 256  # what diffusers' pipeline pads to

    def codec(self, dtype: torch.dtype, device: Device) -> Codec:
        """Load the autoencoder."""
        return Codec(load_part(self, "vae", AutoencoderKLLTXVideo, dtype, device), decode_timestep=_DECODE_TIMESTEP)

    @torch.no_grad()
    def caption(self, text: str, device: Device = "cpu", dtype: torch.dtype = torch.float32) -> Caption:
        """Embed one caption with T5, its padding masked: as diffusers' `LTXConditionPipeline` does, and `LTXPipeline` does not."""
        tokenizer = load_tokenizer(self)
        encoder = load_part(self, "text_encoder", T5EncoderModel, dtype, device)
        ids = tokenizer(text, padding="max_length", max_length=self.caption_tokens, truncation=True, return_tensors="pt")
        mask_bl = ids.attention_mask.to(device)
        embeds_bld = encoder(ids.input_ids.to(device), attention_mask=mask_bl)[0]
        return Caption(embeds_bld.cpu(), mask_bl.cpu())

    def stream(self, dtype: torch.dtype, device: Device, mode: AttentionMode) -> "LTXVideoStream":
        """Load the transformer."""
        return LTXVideoStream(load_part(self, "transformer", LTXVideoTransformer3DModel, dtype, device), mode)


class LTXVideoStream(Stream):
    """`LTXVideoTransformer3DModel` over in-context tokens."""

    lora_targets: ClassVar[str] = r"transformer_blocks\.\d+\.(attn[12]\.to_(q|k|v|out\.0)|ff\.net\.(0\.proj|2))"

    def __init__(self, transformer: LTXVideoTransformer3DModel, mode: AttentionMode) -> None:
        super().__init__(transformer, mode)
        for block in transformer.transformer_blocks:
            block.attn1.set_processor(SelfAttention(self.span))

    def inputs(self, tokens: Tokens, caption: Caption) -> dict[str, Any]:
        """Arguments of `LTXVideoTransformer3DModel.forward`."""
        return {
            "hidden_states": tokens.x_bsc,
            "encoder_hidden_states": caption.embeds_bld,
            "encoder_attention_mask": caption.mask_bl,
            "timestep": tokens.sigma_bs * TIMESTEPS,
            "video_coords": tokens.bounds_basz[..., 0],
            "return_dict": False,
        }


class SelfAttention:
    """Diffusers' `LTXVideoAttnProcessor`, self-attention only, in the mode of the span."""

    _attention_backend = None
    _parallel_config = None

    def __init__(self, span: Span) -> None:
        self.span = span

    def __call__(
        self,
        attn: LTXAttention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        image_rotary_emb: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        """(b, s, d) hidden states to the same; caption and mask are never given to self-attention."""
        query = apply_rotary_emb(attn.norm_q(attn.to_q(hidden_states)), image_rotary_emb)
        key = apply_rotary_emb(attn.norm_k(attn.to_k(hidden_states)), image_rotary_emb)
        q, k, v = (x.unflatten(2, (attn.heads, -1)) for x in (query, key, attn.to_v(hidden_states)))
        mixed = attend_in_context(q, k, v, self.span, self._attend).flatten(2, 3).to(hidden_states.dtype)
        out: Tensor = attn.to_out[1](attn.to_out[0](mixed))
        return out

    def _attend(self, q_bshe: Tensor, k_bshe: Tensor, v_bshe: Tensor) -> Tensor:
        mixed: Tensor = dispatch_attention_fn(q_bshe, k_bshe, v_bshe, backend=self._attention_backend)
        return mixed
