"""An adapter as files that others read.

    save_adapter(folder, state, metadata)
        folder/pytorch_lora_weights.safetensors    names as in diffusers, for its `load_lora_weights`
        folder/comfyui.safetensors                 names as in ComfyUI, Lightricks' trainers and the released Sync-LoRA
    state, metadata = load_adapter(folder)         or either file, or one that was made elsewhere

ComfyUI's layout has no place for alpha that diffusers reads as well, so there the weights of B are multiplied by alpha / rank, and alpha is
the rank. Equal weights and metadata give equal bytes.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError
from torch import Tensor

from synclora import __version__
from synclora.incontext.attention import AttentionMode
from synclora.settings import Settings
from synclora.train.lora import AdapterError, State, layers_of, rank_of
from synclora.train.tensorfile import TensorFileError, read_tensors, write_tensors

DIFFUSERS_FILE = "pytorch_lora_weights.safetensors"
COMFYUI_FILE = "comfyui.safetensors"

_FORMAT = 1
_FIELD = "synclora."  # of the header's entries that are ours
_PEFT = "lora_adapter_metadata"  # the entry from which diffusers takes rank and alpha
_DIFFUSERS, _COMFYUI = "transformer.", "diffusion_model."
_LIGHTRICKS = {
    "proj_in": "patchify_proj",
    "audio_proj_in": "audio_patchify_proj",
    "time_embed": "adaln_single",
    "audio_time_embed": "audio_adaln_single",
    "prompt_adaln": "prompt_adaln_single",
    "audio_prompt_adaln": "audio_prompt_adaln_single",
    "av_cross_attn_video_scale_shift": "av_ca_video_scale_shift_adaln_single",
    "av_cross_attn_audio_scale_shift": "av_ca_audio_scale_shift_adaln_single",
    "av_cross_attn_video_a2v_gate": "av_ca_a2v_gate_adaln_single",
    "av_cross_attn_audio_v2a_gate": "av_ca_v2a_gate_adaln_single",
}
"""Diffusers' names of LTX-2's outer modules to Lightricks'. The blocks, where our adapters are, have the same names in both."""
_TO_DIFFUSERS = {theirs: ours for ours, theirs in _LIGHTRICKS.items()}


class AdapterMetadata(Settings):
    """What one must know to use an adapter; stored in both files, each field as a string."""

    base_model: str
    """As the user named the backbone: a hub id, a folder, `embedded` or a miniature."""
    base_digest: str | None = None
    """Of the backbone's weights, where they are small (`synclora.backbone.folder.weights_digest`): a folder's may have changed since."""
    kind: str
    """Of the backbone: ltx-video or ltx-2."""
    revision: str | None = None
    rank: int = Field(ge=1)
    alpha: float = Field(gt=0)
    """Of the weights as they are in this file: a layer's output gains B(A(x)) · alpha / rank."""
    frames: int = Field(ge=1)
    """The longest clip that was trained on."""
    width: int = Field(ge=1)
    height: int = Field(ge=1)
    face_share: float | None = Field(default=None, gt=0, le=1)
    """Clips were cut to the part in which the first frame's face has this share of the width; None: whole pictures, as ever before."""
    fps_min: float = Field(gt=0)
    fps_max: float = Field(gt=0)
    caption: str | None = None
    """The one caption, to be used as the prompt. None: each pair had its own."""
    attention_mode: AttentionMode
    first_frame_probability: float = Field(ge=0, le=1)
    given_frames: int | None = Field(default=None, ge=1)
    """The most first latent frames of the edit that a sample was given; None: not noted then."""
    steps: int = Field(ge=0)
    trained_pairs: int = Field(ge=0)
    recipe: str
    """Fingerprint of the recipe."""
    random_base: bool
    """The backbone's weights were random: the adapter proves plumbing only."""
    version: str = __version__
    """Of this project."""
    format: int = Field(default=_FORMAT, ge=1)
    """Of these entries."""

    def check_fits(self, kind: str, mode: AttentionMode) -> None:
        """Whether the adapter can be used on a backbone of this kind in this mode.

        Raises:
            AdapterError: it cannot.
        """
        if self.kind != kind:
            raise AdapterError(f"adapter: trained on {self.kind} ({self.base_model}), not for {kind}; choose that backbone")
        if self.attention_mode != mode:
            raise AdapterError(
                f"adapter: trained with attention {self.attention_mode}, cannot be used with {mode}; choose the former"
            )


def save_adapter(folder: Path, state: Mapping[str, Tensor], metadata: AdapterMetadata) -> None:
    """Write both files, each whole or not at all.

    Args:
        folder: made if need be.
        state: weights by name, as `lora_state` gives them; kept in their dtype: float32, float16 or bfloat16.
        metadata: its rank and alpha are the weights'.

    Raises:
        AdapterError: the weights are not finite, or not of the metadata's rank.
        OSError: the disk is full, or the folder cannot be written; what was there stays.
    """
    rank = rank_of(state)
    if rank != metadata.rank:
        raise AdapterError(f"adapter: the weights have rank {rank}, their metadata {metadata.rank}")
    _check_finite(state)
    folder.mkdir(parents=True, exist_ok=True)
    scale = metadata.alpha / metadata.rank
    folded = {name: t * scale if scale != 1 and ".lora_B." in name else t for name, t in state.items()}
    comfyui = {_COMFYUI + (_renamed(name, _LIGHTRICKS) if metadata.kind == "ltx-2" else name): t for name, t in folded.items()}
    write_tensors(folder / COMFYUI_FILE, comfyui, _header(state, metadata.model_copy(update={"alpha": float(rank)})))
    write_tensors(folder / DIFFUSERS_FILE, {_DIFFUSERS + name: t for name, t in state.items()}, _header(state, metadata))


