"""The run's index: what became of every clip of a set, and under which id its latents lie.

    tally = EncodeTally()
    write_index(store.index, tally.counting(rows))
    for row in read_index(store.index):
        print(row.name, row.window, row.grid, row.reason)

Equal sets, settings and backbones give equal bytes, whatever was encoded now and what was found. Ids are of content, so the folder may move.
"""

import math
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, Self

import pyarrow as pa
import pyarrow.parquet as pq

from synclora.errors import Reason
from synclora.incontext.positions import Grid
from synclora.train.curated import TrainSetError

Outcome = Literal["encoded", "found", "dropped"]
OUTCOMES: tuple[Outcome, ...] = ("encoded", "found", "dropped")

_SCHEMA = pa.schema(
    [
        pa.field("pair_id", pa.string()),
        pa.field("name", pa.string()),
        pa.field("window", pa.int32()),
        *(pa.field(name, pa.string()) for name in ("id", "reason", "detail", "bucket")),
        *(pa.field(name, pa.int32()) for name in ("first_frame", "video_frames")),
        pa.field("fps", pa.string()),
        pa.field("seconds", pa.float64()),
        *(pa.field(f"latent_{name}", pa.int32()) for name in ("frames", "height", "width")),
        *(pa.field(name, pa.int32()) for name in ("stride_t", "stride_s")),
    ]
)
"""Of a dropped clip all but its name, reason and detail is null."""


@dataclass(frozen=True)
class Effort:
    """What encoding a clip took.

    Attributes:
        worker: who did it.
        frames: video frames encoded, both halves.
        begun: seconds since 1970.
        ended: seconds since 1970.
        codec_s: seconds within the autoencoder alone.
    """

    worker: str
    frames: int
    begun: float
    ended: float
    codec_s: float


@dataclass(frozen=True)
class Encoded:
    """One clip of a pair: both halves, or none.

    Attributes:
        pair_id: the manifest's.
        name: what people call the pair.
        window: which of the pair's clips, from 0.
        outcome: encoded now, found from an earlier run, or dropped.
        id: of its latents; "" if dropped.
        reason: why it was dropped.
        detail: one line on it.
        bucket: its shape in pixels and frames; "" if dropped.
        first_frame: number of its first frame in the videos.
        fps: exact frames per second; None if dropped.
        grid: its latent cells; clips of one grid can share a batch. None if dropped.
        effort: what it took; None if nothing was encoded.
    """

    pair_id: str
    name: str
    window: int
    outcome: Outcome
    id: str = ""
    reason: Reason | None = None
    detail: str = ""
    bucket: str = ""
    first_frame: int = 0
    fps: Fraction | None = None
    grid: Grid | None = None
    effort: Effort | None = field(default=None, compare=False)

    def to_row(self) -> dict[str, Any]:
        """Plain values, for the index."""
        row: dict[str, Any] = dict.fromkeys(_SCHEMA.names)
        row |= {"pair_id": self.pair_id, "name": self.name, "window": self.window, "detail": self.detail or None}
        if self.grid is None or self.fps is None:
            return row | {"reason": self.reason.value if self.reason else None}
        frames = self.grid.video_frames
        row |= {"id": self.id, "bucket": self.bucket, "first_frame": self.first_frame, "video_frames": frames}
        row |= {"fps": str(self.fps), "seconds": float(frames / self.fps)}
        row |= {f"latent_{side}": getattr(self.grid, side) for side in ("frames", "height", "width")}
        return row | {"stride_t": self.grid.stride_t, "stride_s": self.grid.stride_s}

    @classmethod
    def from_row(cls, row: dict[str, Any], outcome: Outcome | None = None, effort: Effort | None = None) -> Self:
        """The inverse of `to_row`; what was encoded once is found."""
        named = {name: row[name] for name in ("pair_id", "name", "window")} | {"detail": row["detail"] or "", "effort": effort}
        if row["reason"]:
            return cls(**named, outcome="dropped", reason=Reason(row["reason"]))
        frames, height, width = (row[f"latent_{side}"] for side in ("frames", "height", "width"))
        return cls(
            **named,
            **{name: row[name] for name in ("id", "bucket", "first_frame")},
            outcome=outcome or "found",
            fps=Fraction(row["fps"]),
            grid=Grid(frames, height, width, float(Fraction(row["fps"])), row["stride_t"], row["stride_s"]),
        )


