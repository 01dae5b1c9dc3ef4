"""The output folder: ours, or refused; one run at a time.

OUT/synclora.json        says that the folder is ours, and by which recipe it was made
OUT/manifest.parquet     one row per input
OUT/metadata.jsonl       the kept pairs, as both trainers read them
OUT/kept/{source,edited} their videos
OUT/report.html          what a person looks at
OUT/measured, generated  what a rerun need not do again
"""

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from synclora import __version__
from synclora.curation.recipe import CurateRecipe
from synclora.errors import SyncLoraError

KIND = "synclora-curation"
_MARKER = "synclora.json"
_LOCK = ".lock"


class OutputError(SyncLoraError):
    """The output folder cannot be used: says which, why, and what to do."""


@contextmanager
def open_output(out: Path, *, made: bool = False) -> Iterator[Path]:
    """Make the folder or take it up again, hold it for this run, and clear away what a killed one left half-written.

    Args:
        out: the folder.
        made: it must be ours already.

    Raises:
        OutputError: it is not empty and not ours, cannot be written, or another run holds it.
    """
    try:
        ours = _read_marker(out) is not None
        if made and not ours:
            raise OutputError(f"--out {out}: no curation there; run without --rescore first")
        if not ours and out.exists() and any(out.iterdir()):
            raise OutputError(f"--out {out}: not empty and not made by jobs/curate.py; choose an empty or new folder")
        out.mkdir(parents=True, exist_ok=True)
        if _read_marker(out) is None:
            write_whole(out / _MARKER, json.dumps({"kind": KIND}))
        lock = os.open(out / _LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise OutputError(f"--out {out}: {error.strerror}; choose a folder that can be written") from error
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise OutputError(f"--out {out}: another run is writing there; wait for it or choose another folder") from error
        _sweep(out)
        yield out
    finally:
        os.close(lock)


def remember(out: Path, recipe: CurateRecipe) -> None:
    """Note by which recipe the folder's manifest was made."""
    marker = {"kind": KIND, "version": __version__, "measuring": recipe.measuring(), "recipe": recipe.model_dump(mode="json")}
    write_whole(out / _MARKER, json.dumps(marker, indent=1, sort_keys=True) + "\n")


def check_same_measuring(out: Path, recipe: CurateRecipe) -> None:
    """Whether a rescore under this recipe makes sense: verdicts may change without videos, measurements may not.

    Raises:
        OutputError: names the settings that differ.
    """
    before = (_read_marker(out) or {}).get("measuring")
    if before is None:
        raise OutputError(f"--out {out}: no finished curation there to rescore; run without --rescore first")
    now = json.loads(json.dumps(recipe.measuring()))
    changed = [
        f"{name} {before.get(name)} -> {now.get(name)}" for name in sorted({*before, *now}) if before.get(name) != now.get(name)
    ]
    if changed:
        raise OutputError(f"--rescore: its videos were measured by another recipe ({'; '.join(changed)}); run without --rescore")


def write_whole(path: Path, text: str) -> None:
    """Write a small file under a temporary name, then rename."""
    scratch = path.with_name(f".{path.name}.part")
    try:
        scratch.write_text(text, encoding="utf-8")
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)


def _sweep(out: Path) -> None:
    """Remove scratch files and drafts: what is hidden in the folders that only jobs write to."""
    for scratch in out.glob(".*.part"):
        scratch.unlink(missing_ok=True)
    for ours in ("measured", "generated", "kept"):
        for folder, folders, files in os.walk(out / ours):
            for name in [name for name in folders if name.startswith(".")]:
                shutil.rmtree(Path(folder, name), ignore_errors=True)
                folders.remove(name)
            for name in files:
                if name.startswith("."):
                    Path(folder, name).unlink(missing_ok=True)


def _read_marker(out: Path) -> dict[str, Any] | None:
    try:
        marker = json.loads((out / _MARKER).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    return marker if isinstance(marker, dict) and marker.get("kind") == KIND else None