def load_adapter(path: Path) -> tuple[State, AdapterMetadata | None]:
    """Read an adapter of either layout.

    Args:
        path: a file, or a folder that `save_adapter` wrote.

    Returns:
        The weights on the CPU, by names relative to the transformer as in diffusers, and the metadata. That is None where the file was made
        elsewhere; such weights have a scale of 1 (alpha = rank), which was folded into B where the file says otherwise.

    Raises:
        AdapterError: it is missing, not safetensors, too large a header, not whole, not a LoRA of a transformer, or not finite.
    """
    path = path / DIFFUSERS_FILE if path.is_dir() else path
    try:
        stored, header = read_tensors(path)
        state, alphas = _relative(stored)
        rank = rank_of(state)
        metadata = _metadata(header)
        if metadata is None:
            _fold(state, rank, alphas, header)
        elif metadata.rank != rank:
            raise AdapterError(f"the weights have rank {rank}, their metadata {metadata.rank}; the file was tampered with")
        _check_finite(state)
    except TensorFileError as error:
        raise AdapterError(f"adapter {error}") from error
    except AdapterError as error:
        raise AdapterError(f"adapter {path}: {str(error).removeprefix('adapter: ')}") from error
    return state, metadata


def _metadata(header: Mapping[str, str]) -> AdapterMetadata | None:
    fields = {name.removeprefix(_FIELD): text for name, text in header.items() if name.startswith(_FIELD)}
    if not fields:
        return None
    if (version := fields.get("format")) != str(_FORMAT):
        raise AdapterError(f"adapter: metadata of format {version}, this version reads {_FORMAT}; update synclora")
    try:
        return AdapterMetadata.model_validate_strings(fields)
    except ValidationError as error:
        problem = error.errors()[0]
        field, found = ".".join(map(str, problem["loc"])), problem["input"]
        found = f" = {found!r}" if isinstance(found, str) else ""
        raise AdapterError(f"adapter: metadata {field}{found}: {problem['msg'].lower()}; save it again") from error


def _header(state: Mapping[str, Tensor], metadata: AdapterMetadata) -> dict[str, str]:
    config = {"r": metadata.rank, "lora_alpha": metadata.alpha, "target_modules": sorted(layers_of(state))}
    ours = {name: value for name, value in metadata.model_dump().items() if value is not None}
    return {
        "format": "pt",
        _PEFT: json.dumps({_DIFFUSERS + name: value for name, value in config.items()}),
        **{_FIELD + name: value if isinstance(value, str) else json.dumps(value) for name, value in ours.items()},
    }


def _relative(stored: Mapping[str, Tensor]) -> tuple[State, dict[str, float]]:
    """Weights by their names in the transformer, and alphas by layer."""
    state: State = {}
    alphas: dict[str, float] = {}
    for key in sorted(stored):
        prefix = next((prefix for prefix in (_DIFFUSERS, _COMFYUI) if key.startswith(prefix)), None)
        if prefix is None:
            raise AdapterError(f"adapter: {key}: names must start with {_DIFFUSERS} (diffusers) or {_COMFYUI} (ComfyUI)")
        name = _renamed(key.removeprefix(prefix), _TO_DIFFUSERS)
        name = name.replace(".lora_down.", ".lora_A.").replace(".lora_up.", ".lora_B.")
        if name in state:
            raise AdapterError(f"adapter: {key}: the layer is there twice")
        if name.endswith(".alpha") and stored[key].numel() == 1:
            alphas[name.removesuffix(".alpha")] = float(stored[key])
        else:
            state[name] = stored[key]
    return state, alphas


def _fold(state: State, rank: int, alphas: Mapping[str, float], header: Mapping[str, str]) -> None:
    """Multiply B by the scale that a file made elsewhere gives, if it does: an alpha for each layer, or peft's configuration."""
    config: dict[str, Any] = {}
    if _PEFT in header:
        try:
            config = {name.removeprefix(_DIFFUSERS): value for name, value in json.loads(header[_PEFT]).items()}
            whole = float(config.get("lora_alpha", rank))
        except (ValueError, TypeError, AttributeError) as error:
            raise AdapterError(f"adapter: its {_PEFT} cannot be read ({error})") from error
    else:
        whole = float(rank)
    if odd := [name for name in ("alpha_pattern", "rank_pattern", "use_rslora", "use_dora") if config.get(name)]:
        raise AdapterError(f"adapter: made with {odd[0]}, which is not supported; only plain LoRA with one rank and alpha is")
    for name, tensor in state.items():
        scale = alphas.get(name.rsplit(".lora_", 1)[0], whole) / rank
        if ".lora_B." in name and scale != 1:
            state[name] = tensor * scale


def _renamed(name: str, names: Mapping[str, str]) -> str:
    outer, dot, inner = name.partition(".")
    return names.get(outer, outer) + dot + inner


def _check_finite(state: Mapping[str, Tensor]) -> None:
    for name, tensor in state.items():
        if not bool(tensor.isfinite().all()):
            raise AdapterError(f"adapter: {name} is not finite; take an earlier checkpoint")
