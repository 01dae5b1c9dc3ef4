"""What may be shipped: the rules for weights that come with the package, each broken one told in one line.

    models = check_models(Path("OUT"))                  # a folder as the transformer's training leaves it
    adapter = check_adapter("sync-lora", Path("out/train/adapter"), models)

Everything is loaded, as a user would load it, before anything is copied.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from synclora.backbone.base import Backbone, Codec, Stream
from synclora.backbone.find import find_backbone
from synclora.backbone.folder import EMBEDDED, MODEL_FILE, PARTS, Trained, weights_digest
from synclora.edit.library import NAME
from synclora.edit.request import NO_ADAPTER
from synclora.embedded.autoencoder.model import LARGEST_BYTES
from synclora.errors import SyncLoraError
from synclora.train.adapter import AdapterMetadata, load_adapter
from synclora.train.lora import AdapterError, State, ready_lora
from synclora.train.tensorfile import read_tensors

MODELS_BYTES = 48_000_000
"""Of autoencoder and transformer together: what a repository can carry."""

INDEX = "diffusion_pytorch_model.safetensors.index.json"
WHOLE = "diffusion_pytorch_model.safetensors"

CAUSAL = "-causal-source"
"""How the name of an adapter ends that was trained in that attention mode; all others are shared."""


class ShipError(SyncLoraError):
    """Something that cannot be shipped: names it, says why, and what would do."""


@dataclass(frozen=True)
class Models:
    """A folder that passed.

    Attributes:
        folder: where it lies.
        trained: what on.
        stream: its transformer, in memory.
        files: to be copied: the models' configuration and weights.
        parameters: by part.
        bytes: by part.
        digest: of all weights.
        made_by: what model.json says of its making.
    """

    folder: Path
    trained: Trained
    stream: Stream
    files: tuple[Path, ...]
    parameters: dict[str, int]
    bytes: dict[str, int]
    digest: str
    made_by: dict[str, Any]


@dataclass(frozen=True)
class Adapter:
    """An adapter that passed, as it will be shipped: in float16, made for `embedded`.

    Attributes:
        name: in the library.
        folder: where it came from.
        state: its weights.
        metadata: its own.
    """

    name: str
    folder: Path
    state: State
    metadata: AdapterMetadata


def check_models(folder: Path) -> Models:
    """A whole backbone, small enough, in float16 and safetensors alone.

    Raises:
        SyncLoraError: it is not.
    """
    if not folder.is_dir():
        raise ShipError(
            f"--backbone {folder}: no such folder; give one with vae, transformer, caption.safetensors and model.json"
        )
    backbone = find_backbone(str(folder))
    files = {part: list(_files(folder, part)) for part in PARTS}
    counts = {part: sum(_parameters(file) for file in files[part] if file.suffix == ".safetensors") for part in PARTS}
    sizes = {part: sum(file.stat().st_size for file in files[part]) for part in PARTS}
    if (whole := sum(sizes.values())) > MODELS_BYTES:
        raise ShipError(f"{folder}: autoencoder and transformer take {whole} bytes, more than {MODELS_BYTES}; make them smaller")
    trained, made_by = _told(backbone)
    stream = _loaded(backbone, trained)
    return Models(
        folder=folder,
        trained=trained,
        stream=stream,
        files=tuple(file for part in PARTS for file in files[part]),
        parameters=counts,
        bytes=sizes,
        digest=weights_digest(folder),
        made_by=made_by,
    )


def check_adapter(name: str, folder: Path, models: Models) -> Adapter:
    """An adapter made for just these weights.

    Args:
        name: under which it will be known.
        folder: as `jobs/train.py` leaves it.
        models: that it goes with.

    Raises:
        SyncLoraError: it is another's, or cannot be used.
    """
    what = f"--adapter {name}={folder}"
    if not NAME.fullmatch(name) or name == NO_ADAPTER:
        raise ShipError(f"{what}: no name for an adapter; use letters, digits, '.', '_' and '-', other than {NO_ADAPTER}")
    state, metadata = load_adapter(folder)
    if metadata is None:
        raise ShipError(f"{what}: it does not say what it was trained on; give a folder that jobs/train.py left")
    _check_base(what, metadata, models)
    mode = "causal-source" if name.endswith(CAUSAL) else "shared"
    if metadata.attention_mode != mode:
        raise ShipError(
            f"{what}: trained with attention {metadata.attention_mode}, its name says {mode}; end it in {CAUSAL} or not"
        )
    seen = models.trained
    if metadata.width * metadata.height > seen.width * seen.height or metadata.frames > seen.frames:
        size, most = (f"{one.width}x{one.height}x{one.frames}" for one in (metadata, seen))
        raise ShipError(f"{what}: trained on clips of {size}, the backbone on {most}; train it on those")
    if metadata.face_share != seen.face_share:
        raise ShipError(
            f"{what}: trained on faces of {metadata.face_share} of the width, the backbone of {seen.face_share}; set encode.face_share"
        )
    try:
        ready_lora(models.stream, state, metadata.alpha, metadata.attention_mode)
    except AdapterError as error:
        raise ShipError(f"{what}: {str(error).removeprefix('adapter: ')}") from error
    halves = {key: tensor.to(torch.float16) for key, tensor in state.items()}
    return Adapter(name, folder, halves, metadata.model_copy(update={"base_model": EMBEDDED, "base_digest": models.digest}))


def check_size(file: Path) -> None:
    """That a file is not too large for a repository.

    Raises:
        ShipError: it is.
    """
    if (size := file.stat().st_size) > LARGEST_BYTES:
        raise ShipError(f"{file}: {size} bytes, more than {LARGEST_BYTES} in one file; save it in smaller shards")


def _files(folder: Path, part: str) -> Iterator[Path]:
    """Configuration, weights and, of several shards, their index: these, and nothing beside them."""
    lie = {file.name: file for file in sorted((folder / part).iterdir()) if not file.name.startswith(".")}
    wanted = {"config.json", WHOLE}
    if INDEX in lie:
        try:
            named = json.loads(lie[INDEX].read_text(encoding="utf-8"))["weight_map"].values()
            wanted = {"config.json", INDEX, *named}
        except (ValueError, KeyError, AttributeError) as error:
            raise ShipError(
                f"{lie[INDEX]}: no index of shards ({type(error).__name__}: {error}); save the model again"
            ) from error
    if missing := sorted(wanted - lie.keys()):
        raise ShipError(f"{folder / part}: {missing[0]} is missing; save the model again")
    if strange := sorted(lie.keys() - wanted):
        ours = lie[strange[0]].suffix in (".safetensors", ".json")
        why = "no part of the model" if ours else "no safetensors; other formats can run code"
        raise ShipError(f"{lie[strange[0]]}: {why}; take it away")
    for name in sorted(wanted):
        check_size(lie[name])
        yield lie[name]


def _parameters(file: Path) -> int:
    """How many numbers a file of weights holds, all of them float16."""
    tensors, _ = read_tensors(file)
    if other := [name for name, tensor in tensors.items() if tensor.dtype != torch.float16]:
        raise ShipError(f"{file}: {other[0]} is {tensors[other[0]].dtype}, not float16; save the model in that")
    return sum(tensor.numel() for tensor in tensors.values())


def _told(backbone: Backbone) -> tuple[Trained, dict[str, Any]]:
    """Of model.json: what it was trained on, and how it was made."""
    trained = backbone.trained
    if trained is None:
        raise ShipError(f"{backbone.folder}: no {MODEL_FILE}, which says what it was trained on; give a run's whole folder")
    made_by = json.loads((backbone.folder / MODEL_FILE).read_text(encoding="utf-8")).get("made_by", {})
    for name, value in _flat(made_by):
        if isinstance(value, str) and (value.startswith(("/", "~")) or "\\" in value):
            raise ShipError(f"{backbone.folder / MODEL_FILE}: made_by.{name} = {value} is a path of one machine; leave it out")
    return trained, made_by


def _loaded(backbone: Backbone, trained: Trained) -> Stream:
    """Every part in memory, and whether they go together."""
    if not backbone.wordless:
        raise ShipError(f"{backbone.folder}: needs caption.safetensors and no text encoder; a text encoder is not shipped")
    codec = backbone.codec(torch.float32, "cpu")
    stream = backbone.stream(torch.float32, "cpu", "shared")
    for part, model in (("vae", codec.vae), ("transformer", stream.transformer)):
        if wrong := next((name for name, tensor in model.state_dict().items() if not tensor.isfinite().all()), None):
            raise ShipError(f"{backbone.folder / part}: {wrong} is not finite; take an earlier checkpoint")
    width = int(stream.transformer.config.caption_channels)  # type: ignore[union-attr,arg-type]
    if (found := backbone.caption("").embeds_bld.shape[-1]) != width:
        raise ShipError(f"{backbone.folder}: its caption has {found} numbers a token, the transformer takes {width}")
    _check_codec(backbone.folder, codec, stream, trained)
    return stream


def _check_codec(folder: Path, codec: Codec, stream: Stream, trained: Trained) -> None:
    if codec.channels != stream.channels:
        raise ShipError(
            f"{folder}: latents of {codec.channels} channels, a transformer for {stream.channels}; they are of two runs"
        )
    if bool((codec.vae.latents_std == 1).all()) and bool((codec.vae.latents_mean == 0).all()):
        raise ShipError(f"{folder / 'vae'}: the latents' mean and deviation were never measured; write it by the training")
    cut = trained.width % codec.stride_s or trained.height % codec.stride_s or (trained.frames - 1) % codec.stride_t
    if cut:
        size, strides = f"{trained.width}x{trained.height}x{trained.frames}", f"{codec.stride_s} pixels, {codec.stride_t} frames"
        raise ShipError(f"{folder / MODEL_FILE}: trained on {size}, which does not fit a cell of {strides}; correct it")


def _check_base(what: str, metadata: AdapterMetadata, models: Models) -> None:
    if metadata.random_base:
        raise ShipError(f"{what}: its base had random weights; train it on {models.folder}")
    if metadata.base_digest is not None:
        if metadata.base_digest != models.digest:
            found = f"{metadata.base_model}, digest {metadata.base_digest}"
            raise ShipError(
                f"{what}: trained on other weights ({found}; these have {models.digest}); train it on {models.folder}"
            )
    elif metadata.base_model != EMBEDDED and Path(metadata.base_model).resolve() != models.folder.resolve():
        raise ShipError(f"{what}: trained on {metadata.base_model}; train it on {models.folder}")


def _flat(values: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Leaves by dotted name."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value
