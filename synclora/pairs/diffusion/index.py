"""What a pipeline's folder or repository holds: its class, its parts, the files that are loaded. Refused where it could run code.

    read_index("/models/wan", FolderFiles(Path("/models/wan")))

Of the parts that `model_index.json` names, JSON, tokenizers' files and safetensors are taken; everything else that lies there is left alone.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

from synclora.errors import SyncLoraError

INDEX = "model_index.json"
_WEIGHTS = {"transformers": "model.safetensors"}
_SMALL = (".json", ".txt", ".model", ".jinja")
_PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".msgpack", ".h5", ".pkl")
_PART = re.compile(r"[A-Za-z]\w*")
_FILE = re.compile(r"\w[\w.+-]*\.safetensors")


class ModelError(SyncLoraError):
    """A model cannot be used as the recipe says: one line that names it, what is wrong, and what would do."""


class Files(Protocol):
    """Files by name, relative, with slashes; wherever they lie."""

    @property
    def sizes(self) -> Mapping[str, int]:
        """In bytes."""
        ...

    def read(self, name: str) -> bytes:
        """A small file's content."""
        ...


class FolderFiles:
    """Of a folder on this machine.

    Attributes:
        sizes: of the files in it and in its own folders, by name.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        found = [*folder.glob("*"), *folder.glob("*/*")]
        self.sizes = {file.relative_to(folder).as_posix(): file.stat().st_size for file in sorted(found) if file.is_file()}

    def read(self, name: str) -> bytes:
        """A small file's content."""
        return (self._folder / name).read_bytes()


@dataclass(frozen=True)
class Index:
    """What `model_index.json` says, and the files that follow from it.

    Attributes:
        pipeline: class that the folder was saved by.
        parts: library and class of each part that is there.
        values: the pipeline's own settings, such as Wan's `boundary_ratio`.
        small: files without weights.
        weights: files with them.
    """

    pipeline: str
    parts: Mapping[str, tuple[str, str]]
    values: Mapping[str, Any]
    small: tuple[str, ...]
    weights: tuple[str, ...]

    @property
    def files(self) -> tuple[str, ...]:
        """All that is loaded."""
        return tuple(sorted({*self.small, *self.weights}))


def read_index(name: str, files: Files) -> Index:
    """Find out what a model is made of.

    Args:
        name: what the errors call it.
        files: that it consists of.

    Raises:
        ModelError: no pipeline lies there, a part could run code or is missing, or has its weights in another format than safetensors.
    """
    if INDEX not in files.sizes:
        raise ModelError(f"model {name}: no {INDEX}; give a whole pipeline in diffusers' layout")
    found = read_json(name, files, INDEX)
    pipeline = found.get("_class_name")
    if not isinstance(pipeline, str):
        raise ModelError(f"model {name}: _class_name of {INDEX} is {pipeline!r}; code that comes with a model is never run")
    listed = {part: value for part, value in found.items() if not part.startswith("_")}
    parts = {part: _checked(name, part, *value) for part, value in listed.items() if _is_part(value)}
    values = {part: value for part, value in listed.items() if not isinstance(value, list)}
    small, weights = [INDEX], []
    for part, (library, _) in parts.items():
        inside = [file for file in files.sizes if file.startswith(f"{part}/")]
        if not inside:
            raise ModelError(
                f"model {name}: {part}, which {INDEX} names, is not there; give a whole pipeline in diffusers' layout"
            )
        small += [file for file in inside if file.endswith(_SMALL)]
        if not _is_weightless(part, inside):
            weights += _weights(name, part, library, files)
    return Index(pipeline, parts, values, tuple(sorted(small)), tuple(sorted(weights)))


def read_json(name: str, files: Files, file: str) -> dict[str, Any]:
    """A configuration.

    Raises:
        ModelError: it is no JSON object.
    """
    try:
        content = json.loads(files.read(file))
    except (OSError, ValueError) as error:
        raise ModelError(
            f"model {name}: {file} cannot be read ({' '.join(str(error).split())}); mend it or fetch it again"
        ) from error
    if not isinstance(content, dict):
        raise ModelError(f"model {name}: {file} holds no settings; mend it or fetch it again")
    return content


