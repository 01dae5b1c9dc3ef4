"""The output folder of a job: its own, or refused; one run at a time.

    with open_output(out, CURATION):
        ...                                    # OUT/synclora.json says whose folder it is and what was run there

A folder that is not empty and not of the same job is left alone.
"""

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synclora.errors import SyncLoraError

_MARKER = "synclora.json"
_LOCK = ".lock"


class OutputError(SyncLoraError):
    """The output folder cannot be used: says which, why, and what to do."""


@dataclass(frozen=True)
class Kind:
    """A job that writes folders.

    Attributes:
        name: in the marker.
        job: the program, for the user.
        swept: folders that only the job writes to: what is hidden there was left by a killed run.
    """

    name: str
    job: str
    swept: tuple[str, ...]


@contextmanager
def open_output(out: Path, kind: Kind) -> Iterator[Path]:
    """Make the folder or take it up again, hold it for this run, and clear away what a killed one left half-written.

    Raises:
        OutputError: it is not empty and not of this job, cannot be written, or another run holds it.
    """
    try:
        ours = read_marker(out, kind) is not None
        if not ours and out.exists() and any(out.iterdir()):
            raise OutputError(f"--out {out}: not empty and not made by {kind.job}; choose an empty or new folder")
        out.mkdir(parents=True, exist_ok=True)
        if read_marker(out, kind) is None:
            write_marker(out, kind, {})
        lock = os.open(out / _LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise OutputError(f"--out {out}: {error.strerror}; choose a folder that can be written") from error
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise OutputError(f"--out {out}: another run is writing there; wait for it or choose another folder") from error
        _sweep(out, kind.swept)
        yield out
    finally:
        os.close(lock)


def read_marker(out: Path, kind: Kind) -> dict[str, Any] | None:
    """What the job noted of the folder; None if the folder is not this job's."""
    try:
        marker = json.loads((out / _MARKER).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    return marker if isinstance(marker, dict) and marker.get("kind") == kind.name else None


def write_marker(out: Path, kind: Kind, facts: dict[str, Any]) -> None:
    """Note of the folder whose it is, and what was run there."""
    marker = {"kind": kind.name, **facts}
    write_whole(out / _MARKER, json.dumps(marker, indent=1, sort_keys=True) + "\n")


def write_whole(path: Path, text: str) -> None:
    """Write a small file under a temporary name, then rename."""
    scratch = path.with_name(f".{path.name}.part")
    try:
        scratch.write_text(text, encoding="utf-8")
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)


def differences(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Settings that differ between two runs, by dotted name, as `name old -> new`."""
    now = json.loads(json.dumps(now))
    names = sorted({*before, *now})
    return [f"{name} {before.get(name)} -> {now.get(name)}" for name in names if before.get(name) != now.get(name)]


def _sweep(out: Path, swept: tuple[str, ...]) -> None:
    """Remove scratch files and drafts: what is hidden in the folders that only jobs write to."""
    for scratch in out.glob(".*.part"):
        scratch.unlink(missing_ok=True)
    for ours in swept:
        for folder, folders, files in os.walk(out / ours):
            for name in [name for name in folders if name.startswith(".")]:
                shutil.rmtree(Path(folder, name), ignore_errors=True)
                folders.remove(name)
            for name in files:
                if name.startswith("."):
                    Path(folder, name).unlink(missing_ok=True)
