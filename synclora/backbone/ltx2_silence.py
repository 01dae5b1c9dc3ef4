"""The audio branch of an LTX-2 transformer, taken out.

The model was built for two modalities, and its `forward` computes both. Told to isolate them, it never lets the video look at the audio; the
audio's layers, and those between the two, can then be stand-ins without weights, through which one audio token of one channel passes untouched.
The video's velocity stays the same to the last bit. Saved are the audio's work and 31 % of the weights, which no adapter, DDP or ZeRO sees.
"""

import torch
from diffusers import LTX2VideoTransformer3DModel
from torch import Tensor, nn

_IN_BLOCK = (
    *("audio_norm1", "audio_attn1", "audio_norm2", "audio_attn2", "audio_norm3", "audio_ff"),
    *("audio_to_video_norm", "audio_to_video_attn", "video_to_audio_norm", "video_to_audio_attn"),
)
_AROUND = ("audio_proj_in", "audio_caption_projection", "audio_norm_out", "audio_proj_out")
_LEVELS = (
    *("audio_time_embed", "audio_prompt_adaln"),
    *("av_cross_attn_video_scale_shift", "av_cross_attn_video_a2v_gate"),
    *("av_cross_attn_audio_scale_shift", "av_cross_attn_audio_v2a_gate"),
)
_ROTATIONS = ("audio_rope", "cross_attn_rope", "cross_attn_audio_rope")
_TABLES = (
    *("audio_scale_shift_table", "audio_prompt_scale_shift_table"),
    *("video_a2v_cross_attn_scale_shift_table", "audio_a2v_cross_attn_scale_shift_table"),
)


def silence(transformer: LTX2VideoTransformer3DModel) -> None:
    """Take the audio branch out, in place, once. `forward` must then be told to isolate the modalities and be given (b, 1, 1) audio."""
    if isinstance(transformer.audio_proj_in, _Through):
        return
    for block in transformer.transformer_blocks:
        for name in _IN_BLOCK:
            setattr(block, name, _Through())
        _flatten_tables(block)
    _flatten_tables(transformer)
    for name in _AROUND:
        if hasattr(transformer, name):
            setattr(transformer, name, _Through())
    for name in _LEVELS:
        if hasattr(transformer, name):
            setattr(transformer, name, _Level(getattr(transformer, name).num_mod_params))
    for name in _ROTATIONS:
        setattr(transformer, name, _NoRotation())


def is_silent(layer: str) -> bool:
    """Whether a layer, by its name in the whole transformer, belongs to what is taken out."""
    return not {*_IN_BLOCK, *_AROUND, *_LEVELS, *_ROTATIONS}.isdisjoint(layer.split("."))


def _flatten_tables(module: nn.Module) -> None:
    """Leave one channel of the audio's modulation tables: `forward` adds them to what the levels' stand-ins give."""
    for name in _TABLES:
        if hasattr(module, name):
            flat = torch.zeros_like(getattr(module, name)[:, :1], requires_grad=False)
            delattr(module, name)
            module.register_buffer(name, flat, persistent=False)


class _Through(nn.Module):
    """Stands in for a layer: gives back what it gets, whatever else it is told."""

    def forward(self, hidden_states: Tensor, *_: object, **__: object) -> Tensor:
        return hidden_states


class _Level(nn.Module):
    """Stands in for the embedding of a noise level: zeros, one channel for each modulation."""

    def __init__(self, modulations: int) -> None:
        super().__init__()
        self.modulations = modulations

    def forward(self, timestep: Tensor, *, batch_size: int, hidden_dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        zeros = timestep.new_zeros(batch_size, self.modulations, dtype=hidden_dtype)
        return zeros, zeros[:, :1]


class _NoRotation(nn.Module):
    """Stands in for rotary positions that nothing reads."""

    def forward(self, coords: Tensor, device: torch.device | None = None) -> None:
        return None
