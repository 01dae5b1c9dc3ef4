"""A model's name to what it is: a hub id (`owner/name`), a folder in diffusers' layout, or a miniature (`tiny:flux`). Nothing is loaded.

found = look_up(Stage.VIDEO, settings.video)       # its class, size and identity; refuses what could not run
folder = fetch(found)                              # on each machine, once
"""

import hashlib
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from synclora.pairs.diffusion.call import Call, pipeline_class
from synclora.pairs.diffusion.hub import HubSilentError, count_parameters, fetch_repository, find_repository
from synclora.pairs.diffusion.index import Files, FolderFiles, Index, read_index, read_json
from synclora.pairs.diffusion.index import ModelError as ModelError
from synclora.pairs.diffusion.settings import ModelSettings, Stage, VideoSettings
from synclora.pairs.diffusion.tiny import MINIATURES, tiny_name, tiny_pipeline
from synclora.pairs.diffusion.weights import count_in_files, fingerprint

_TINY = "tiny:"
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")

_SEES_BY_TORCHVISION = ("PixtralProcessor", "Qwen2VLProcessor", "Qwen2_5_VLProcessor")
"""Of FLUX.2, and of Qwen-Image's edits, in transformers 5."""


@dataclass(frozen=True)
class Found:
    """A model, looked up without its weights.

    Attributes:
        name: as the recipe gives it.
        revision: commit of the hub; None for folders and miniatures.
        folder: where it lies on the machine that looked it up; None for a hub's that is not fetched yet.
        pipeline: class of diffusers that it is opened as.
        identity: 12 hex digits of its content, wherever it lies, or of hub id and commit.
        parameters: numbers in its weights; 0 where the hub does not tell.
        bytes: of its weights.
        random: of a miniature, whose weights mean nothing.
        files: of the hub's repository, to be fetched.
    """

    name: str
    revision: str | None
    folder: Path | None
    pipeline: str
    identity: str
    parameters: int
    bytes: int
    random: bool
    files: tuple[str, ...] = field(default=(), repr=False)


def look_up(stage: Stage, settings: ModelSettings) -> Found:
    """Find a model, and see that the stage can use it as the settings say.

    Raises:
        ModelError: it cannot: there is none, it is not whole or not in safetensors, needs code other than diffusers' and transformers', is of
            another kind than the stage asks for, or cannot take a setting.
    """
    name = settings.model
    if name.startswith(_TINY):
        return _in_folder(stage, settings, _miniature(name), _hash(tiny_name(name.removeprefix(_TINY))), random=True)
    if Path(name).is_dir():
        return _in_folder(stage, settings, Path(name).absolute(), None, random=False)
    if not _HUB_ID.fullmatch(name):
        what = "a file; give the folder of a whole pipeline" if Path(name).is_file() else "no such folder"
        raise ModelError(f"model {name}: {what}, or a hub id (owner/name), or tiny:{' or tiny:'.join(MINIATURES)}")
    return _on_hub(stage, settings)


def look_up_for_plan(stage: Stage, settings: ModelSettings) -> Found:
    """The same, but what a hub that does not answer would have said stays open: no pipeline, no identity, no size.

    Raises:
        ModelError: what is known already speaks against the model.
    """
    try:
        return look_up(stage, settings)
    except HubSilentError:
        return Found(settings.model, settings.revision, None, settings.pipeline, "", 0, 0, random=False)


def fetch(found: Found) -> Path:
    """The model's folder on this machine, brought here if need be.

    Raises:
        ModelError: it cannot be had.
    """
    if found.revision is not None:
        return fetch_repository(found.name, found.revision, found.files)
    if found.random:
        return _miniature(found.name)
    if found.folder is None or not found.folder.is_dir():
        raise ModelError(f"model {found.name}: no such folder on {socket.gethostname()}; keep it on storage that all nodes see")
    return found.folder


def _in_folder(stage: Stage, settings: ModelSettings, folder: Path, identity: str | None, random: bool) -> Found:
    if settings.revision is not None:
        raise ModelError(
            f"model {settings.model}: revision {settings.revision} is of a hub's model, this is a folder; remove `revision`"
        )
    files = FolderFiles(folder)
    index, pipeline = _checked(stage, settings, files)
    parameters = count_in_files(settings.model, folder, index.weights)
    identity = identity or fingerprint(folder, index.small, index.weights)
    return Found(settings.model, None, folder, pipeline, identity, parameters, _bytes(index, files), random)


