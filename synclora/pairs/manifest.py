"""The manifest: one row per input, with its verdict and everything needed to judge it again without opening a video.

    for row in read_rows(Path("out/manifest.parquet")):
        print(row["name"], row["verdict"], row["reason"], row["sync"])

Plain columns come first, for people and SQL; paths of videos that lie beside the manifest are relative to its folder. `parts` says how
each part of the body agreed. `source_motion` and `edited_motion` hold the two measurements (raw signals, their noise, where they were
seen); `Measurement.from_row` turns them back.
"""

import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from synclora.errors import SyncLoraError
from synclora.motion.measure import Measurement
from synclora.motion.settings import CUES
from synclora.motion.signals import SIGNALS
from synclora.motion.verdict import Judgement
from synclora.pairs.base import Pair

Row = dict[str, Any]

ROWS_PER_GROUP = 64
"""Rows held in memory while writing: about 3 MB at 81 frames, and few enough to read one group in the report."""

_PART = pa.struct(
    [
        *(pa.field(name, pa.string()) for name in ("part", "cue")),
        pa.field("evidence", pa.bool_()),
        pa.field("why", pa.string()),
        *(pa.field(name, pa.float64()) for name in ("r", "snr", "gain", "visible", "lag")),
    ]
)

MOTION = pa.struct(
    [
        *(pa.field(name, pa.int32()) for name in ("format", "frames", "width", "height")),
        *(pa.field(name, pa.float64()) for name in ("fps", "face_share", "second_face")),
        pa.field("first_face", pa.list_(pa.float32())),
        pa.field("stamps", pa.binary()),
        *(pa.field(f"{name}_values", pa.list_(pa.float32())) for name in SIGNALS),
        *(pa.field(f"{name}_noise", pa.float64()) for name in SIGNALS),
        *(pa.field(f"{name}_seen", pa.list_(pa.bool_())) for name in SIGNALS),
    ]
)
"""A `Measurement` as one Parquet column."""

SCHEMA = pa.schema(
    [
        *(
            pa.field(name, pa.string())
            for name in ("pair_id", "name", "source", "source_half", "edited", "edited_half", "caption")
        ),
        *(pa.field(name, pa.string()) for name in ("verdict", "reason", "detail")),
        *(pa.field(name, pa.float64()) for name in ("sync", "sync_low", "sync_high")),
        *(pa.field(f"sync_{cue}", pa.float64()) for cue in CUES),
        *(pa.field(name, pa.float64()) for name in ("lag", "local_lag")),
        pa.field("local_at", pa.int32()),
        *(pa.field(f"lag_{cue}", pa.float64()) for cue in CUES),
        *(pa.field(f"visible_{cue}", pa.float64()) for cue in CUES),
        *(pa.field(name, pa.float64()) for name in ("edit_strength", "edit_hold", "misalignment")),
        pa.field("frames", pa.int32()),
        pa.field("fps", pa.float64()),
        *(pa.field(name, pa.int32()) for name in ("width", "height")),
        *(pa.field(name, pa.string()) for name in ("truth", "recipe")),
        pa.field("parts", pa.list_(_PART)),
        pa.field("source_motion", MOTION),
        pa.field("edited_motion", MOTION),
    ]
)
"""NaN-free: a number that does not exist (a cue without evidence, a pair never measured) is null."""


class ManifestError(SyncLoraError):
    """A manifest that cannot be used: says which file, why, and what to do."""


def manifest_row(
    pair_id: str, pair: Pair, judgement: Judgement, halves: tuple[Measurement, Measurement] | None, recipe: str
) -> Row:
    """One row. `halves` is None when a video could not be measured; `recipe` is the fingerprint of the verdict's settings."""
    row: Row = dict.fromkeys(SCHEMA.names)
    row |= {
        "pair_id": pair_id,
        "name": pair.name,
        "source": pair.source.path,
        "source_half": pair.source.half,
        "edited": pair.edited.path,
        "edited_half": pair.edited.half,
        "caption": pair.caption,
        "truth": pair.truth,
        "recipe": recipe,
        "parts": [],
    }
    if halves:
        source, edited = halves
        row |= {"source_motion": source.to_row(), "edited_motion": edited.to_row(), "fps": source.fps}
        row |= {"frames": min(source.frames, edited.frames), "width": source.width, "height": source.height}
    return row | verdict_columns(judgement)


def verdict_columns(judgement: Judgement) -> Row:
    """The columns that a judgement decides, and so a rescore changes."""
    columns: Row = {
        "verdict": judgement.verdict.value,
        "reason": judgement.reason.value if judgement.reason else None,
        "detail": judgement.detail,
        "edit_strength": _number(judgement.edit),
        "edit_hold": _number(judgement.edit_hold),
        "misalignment": _number(judgement.misalignment),
        "parts": [],
    }
    sync = judgement.sync
    cleared = ("sync", "sync_low", "sync_high", "lag", "local_lag", "local_at")
    columns |= dict.fromkeys(cleared) | {f"{kind}_{cue}": None for kind in ("sync", "lag", "visible") for cue in CUES}
    if sync is None:
        return columns
    columns |= {"sync": _number(sync.score), "sync_low": _number(sync.low), "sync_high": _number(sync.high)}
    columns |= {"lag": _number(sync.lag), "local_lag": _number(sync.local_lag), "local_at": sync.local_at}
    columns["parts"] = [
        {**vars(part), **{k: _number(v) for k, v in vars(part).items() if isinstance(v, float)}} for part in sync.parts
    ]
    for cue in CUES:
        parts = sorted((part for part in sync.parts if part.cue == cue), key=lambda part: part.snr)
        if parts:
            columns |= {f"sync_{cue}": _number(sync.cue(cue)), f"visible_{cue}": max(part.visible for part in parts)}
            columns[f"lag_{cue}"] = _number(parts[-1].lag)
    return columns


def write_rows(path: Path, rows: Iterable[Row]) -> int:
    """Write a manifest under a temporary name, then rename; returns the number of rows. Memory does not grow with it.

    Raises:
        OSError: the disk is full; an older manifest at `path` stays as it was.
    """
    scratch = path.with_name(f".{path.name}.part")
    count = 0
    try:
        with pq.ParquetWriter(scratch, SCHEMA, compression="zstd") as writer:
            batch: list[Row] = []
            for row in rows:
                batch.append(row)
                count += 1
                if len(batch) == ROWS_PER_GROUP:
                    writer.write_table(pa.Table.from_pylist(batch, SCHEMA))
                    batch = []
            if batch:
                writer.write_table(pa.Table.from_pylist(batch, SCHEMA))
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)
    return count


def read_rows(path: Path, columns: list[str] | None = None) -> Iterator[Row]:
    """The rows in order, a row group at a time.

    Raises:
        ManifestError: the file is missing, no Parquet, or was written by another version of this project.
    """
    try:
        file = pq.ParquetFile(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise ManifestError(f"manifest {path}: {str(error).splitlines()[0]}; run jobs/curate.py first") from error
    with file:
        if not file.schema_arrow.equals(SCHEMA):
            unlike = sorted(set(file.schema_arrow.names) ^ set(SCHEMA.names)) or ["column types"]
            raise ManifestError(
                f"manifest {path}: written by another version ({', '.join(unlike)[:120]}); curate into a new --out"
            )
        for batch in file.iter_batches(ROWS_PER_GROUP, columns=columns):
            yield from batch.to_pylist()


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
