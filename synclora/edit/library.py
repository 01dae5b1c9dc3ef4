"""The folder of adapters that an editor may use, read by their headers alone.

    library = AdapterLibrary(Path("adapters"))
    library.names()                    # ["ltx-2.3-sync-lora-3d1t-r256", "may-lora"]
    library.info("may-lora").caption   # "3d1t"

    adapters/may-lora/                                     as a training run leaves it, or
    adapters/ltx-2.3-sync-lora-3d1t-r256.safetensors       one file, of diffusers' or ComfyUI's names
    adapters/NAME.json                                     beside a file made elsewhere: {"caption": …, "mode": …, "kind": …}

A file that was made elsewhere says nothing of its caption and its attention: then it is taken for `shared`, as everybody else trains,
without a caption of its own, unless the sidecar says otherwise. The released Sync-LoRA is known by its file's name. Imports no torch, so
that the service's door can list adapters; weights are read by `synclora.train.adapter`, which checks them.
"""

import re
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from synclora.edit.header import read_header
from synclora.edit.request import NO_ADAPTER
from synclora.errors import MediaError, Reason
from synclora.settings import Settings

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
RELEASED = "ltx-2.3-sync-lora-3d1t-r256"
"""The authors' LoRA for LTX-2.3: trained with one caption, without metadata, under ComfyUI's names."""

USUAL = "sync-lora"
"""The name of the adapter that a backbone comes with, in the paper's attention."""

_SUFFIX = ".safetensors"
_OURS = ("pytorch_lora_weights.safetensors", "comfyui.safetensors")
_FIELD = "synclora."
_KEY = re.compile(r"(?:transformer|diffusion_model)\.(.+)\.(?:lora_([AB])\.weight|lora_(down|up)\.weight|(alpha))")
_SIDECAR_BYTES = 65536  # a caption has 2000 characters at most
_LTX2_ONLY = re.compile(r"audio_|\.audio|to_gate_logits|video_to_audio|audio_to_video")
_LTX_VIDEO_WIDTHS = (2048,)  # of the 2B models; 4096 is both the 13B's and LTX-2's

Kind = Literal["ltx-video", "ltx-2", ""]
Mode = Literal["shared", "causal-source"]


class AdapterInfo(Settings):
    """What can be said of an adapter without its weights."""

    name: str
    path: Path
    """A file, or a folder as a training run leaves it."""
    kind: Kind
    """Of the backbone; empty when its header does not tell, and the shapes decide when it is loaded."""
    attention_mode: Mode = "shared"
    caption: str | None = Field(default=None, max_length=2000)
    """Its one caption, to be used as the prompt; None: each pair had its own."""
    rank: int
    frames: int | None = None
    """The longest clip that was trained on; None when unknown, and so for the following."""
    width: int | None = None
    height: int | None = None
    face_share: float | None = None
    """Its clips were cut to where the first frame's face has this share of the width; None: it knows whole pictures."""
    given_frames: int | None = None
    """The most first latent frames of an edit that it was given in training."""
    base_model: str | None = None
    random_base: bool = False
    changed_ns: int = 0
    """When its file was last written: another file under the same name is another adapter."""


class _Sidecar(Settings):
    """NAME.json."""

    caption: str | None = Field(default=None, max_length=2000)
    mode: Mode = "shared"
    kind: Kind = ""


class _Ours(Settings):
    """Entries of our header that an editor needs; `synclora.train.adapter.AdapterMetadata` has them all."""

    base_model: str
    kind: Literal["ltx-video", "ltx-2"]
    rank: int = Field(ge=1)
    frames: int = Field(ge=1)
    width: int = Field(ge=1)
    height: int = Field(ge=1)
    face_share: float | None = Field(default=None, gt=0, le=1)
    given_frames: int | None = Field(default=None, ge=1)
    caption: str | None = Field(default=None, max_length=2000)
    attention_mode: Mode
    random_base: bool


class AdapterLibrary:
    """Adapters of one folder or of several, by name; what is put there later is found without a restart.

    Args:
        folders: none need exist: then there are none. Of two adapters of one name, that of the earlier folder counts.
    """

    def __init__(self, *folders: Path) -> None:
        self.folders = folders

    def names(self) -> list[str]:
        """Of all that looks like an adapter, sorted; whether each can be used, `info` tells."""
        found = set()
        for folder in self.folders:
            with suppress(OSError):
                found |= {_name(entry) for entry in folder.iterdir() if _is_adapter(entry)}
        return sorted(name for name in found if _allowed(name))

    def info(self, name: str) -> AdapterInfo:
        """What the header says.

        Raises:
            MediaError: UNKNOWN_ADAPTER when there is none of that name, BAD_ADAPTER when its file cannot be used.
        """
        name = name.removesuffix(_SUFFIX)
        if _allowed(name):
            for path in (folder / one for folder in self.folders for one in (name, f"{name}{_SUFFIX}")):
                if _is_adapter(path):
                    return read_info(path, name)
        known = ", ".join(self.names()[:8]) or "none"
        raise MediaError(
            Reason.UNKNOWN_ADAPTER, f"adapter {name[:100]!r}: there is no such one; choose of {known}, or {NO_ADAPTER}"
        )

    def all(self) -> list[AdapterInfo]:
        """Of every adapter that can be used; a broken file hides nothing but itself."""
        found = []
        for name in self.names():
            try:
                found.append(self.info(name))
            except MediaError:
                continue
        return found