def _is_part(value: Any) -> bool:
    """A part is a pair of library and class; one that a folder does without is a pair of nulls."""
    return isinstance(value, list) and len(value) == 2 and isinstance(value[0], str) and isinstance(value[1], str)


def _is_weightless(part: str, inside: list[str]) -> bool:
    """Models have a `config.json`; schedulers, tokenizers and processors have one that bears their name."""
    return f"{part}/config.json" not in inside and any(file.endswith("_config.json") for file in inside)


def _checked(name: str, part: str, library: str, kind: str) -> tuple[str, str]:
    """See that a part has a plain name, and that diffusers or transformers bring its class."""
    if not _PART.fullmatch(part):
        raise ModelError(f"model {name}: a part of {INDEX} is called {part!r}; a plain name was expected")
    if (home := _home(library)) is None:
        raise ModelError(
            f"model {name}: {part} is {library}.{kind}; only parts of diffusers and transformers are loaded, no other code"
        )
    if kind not in _names(home):
        from importlib.metadata import version

        package = home.__name__.partition(".")[0]
        raise ModelError(
            f"model {name}: {part} is {kind}, which {package} {version(package)} does not have; use another revision"
        )
    return library, kind


@cache
def _names(home: ModuleType) -> frozenset[str]:
    """What a library offers, without importing it: transformers takes a third of a second to list it."""
    return frozenset(dir(home))


def _home(library: str) -> ModuleType | None:
    """Where a part's class comes from: one of the two libraries, or the folder of a family of diffusers' pipelines."""
    import diffusers
    import transformers

    libraries: dict[str, ModuleType] = {"diffusers": diffusers, "transformers": transformers}
    if library in libraries:
        return libraries[library]
    family: object = getattr(diffusers.pipelines, library, None) if _PART.fullmatch(library) else None
    if not isinstance(family, ModuleType) or family.__name__ != f"diffusers.pipelines.{library}":
        return None
    return family if hasattr(family, "__path__") else None


def _weights(name: str, part: str, library: str, files: Files) -> list[str]:
    """The weight files that the libraries will read: those of the index, else the whole one."""
    whole = f"{part}/{_WEIGHTS.get(library, 'diffusion_pytorch_model.safetensors')}"
    if f"{whole}.index.json" in files.sizes:
        return _shards(name, part, f"{whole}.index.json", files)
    if whole in files.sizes:
        return [whole]
    there = sorted(file.partition("/")[2] for file in files.sizes if file.startswith(f"{part}/"))
    if pickled := [file for file in there if file.endswith(_PICKLED)]:
        raise ModelError(
            f"model {name}: {part} has its weights in {pickled[0]} only; convert them to safetensors, this format can run code"
        )
    if variants := [file for file in there if file.endswith(".safetensors")]:
        raise ModelError(f"model {name}: {part} has {variants[0]}, but no {Path(whole).name}; save it without a variant")
    raise ModelError(f"model {name}: {part} has no weights; give a whole pipeline in diffusers' layout")


def _shards(name: str, part: str, index: str, files: Files) -> list[str]:
    """The files of a model that is cut into several: beside their index, and nowhere else."""
    mapped = read_json(name, files, index).get("weight_map")
    shards = sorted({str(file) for file in mapped.values()}) if isinstance(mapped, dict) else []
    for shard in shards:
        if not _FILE.fullmatch(shard):
            raise ModelError(f"model {name}: {index} names {shard!r}; a plain .safetensors file beside it was expected")
        if f"{part}/{shard}" not in files.sizes:
            raise ModelError(f"model {name}: {part}/{shard}, which {Path(index).name} names, is not there; fetch it again")
    if not shards:
        raise ModelError(f"model {name}: {index} names no file; mend it or fetch it again")
    return [f"{part}/{shard}" for shard in shards]
