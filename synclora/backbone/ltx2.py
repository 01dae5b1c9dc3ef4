"""LTX-2.x, the backbone of the released adapter: the video stream of Lightricks' audio-video transformer.

It takes a noise level and a span of time and space per token. Audio is never made here: the audio branch is taken out
(`ltx2_silence.py`), and the two modalities are told not to see each other. Ours are self-attention, for the mode, and, from LTX-2.3 on, the
attention to the caption: these models modulate the caption by the noise level, and source tokens must see it as it is at level 0.
"""

from typing import Any, ClassVar

import torch
from diffusers import LTX2VideoTransformer3DModel
from diffusers.models.attention_dispatch import dispatch_attention_fn
from diffusers.models.transformers.transformer_ltx2 import LTX2Attention, apply_interleaved_rotary_emb, apply_split_rotary_emb
from torch import Tensor

from synclora.backbone.base import Caption, Stream
from synclora.backbone.ltx2_silence import is_silent, silence
from synclora.incontext.attention import AttentionMode, Span, attend_in_context
from synclora.incontext.layout import Tokens

TIMESTEPS = 1000  # the time embeddings were trained on σ · 1000
_ROTARY = {"interleaved": apply_interleaved_rotary_emb, "split": apply_split_rotary_emb}


class LTX2Stream(Stream):
    """`LTX2VideoTransformer3DModel` over in-context tokens. Silences it, if that was not done before."""

    lora_targets: ClassVar[str] = r"transformer_blocks\.\d+\.(attn[12]\.to_(q|k|v|out\.0)|ff\.net\.(0\.proj|2))"

    def __init__(self, transformer: LTX2VideoTransformer3DModel, mode: AttentionMode) -> None:
        silence(transformer)
        super().__init__(transformer, mode)
        self._modulated = bool(transformer.prompt_modulation and transformer.config.use_prompt_adaln_single)
        self._blocks = list(transformer.transformer_blocks)
        self._stock = [block.attn2.processor for block in self._blocks]
        for layer, block in enumerate(self._blocks):
            block.attn1.set_processor(SelfAttention(self.span, layer))
        self._turned()

    @property
    def splits_caption(self) -> bool:
        """Source and target tokens see the caption at different noise levels."""
        return self._modulated and self.mode == "causal-source"

    def _turned(self) -> None:
        for block, stock in zip(self._blocks, self._stock, strict=True):
            block.attn2.set_processor(CaptionAttention(self.span) if self.splits_caption else stock)

    def idle(self, layer: str) -> bool:
        """The audio branch's layers, which are not there."""
        return is_silent(layer)

    def inputs(self, tokens: Tokens, caption: Caption) -> dict[str, Any]:
        """Arguments of `LTX2VideoTransformer3DModel.forward`."""
        embeds_bld, mask_bl, sigma_b = caption.embeds_bld, caption.mask_bl, tokens.sigma_b * TIMESTEPS
        sigma = sigma_b
        if self.splits_caption and tokens.source_tokens:
            sigma = sigma_b[:, None].expand(mask_bl.shape)
            sigma = torch.cat([torch.zeros_like(sigma), sigma], dim=1)
            embeds_bld, mask_bl = torch.cat([embeds_bld, embeds_bld], dim=1), torch.cat([mask_bl, mask_bl], dim=1)
        silence_b11 = tokens.x_bsc.new_zeros(len(sigma_b), 1, 1)
        return {
            "hidden_states": tokens.x_bsc,
            "encoder_hidden_states": embeds_bld,
            "encoder_attention_mask": mask_bl,
            "timestep": tokens.sigma_bs * TIMESTEPS,
            "sigma": sigma,
            "video_coords": tokens.bounds_basz,
            "audio_hidden_states": silence_b11,
            "audio_encoder_hidden_states": silence_b11,
            "audio_timestep": sigma_b,
            "audio_sigma": sigma_b,
            "audio_coords": silence_b11,
            "isolate_modalities": True,
            "use_cross_timestep": True,
            "return_dict": False,
        }


class _Attention:
    """What both processors share with diffusers' own: projections, rotation, gates."""

    _attention_backend = None
    _parallel_config = None

    def __init__(self, span: Span, layer: int = 0) -> None:
        self.span, self.layer = span, layer

    def _attend(self, q_bshe: Tensor, k_bshe: Tensor, v_bshe: Tensor, mask_bhsl: Tensor | None = None) -> Tensor:
        mixed: Tensor = dispatch_attention_fn(q_bshe, k_bshe, v_bshe, attn_mask=mask_bhsl, backend=self._attention_backend)
        return mixed


class SelfAttention(_Attention):
    """Diffusers' processors of LTX-2 and LTX-2.3, self-attention only, in the mode of the span."""

    def __call__(
        self,
        attn: LTX2Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        query_rotary_emb: tuple[Tensor, Tensor] | None = None,
        key_rotary_emb: tuple[Tensor, Tensor] | None = None,
        perturbation_mask: Tensor | None = None,
        all_perturbed: bool | None = None,
    ) -> Tensor:
        """(b, s, d) hidden states to the same; `LTX2Stream` never gives a caption, a mask or a perturbation here."""
        rotate = _ROTARY[attn.rope_type]
        query = rotate(attn.norm_q(attn.to_q(hidden_states)), query_rotary_emb)
        key = rotate(attn.norm_k(attn.to_k(hidden_states)), query_rotary_emb)
        q, k, v = (x.unflatten(2, (attn.heads, -1)) for x in (query, key, attn.to_v(hidden_states)))
        return _gated(attn, attend_in_context(q, k, v, self.span, self._attend, self.layer), hidden_states)


class CaptionAttention(_Attention):
    """Attention to [caption at level 0 ; caption at the target's level]: source tokens see the first half, target tokens the second."""

    def __call__(
        self,
        attn: LTX2Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        query_rotary_emb: tuple[Tensor, Tensor] | None = None,
        key_rotary_emb: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        """(b, s, d) hidden states and (b, 2l, d) caption to (b, s, d); without source tokens the caption is not doubled."""
        q, k, v = (
            x.unflatten(2, (attn.heads, -1))
            for x in (
                attn.norm_q(attn.to_q(hidden_states)),
                attn.norm_k(attn.to_k(encoder_hidden_states)),
                attn.to_v(encoder_hidden_states),
            )
        )
        mask = None if attention_mask is None else attention_mask[:, None]
        cut, half = self.span.split, k.shape[1] // 2
        if not cut:
            return _gated(attn, self._attend(q, k, v, mask), hidden_states)
        near, far = (None, None) if mask is None else (mask[..., :half], mask[..., half:])
        source = self._attend(q[:, :cut], k[:, :half], v[:, :half], near)
        target = self._attend(q[:, cut:], k[:, half:], v[:, half:], far)
        return _gated(attn, torch.cat([source, target], dim=1), hidden_states)


def _gated(attn: LTX2Attention, mixed_bshe: Tensor, hidden_states: Tensor) -> Tensor:
    mixed_bshe = mixed_bshe.to(hidden_states.dtype)
    if attn.to_gate_logits is not None:
        mixed_bshe = mixed_bshe * (2 * torch.sigmoid(attn.to_gate_logits(hidden_states)))[..., None]  # trained around a gate of 1
    out: Tensor = attn.to_out[1](attn.to_out[0](mixed_bshe.flatten(2, 3)))
    return out