def write_index(path: Path, rows: Iterable[Encoded]) -> None:
    """Write an index, sorted by pair and window, under a temporary name, then rename. Its folder is made.

    Raises:
        OSError: the disk is full; an older index at `path` stays as it was.
    """
    ordered = sorted(rows, key=lambda row: (row.pair_id, row.window))
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.part")
    try:
        pq.write_table(pa.Table.from_pylist([row.to_row() for row in ordered], _SCHEMA), scratch, compression="zstd")
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)


def read_index(path: Path) -> list[Encoded]:
    """The rows, sorted by pair and window; each is `found` or `dropped`.

    Raises:
        TrainSetError: the file is missing, no Parquet, or was written by another version of this project.
    """
    try:
        table = pq.read_table(path)
    except FileNotFoundError as error:
        where = f"{path}: no such file on {os.uname().nodename}"
        raise TrainSetError(f"index {where}; encode the set, and let --out be a folder that every node sees") from error
    except (OSError, pa.ArrowInvalid) as error:
        raise TrainSetError(f"index {path}: {str(error).splitlines()[0]}; encode the set again") from error
    if not table.schema.equals(_SCHEMA):
        raise TrainSetError(f"index {path}: written by another version; encode the set again")
    return [Encoded.from_row(row) for row in table.to_pylist()]


class EncodeTally:
    """Counts of a run. `inputs` always equals encoded + found + dropped, because all are counted where rows are written."""

    def __init__(self) -> None:
        self.outcomes: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()
        self.frames = 0
        self.first_dropped: Encoded | None = None
        self._codec: dict[str, tuple[int, float]] = {}
        self._begun, self._ended = math.inf, 0.0

    @property
    def inputs(self) -> int:
        """Clips counted."""
        return sum(self.outcomes.values())

    @property
    def usable(self) -> int:
        """Clips that can be trained on."""
        return self.outcomes["encoded"] + self.outcomes["found"]

    def counting(self, rows: Iterable[Encoded]) -> Iterator[Encoded]:
        """Pass rows through, counting them."""
        for row in rows:
            self.outcomes[row.outcome] += 1
            if row.reason:
                self.reasons[row.reason] += 1
                self.first_dropped = self.first_dropped or row
            if row.effort:
                self._worked(row.effort)
            yield row

    def facts(self) -> dict[str, str]:
        """Lines for the report and the closing table: clips by outcome and reason, the rate, and its share of the autoencoder's alone."""
        clips = " + ".join(f"{self.outcomes[outcome]} {outcome}" for outcome in OUTCOMES)
        reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(self.reasons.items()))
        facts = {"Clips": f"{self.inputs} = {clips}" + (f" ({reasons})" if reasons else "")}
        if not self.frames:
            return facts | {"Encoding": "nothing: every clip was found"} if self.usable else facts
        rate = self.frames / max(1e-9, self._ended - self._begun)
        ceiling = sum(frames / max(1e-9, seconds) for frames, seconds in self._codec.values())
        share = f"{rate / ceiling:.0%} of the {ceiling:.0f} that the autoencoder alone does on these workers"
        return facts | {"Encoding": f"{self.frames} frames, {rate:.0f} per second, {share}"}

    def _worked(self, effort: Effort) -> None:
        self._begun, self._ended = min(self._begun, effort.begun), max(self._ended, effort.ended)
        self.frames += effort.frames
        frames, seconds = self._codec.get(effort.worker, (0, 0.0))
        self._codec[effort.worker] = frames + effort.frames, seconds + effort.codec_s
