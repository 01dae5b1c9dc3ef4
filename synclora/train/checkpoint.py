"""Checkpoints: a folder that is whole, or not one.

    OUT/checkpoints/step-000100/adapter.safetensors     the adapter, float32
    OUT/checkpoints/step-000100/optimizer.safetensors   AdamW's two moments
    OUT/checkpoints/step-000100/state.json              step, recipe, the digests of both files, and one of all these facts

Written under a hidden name and renamed, so that a killed run leaves nothing half-done; read only if the digests agree, else the one before is.
No random state is kept because none is needed: every draw is a function of the seed and the step (`batches.py`, `step.py`). Nor is a number of
workers: the tensors are whole.
"""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from synclora.errors import SyncLoraError
from synclora.train.strategy import OptimizerState
from synclora.train.tensorfile import read_tensors, write_tensors

_FILES = ("adapter.safetensors", "optimizer.safetensors")
_FORMAT = 1


class CheckpointError(SyncLoraError):
    """A checkpoint that cannot be used: says which and why."""


@dataclass(frozen=True)
class Checkpoint:
    """One intact checkpoint.

    Attributes:
        folder: where it lies.
        step: steps done.
        recipe: the settings that decide, by dotted name, as they were.
    """

    folder: Path
    step: int
    recipe: dict[str, Any]

    def weights(self) -> dict[str, Tensor]:
        """The adapter alone: a third of what there is."""
        return read_tensors(self.folder / _FILES[0])[0]

    def load(self) -> OptimizerState:
        """All its tensors."""
        weights, (moments, _) = self.weights(), read_tensors(self.folder / _FILES[1])
        mean, square = (
            {n.removeprefix(f"{key}."): t for n, t in moments.items() if n.startswith(f"{key}.")} for key in ("mean", "square")
        )
        return OptimizerState(self.step, weights, mean, square)


def save(folder: Path, state: OptimizerState, recipe: dict[str, Any]) -> Path:
    """Write a checkpoint under `folder`; returns its own folder.

    Raises:
        OSError: the disk is full; earlier checkpoints stay, nothing half-written does.
    """
    target = _free(folder / f"step-{state.steps:06d}")
    scratch = folder / f".{target.name}.{os.getpid()}.part"
    try:
        shutil.rmtree(scratch, ignore_errors=True)  # of a killed process of the same number: containers count anew
        scratch.mkdir(parents=True)
        tensors = (
            state.weights,
            {f"{key}.{name}": t for key, of in (("mean", state.mean), ("square", state.square)) for name, t in of.items()},
        )
        for name, content in zip(_FILES, tensors, strict=True):
            write_tensors(scratch / name, content, {})
        digests = {name: _digest(scratch / name) for name in _FILES}
        facts = {"format": _FORMAT, "step": state.steps, "recipe": recipe, "sha256": digests}
        facts["facts_sha256"] = _digest_of(facts)
        with (scratch / "state.json").open("w", encoding="utf-8") as file:
            json.dump(facts, file, indent=1, sort_keys=True)
            file.flush()
            os.fsync(file.fileno())
        scratch.rename(target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return target


def checkpoints(folder: Path) -> Iterator[Path]:
    """Folders that call themselves checkpoints, newest first, intact or not."""
    yield from sorted(folder.glob("step-*"), key=lambda path: [int(part) for part in re.findall(r"\d+", path.name)], reverse=True)


def read(folder: Path) -> Checkpoint:
    """One checkpoint, its files held against their digests.

    Raises:
        CheckpointError: something is missing, unreadable or not what was written.
    """
    try:
        facts = json.loads((folder / "state.json").read_text(encoding="utf-8"))
        if facts["format"] != _FORMAT:
            raise CheckpointError(f"checkpoint {folder.name}: of another version of this project")
        if facts.pop("facts_sha256") != _digest_of(facts):
            raise CheckpointError(f"checkpoint {folder.name}: state.json is not what was written")
        for name in _FILES:
            if _digest(folder / name) != facts["sha256"][name]:
                raise CheckpointError(f"checkpoint {folder.name}: {name} is not what was written")
        return Checkpoint(folder, int(facts["step"]), dict(facts["recipe"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"checkpoint {folder.name}: unreadable ({type(error).__name__})") from error


def newest(folder: Path) -> tuple[Checkpoint | None, list[str]]:
    """The newest intact checkpoint, and a line for each newer one that is not."""
    passed: list[str] = []
    for path in checkpoints(folder):
        try:
            return read(path), passed
        except CheckpointError as error:
            passed.append(str(error))
    return None, passed


def newest_or_refuse(folder: Path) -> Checkpoint:
    """The newest intact checkpoint.

    Raises:
        CheckpointError: there is none.
    """
    found, passed = newest(folder)
    if found is None:
        raise CheckpointError(f"checkpoints {folder}: none is intact ({'; '.join(passed) or 'none was written'}); train again")
    return found


def sweep(folder: Path, keep: int) -> None:
    """Remove what killed runs left: half-written folders, corrupt checkpoints, and all but the newest `keep`."""
    for scratch in folder.glob(".step-*.part"):
        shutil.rmtree(scratch, ignore_errors=True)
    intact = 0
    for path in checkpoints(folder):
        try:
            read(path)
            intact += 1
        except CheckpointError:
            shutil.rmtree(path, ignore_errors=True)
            continue
        if intact > keep:
            shutil.rmtree(path, ignore_errors=True)


def _free(path: Path) -> Path:
    """A name that is not taken: a corrupt checkpoint of the same step may be in the way, and Ray counts names."""
    number = 2
    free = path
    while free.exists():
        free = path.with_name(f"{path.name}-{number}")
        number += 1
    return free


def _digest_of(facts: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
