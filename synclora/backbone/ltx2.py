"""LTX-2.x: the video stream of Lightricks' audio-video model, the backbone of the released adapter.

Its transformer takes a noise level and a span of time and space per token. Audio is never made here: the audio branch is taken out
(`ltx2_silence.py`), and the two modalities are told not to see each other. Ours are self-attention, for the mode, and, from LTX-2.3 on, the
attention to the caption: these models modulate the caption by the noise level, and source tokens must see it as it is at level 0.
"""

from typing import Any, ClassVar

import torch
from diffusers import AutoencoderKLLTX2Video, LTX2VideoTransformer3DModel
from diffusers.models.attention_dispatch import dispatch_attention_fn
from diffusers.models.transformers.transformer_ltx2 import LTX2Attention, apply_interleaved_rotary_emb, apply_split_rotary_emb
from diffusers.pipelines.ltx2.connectors import LTX2TextConnectors
from torch import Tensor
from transformers import AutoModel

from synclora.backbone.base import Backbone, Caption, Codec, Device, Stream
from synclora.backbone.load import load_part, load_tokenizer
from synclora.backbone.ltx2_silence import silence
from synclora.incontext.attention import AttentionMode, Span, attend_in_context
from synclora.incontext.layout import Tokens

TIMESTEPS = 1000  # the time embeddings were trained on σ · 1000
_DECODE_TIMESTEP = 0.0  # diffusers' pipeline's; only a decoder that takes one sees it
_ROTARY = {"interleaved": apply_interleaved_rotary_emb, "split": apply_split_rotary_emb}


class LTX2(Backbone):
    """A folder with `transformer`, `vae`, `text_encoder` (Gemma), `tokenizer` and `connectors`."""

    kind = "ltx-2"
    caption_tokens = 1024  # what diffusers' pipeline pads to

    def codec(self, dtype: torch.dtype, device: Device) -> Codec:
        """Load the autoencoder."""
        return Codec(load_part(self, "vae", AutoencoderKLLTX2Video, dtype, device), decode_timestep=_DECODE_TIMESTEP)

    @torch.no_grad()
    def caption(self, text: str, device: Device = "cpu", dtype: torch.dtype = torch.float32) -> Caption:
        """Embed one caption: every layer of Gemma, drawn together by the connectors. The video's half of what they give."""
        layers_ble, mask_bl, padding_side = self._read(text, device, dtype)
        connectors = load_part(self, "connectors", LTX2TextConnectors, dtype, device)
        embeds_bld, _, mask_bl = connectors(layers_ble, mask_bl, padding_side=padding_side)
        return Caption(embeds_bld.cpu(), mask_bl.cpu())

    def stream(self, dtype: torch.dtype, device: Device, mode: AttentionMode) -> "LTX2Stream":
        """Load the transformer, without its audio branch."""
        transformer = load_part(self, "transformer", LTX2VideoTransformer3DModel, dtype, device, prepare=silence)
        return LTX2Stream(transformer, mode)

    def _read(self, text: str, device: Device, dtype: torch.dtype) -> tuple[Tensor, Tensor, str]:
        """Gemma's hidden states, all layers on the last axis, their mask, and the side that the folder pads on."""
        tokenizer = load_tokenizer(self)
        padding_side = str(getattr(tokenizer, "padding_side", "left"))
        # Whatever the folder says, for which the connectors have an argument: so does diffusers' pipeline
        tokenizer.padding_side = "left"
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token
        ids = tokenizer(
            [text.strip()], padding="max_length", max_length=self.caption_tokens, truncation=True, return_tensors="pt"
        ).to(device)
        encoder = load_part(self, "text_encoder", AutoModel, dtype, device)
        layers = encoder(input_ids=ids.input_ids, attention_mask=ids.attention_mask, output_hidden_states=True).hidden_states
        return torch.stack(layers, dim=-1).flatten(2, 3), ids.attention_mask, padding_side


class LTX2Stream(Stream):
    """`LTX2VideoTransformer3DModel` over in-context tokens. Silences it, if that was not done before.

    Attributes:
        splits_caption: source and target tokens see the caption at different noise levels.
    """

    lora_targets: ClassVar[str] = r"transformer_blocks\.\d+\.(attn[12]\.to_(q|k|v|out\.0)|ff\.net\.(0\.proj|2))"

    def __init__(self, transformer: LTX2VideoTransformer3DModel, mode: AttentionMode) -> None:
        silence(transformer)
        super().__init__(transformer, mode)
        modulated = bool(transformer.prompt_modulation and transformer.config.use_prompt_adaln_single)
        self.splits_caption = modulated and mode == "causal-source"
        for block in transformer.transformer_blocks:
            block.attn1.set_processor(SelfAttention(self.span))
            if self.splits_caption:
                block.attn2.set_processor(CaptionAttention(self.span))

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

    def __init__(self, span: Span) -> None:
        self.span = span

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
        return _gated(attn, attend_in_context(q, k, v, self.span, self._attend), hidden_states)


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
