"""LTX-Video 0.9.x, the paper's backbone: its transformer.

It takes a noise level and a position per token, which is all that in-context tokens need; only self-attention is ours, for the
mode. Positions are the start of each cell, as in LTX-Video's own sampler.
"""

from typing import Any, ClassVar

from diffusers import LTXVideoTransformer3DModel
from diffusers.models.attention_dispatch import dispatch_attention_fn
from diffusers.models.transformers.transformer_ltx import LTXAttention, apply_rotary_emb
from torch import Tensor

from synclora.backbone.base import Caption, Stream
from synclora.incontext.attention import AttentionMode, Span, attend_in_context
from synclora.incontext.layout import Tokens

TIMESTEPS = 1000  # the time embedding was trained on σ · 1000


class LTXVideoStream(Stream):
    """`LTXVideoTransformer3DModel` over in-context tokens."""

    lora_targets: ClassVar[str] = r"transformer_blocks\.\d+\.(attn[12]\.to_(q|k|v|out\.0)|ff\.net\.(0\.proj|2))"

    def __init__(self, transformer: LTXVideoTransformer3DModel, mode: AttentionMode) -> None:
        super().__init__(transformer, mode)
        for layer, block in enumerate(transformer.transformer_blocks):
            block.attn1.set_processor(SelfAttention(self.span, layer))

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

    def __init__(self, span: Span, layer: int) -> None:
        self.span, self.layer = span, layer

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
        mixed = attend_in_context(q, k, v, self.span, self._attend, self.layer).flatten(2, 3).to(hidden_states.dtype)
        out: Tensor = attn.to_out[1](attn.to_out[0](mixed))
        return out

    def _attend(self, q_bshe: Tensor, k_bshe: Tensor, v_bshe: Tensor) -> Tensor:
        mixed: Tensor = dispatch_attention_fn(q_bshe, k_bshe, v_bshe, backend=self._attention_backend)
        return mixed