def read_info(path: Path, name: str) -> AdapterInfo:
    """What the header of an adapter says, wherever it lies.

    Args:
        path: a file, or a folder as a training run leaves it.
        name: under which it is known.

    Raises:
        MediaError: BAD_ADAPTER: it is missing, no safetensors, no LoRA of a transformer, or its metadata make no sense.
    """
    file = next((path / one for one in _OURS if (path / one).is_file()), path / _OURS[0]) if path.is_dir() else path
    try:
        stat = file.stat()
    except OSError as error:
        raise MediaError(
            Reason.BAD_ADAPTER, f"adapter {name}: {error.strerror}; give an adapter's folder or .safetensors file"
        ) from error
    found = _read(file, name, stat.st_mtime_ns, stat.st_size, _sidecar(path, name))
    return found.model_copy(update={"path": path, "changed_ns": stat.st_mtime_ns})


@lru_cache(maxsize=256)
def _read(file: Path, name: str, _changed_ns: int, _size: int, sidecar: _Sidecar | None) -> AdapterInfo:
    shapes, metadata = read_header(file, name)
    rank = _rank(shapes, name)
    ours = {field.removeprefix(_FIELD): text for field, text in metadata.items() if field.startswith(_FIELD)}
    if not ours:
        beside = sidecar or (_Sidecar(caption="3d1t", kind="ltx-2") if name == RELEASED else _Sidecar())
        kind = beside.kind or _kind(shapes, name)
        return AdapterInfo(name=name, path=file, kind=kind, attention_mode=beside.mode, caption=beside.caption, rank=rank)
    try:
        facts = _Ours.model_validate_strings({field: text for field, text in ours.items() if field in _Ours.model_fields})
    except ValidationError as error:
        problem = error.errors()[0]
        what = ".".join(map(str, problem["loc"]))
        raise MediaError(
            Reason.BAD_ADAPTER, f"adapter {name}: metadata {what}: {problem['msg'].lower()}; save it again"
        ) from error
    if facts.rank != rank:
        raise MediaError(Reason.BAD_ADAPTER, f"adapter {name}: the weights have rank {rank}, their metadata {facts.rank}")
    return AdapterInfo(name=name, path=file, **facts.model_dump())


def usual_adapter(adapters: Path | None) -> str:
    """Who names no adapter gets this one of those that come with a backbone, `none` where there is none.

    Args:
        adapters: the folder that comes with it, if any does.
    """
    return USUAL if adapters is not None and _is_adapter(adapters / USUAL) else NO_ADAPTER


def _name(entry: Path) -> str:
    return entry.name if entry.is_dir() else entry.name.removesuffix(_SUFFIX)


def _allowed(name: str) -> bool:
    return bool(NAME.fullmatch(name)) and name != NO_ADAPTER


def _is_adapter(path: Path) -> bool:
    if path.is_dir():
        return any((path / one).is_file() for one in _OURS)
    return path.suffix == _SUFFIX and path.is_file()


def _sidecar(path: Path, name: str) -> _Sidecar | None:
    file = path.with_name(f"{path.name.removesuffix(_SUFFIX)}.json")
    if path.is_dir() or not file.is_file():
        return None
    try:
        with file.open("rb") as opened:
            return _Sidecar.model_validate_json(opened.read(_SIDECAR_BYTES))
    except (OSError, ValidationError) as error:
        why = " ".join(str(error).split())[:200]
        raise MediaError(Reason.BAD_ADAPTER, f"adapter {name}: {file.name} says no caption, mode or kind ({why})") from error


def _rank(shapes: Mapping[str, tuple[int, ...]], name: str) -> int:
    """The one rank of all layers; every name must be a LoRA's."""
    halves: dict[str, dict[str, tuple[int, ...]]] = {}
    for key, shape in shapes.items():
        match = _KEY.fullmatch(key)
        if not match:
            raise MediaError(Reason.BAD_ADAPTER, f"adapter {name}: {key[:100]} is no LoRA weight of a transformer")
        half = match[2] or {"down": "A", "up": "B"}.get(match[3] or "", "")
        if half:
            halves.setdefault(match[1], {})[half] = shape
    ranks = set()
    for layer, both in halves.items():
        a, b = both.get("A", ()), both.get("B", ())
        if len(a) != 2 or len(b) != 2 or a[0] != b[1]:
            raise MediaError(
                Reason.BAD_ADAPTER, f"adapter {name}: {layer[:100]} has A {list(a)} and B {list(b)}; not one LoRA layer"
            )
        ranks.add(a[0])
    if len(ranks) != 1:
        raise MediaError(
            Reason.BAD_ADAPTER, f"adapter {name}: ranks {sorted(ranks)[:4]}; only adapters with one rank can be used"
        )
    return ranks.pop()


def _kind(shapes: Mapping[str, Any], name: str) -> Kind:
    """Of the layers' names, then of their width, then of the file's name."""
    if any(_LTX2_ONLY.search(key) for key in shapes):
        return "ltx-2"
    widths = {
        shape[1] for key, shape in shapes.items() if key.endswith(("attn1.to_q.lora_A.weight", "attn1.to_q.lora_down.weight"))
    }
    if widths and widths <= set(_LTX_VIDEO_WIDTHS):
        return "ltx-video"
    return "ltx-2" if re.search(r"ltx-?_?2", name.lower()) else ""
