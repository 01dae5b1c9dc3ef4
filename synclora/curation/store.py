"""Measurements on disk, under ids made of content: a rerun finds what is done, whatever the order or the block layout.

    OUT/measured/ab/ab12….parquet      one video's measurement: written under a temporary name, then renamed

A video's id is made of its bytes, the half that is looked at, and the settings that measuring depends on.
"""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from synclora.errors import MediaError, Reason
from synclora.motion.measure import FORMAT, Measurement
from synclora.pairs.base import Pair, View
from synclora.pairs.manifest import MOTION

_SCHEMA = pa.schema(list(MOTION))


def view_id(view: View, measuring: dict[str, Any], max_bytes: int) -> str:
    """Sixteen hex digits for one half of one file.

    Raises:
        MediaError: the file is missing, is no regular file, is larger than `max_bytes`, or cannot be read.
    """
    path = Path(view.path)
    try:
        status = path.stat()
        if not path.is_file():
            raise MediaError(Reason.UNREADABLE, f"{path.name}: not a regular file")
        if status.st_size > max_bytes:
            raise MediaError(Reason.TOO_LARGE, f"{path.name}: {status.st_size} bytes, more than {max_bytes}")
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError as error:
        raise MediaError(Reason.MISSING, f"{path.name}: no such file") from error
    except OSError as error:
        raise MediaError(Reason.UNREADABLE, f"{path.name}: {error.strerror}") from error
    text = json.dumps([content, view.half, FORMAT, measuring], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def pair_id(source_id: str, edited_id: str) -> str:
    """Sixteen hex digits for a pair of videos."""
    return hashlib.sha256(f"{source_id} {edited_id}".encode()).hexdigest()[:16]


def unread_pair_id(pair: Pair) -> str:
    """The id of a pair whose videos cannot be read: made of what it was called."""
    return hashlib.sha256(json.dumps([pair.name, pair.source.path, pair.edited.path]).encode()).hexdigest()[:16]


class MeasurementStore:
    """The folder of measurements. Safe for many writers: equal content under equal names, each written whole."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, view: str) -> Measurement | None:
        """The measurement of a view, or None if there is none that can be read."""
        try:
            rows = pq.read_table(self._path(view), schema=_SCHEMA).to_pylist()
        except (OSError, pa.ArrowInvalid):
            return None
        return Measurement.from_row(rows[0]) if len(rows) == 1 else None

    def put(self, view: str, measurement: Measurement) -> None:
        """Keep a measurement."""
        path = self._path(view)
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = path.with_name(f".{path.name}.{os.getpid()}.part")
        try:
            pq.write_table(pa.Table.from_pylist([measurement.to_row()], _SCHEMA), scratch, compression="zstd")
            scratch.replace(path)
        finally:
            scratch.unlink(missing_ok=True)

    def _path(self, view: str) -> Path:
        return self._folder / view[:2] / f"{view}.parquet"
