"""A curated set as training sees it: the kept pairs of a folder that jobs/curate.py left.

    for sample in read_set(Path("out/curate")):
        print(sample.pair_id, sample.frames, sample.fps, sample.caption)

Only the manifest is read. A sample is always both halves of a pair: what befalls one half befalls the pair.
"""

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from synclora.curation.export import kept_paths
from synclora.errors import SyncLoraError
from synclora.pairs.manifest import ManifestError, read_rows

Points = tuple[tuple[float, float], ...]

_COLUMNS = ["pair_id", "name", "verdict", "caption", "frames", "fps", "width", "height", "sync", "source_motion.first_face"]


class TrainSetError(SyncLoraError):
    """A set or its latents cannot be used: says which, why, and what to do."""


@dataclass(frozen=True)
class Sample:
    """One kept pair.

    Attributes:
        pair_id: the manifest's.
        name: what people call it.
        caption: the edit in words, or the constant token.
        frames: frames of either half.
        fps: their rate as the manifest gives it, a float; the exact one is the video's.
        width: pixels of either half.
        height: pixels of either half.
        sync: sync score; None for a pair without evidence.
        face: (x, y) face points of the source's first frame with a face, in picture heights; None if none is known.
        source: video as filmed. It need not exist.
        edited: its twin.
    """

    pair_id: str
    name: str
    caption: str
    frames: int
    fps: float
    width: int
    height: int
    sync: float | None
    face: Points | None
    source: Path
    edited: Path

    def to_json(self) -> str:
        """For the way to a worker."""
        return json.dumps(asdict(self), default=str)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The inverse of `to_json`."""
        fields = json.loads(text)
        face = tuple((x, y) for x, y in fields["face"]) if fields["face"] else None
        return cls(**fields | {"face": face, "source": Path(fields["source"]), "edited": Path(fields["edited"])})


def read_set(folder: Path) -> list[Sample]:
    """The kept pairs, in the manifest's order. No video is opened, none need be there.

    Raises:
        TrainSetError: the folder is missing, no curated set, written by another version, or nothing in it was kept.
    """
    if not folder.is_dir():
        raise TrainSetError(f"set {folder}: no such folder; give one that jobs/curate.py made")
    manifest = folder / "manifest.parquet"
    if not manifest.exists():
        raise TrainSetError(
            f"set {folder}: holds no manifest.parquet, so it is no curated set; run jobs/curate.py --out {folder}"
        )
    try:
        rows = list(read_rows(manifest, _COLUMNS))
    except ManifestError as error:
        raise TrainSetError(str(error)) from error
    samples = [_sample(row, folder.absolute()) for row in rows if row["verdict"] == "kept"]
    if not samples:
        raise TrainSetError(f"set {folder}: none of its {len(rows)} pairs was kept; see its report.html for the reasons")
    return samples


def _sample(row: dict[str, Any], folder: Path) -> Sample:
    paths = kept_paths(folder, row["pair_id"])
    return Sample(
        **{name: row[name] for name in ("pair_id", "name", "caption", "frames", "fps", "sync")},
        width=row["width"] // 2 * 2,  # an odd side has lost its last column or row: kept videos are H.264
        height=row["height"] // 2 * 2,
        face=_points(row["source_motion"]),
        source=paths["source"],
        edited=paths["edited"],
    )


def _points(motion: dict[str, Any] | None) -> Points | None:
    flat = (motion or {}).get("first_face") or []
    return tuple(zip(flat[::2], flat[1::2], strict=True)) if flat and all(map(math.isfinite, flat)) else None