def _on_hub(stage: Stage, settings: ModelSettings) -> Found:
    there = find_repository(settings.model, settings.revision)
    index, pipeline = _checked(stage, settings, there.files)
    is_whole = there.folder is not None and all((there.folder / file).is_file() for file in index.files)
    if there.folder is not None and is_whole:
        parameters = count_in_files(settings.model, there.folder, index.weights)
    else:
        parameters = count_parameters(settings.model, there.commit, index.weights)
    return Found(
        name=settings.model,
        revision=there.commit,
        folder=there.folder if is_whole else None,
        pipeline=pipeline,
        identity=_hash(f"{settings.model}@{there.commit}"),
        parameters=parameters,
        bytes=_bytes(index, there.files),
        random=False,
        files=index.files,
    )


def _checked(stage: Stage, settings: ModelSettings, files: Files) -> tuple[Index, str]:
    """What the model is made of and the class to open it as, once all is seen to fit."""
    name = settings.model
    index = read_index(name, files)
    pipeline = settings.pipeline or index.pipeline
    opened_as = pipeline_class(name, pipeline)
    _check_parts(name, opened_as, index)
    transformer = _configuration(name, files, "transformer")
    Call(stage, settings, opened_as).check(name, transformer)
    if isinstance(settings, VideoSettings):
        _check_grid(settings, _configuration(name, files, "vae"), transformer)
    return index, pipeline


def _check_parts(name: str, pipeline: Any, index: Index) -> None:
    """See that the folder holds what the class is built of, which it may not where `pipeline` names another class than the folder."""
    expected, _ = pipeline._get_signature_keys(pipeline)
    if lacking := sorted(set(expected) - set(index.parts) - set(index.values) - set(pipeline._optional_components)):
        raise ModelError(
            f"model {name}: {pipeline.__name__} needs {' and '.join(lacking)}, which this model, saved as {index.pipeline}, does not have; "
            "correct `pipeline` or `model`"
        )
    meant = [kind.__name__ for kind in pipeline._get_signature_types().get("transformer", ()) if isinstance(kind, type)]
    if "transformer" in index.parts and meant and (kind := index.parts["transformer"][1]) not in meant:
        raise ModelError(
            f"model {name}: {pipeline.__name__} runs {meant[0]}, this model has {kind}; correct `pipeline` or `model`"
        )
    from transformers.utils import is_torchvision_available

    for part, (_, kind) in index.parts.items():
        if kind in _SEES_BY_TORCHVISION and not is_torchvision_available():
            raise ModelError(f"model {name}: {part} is {kind}, which needs torchvision; install the one that fits your torch")


def _check_grid(settings: VideoSettings, vae: Mapping[str, Any], transformer: Mapping[str, Any]) -> None:
    """See that frames and sides fit the model's latents: the pipelines would round them, and say so where nobody reads it."""
    downsample = vae.get("temperal_downsample")
    every = (
        vae.get("scale_factor_temporal") or vae.get("temporal_compression_ratio") or (2 ** sum(downsample) if downsample else 0)
    )
    if every and (settings.frames - 1) % every:
        below = (settings.frames - 1) // every * every + 1
        raise ModelError(
            f"model {settings.model}: frames {settings.frames}: it makes {every}k+1, such as {below} or {below + every}"
        )
    patch = transformer.get("patch_size", 1)
    cell = (vae.get("scale_factor_spatial") or vae.get("spatial_compression_ratio") or 0) * (
        patch if isinstance(patch, int) else patch[-1]
    )
    for side in ("width", "height"):
        if cell and getattr(settings, side) % cell:
            raise ModelError(f"model {settings.model}: {side} {getattr(settings, side)}: it makes multiples of {cell}")


def _configuration(name: str, files: Files, part: str) -> dict[str, Any]:
    file = f"{part}/config.json"
    return read_json(name, files, file) if file in files.sizes else {}


def _miniature(name: str) -> Path:
    kind = name.removeprefix(_TINY)
    if kind not in MINIATURES:
        raise ModelError(f"model {name}: no such miniature; choose tiny:{' or tiny:'.join(MINIATURES)}")
    return tiny_pipeline(kind).absolute()


def _bytes(index: Index, files: Files) -> int:
    return sum(files.sizes[file] for file in index.weights)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]
