"""What validations left in a run's folder, read back: an edit of each held-out pair every so many steps, and how it was judged.

    for result in read_validations(out):
        print(result.line)

`synclora.train.validation` writes it:

    OUT/validation/pairs/<pair>/source.mp4, target.mp4      the held-out pair, once
    OUT/validation/pairs/<pair>/manifest.parquet            how its true halves agree: what an edit can hope for
    OUT/validation/step-000100/<pair>.mp4                   the edit at that step
    OUT/validation/step-000100/manifest.parquet             source against edit, in the schema of a curated set
    OUT/validation/step-000100/contact.png                  source, true half and our edit below each other
    OUT/validation/step-000100/validation.json              written last: without it the step was not finished
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from synclora.motion.settings import CUES, VerdictSettings
from synclora.pairs.manifest import ManifestError, Row, read_rows

MARKER = "validation.json"
MANIFEST = "manifest.parquet"

_COLUMNS = [
    *("pair_id", "name", "caption", "verdict", "reason", "detail", "sync", *(f"sync_{cue}" for cue in CUES)),
    *("lag", "edit_strength"),
]


def step_folder(out: Path, step: int) -> Path:
    """Where a validation lies."""
    return out / "validation" / f"step-{step:06d}"


def pair_folder(out: Path, pair_id: str) -> Path:
    """Where a held-out pair lies."""
    return out / "validation" / "pairs" / pair_id


@dataclass(frozen=True)
class PairResult:
    """One edit, measured. A number that does not exist (a face that was not found) is None.

    Attributes:
        pair_id: of the pair.
        name: what people call it.
        caption: the edit in words.
        verdict: what curation would have said of source and edit as a pair.
        reason: why, if not kept.
        detail: the failed checks.
        sync: mean agreement of the cues, -1..1.
        cues: agreement of each cue, by its name.
        lag: frames by which the edit is late.
        edit_strength: 0 for a copy of the source, to 1.
        edit_target: mean absolute difference of edit and true half, in levels of 0..255, over the frames after the first, which is given.
        source_target: the same of source and true half: what a copy of the source would have.
        edit_target_latent: mean absolute difference of edit and true half in normalised latents, after the first latent frame.
        source_target_latent: the same of source and true half.
    """

    pair_id: str
    name: str
    caption: str
    verdict: str
    reason: str | None
    detail: str
    sync: float | None
    cues: dict[str, float | None]
    lag: float | None
    edit_strength: float | None
    edit_target: float | None
    source_target: float | None
    edit_target_latent: float | None
    source_target_latent: float | None

    def numbers(self) -> dict[str, float | None]:
        """Every number by its name."""
        cues = {f"sync_{cue}": r for cue, r in self.cues.items()}
        others = ("lag", "edit_strength", "edit_target", "source_target", "edit_target_latent", "source_target_latent")
        return {"sync": self.sync, **cues, **{name: getattr(self, name) for name in others}}


@dataclass(frozen=True)
class ValidationResult:
    """One validation.

    Attributes:
        step: steps that the adapter had learnt for.
        folder: where its files lie.
        random_base: the backbone's weights are random.
        rule: the rule that judged; None if it is of another version.
        pairs: the edits.
    """

    step: int
    folder: Path
    random_base: bool
    rule: VerdictSettings | None
    pairs: tuple[PairResult, ...]

    @property
    def manifest(self) -> Path:
        """Source against edit, in the schema of a curated set."""
        return self.folder / MANIFEST

    @property
    def line(self) -> str:
        """The validation in one line."""
        return f"step {self.step}: " + "; ".join(_line(pair) for pair in self.pairs)

    def scalars(self) -> dict[str, float]:
        """Means over the pairs that have the number, for a dashboard; a number that no pair has is left out."""
        found: dict[str, list[float]] = {}
        for pair in self.pairs:
            for name, value in pair.numbers().items():
                if value is not None:
                    found.setdefault(name, []).append(value)
        return {name: float(np.mean(values)) for name, values in found.items()}


def _line(pair: PairResult) -> str:
    sync = f"sync {pair.sync:.2f}" if pair.sync is not None else f"no sync ({pair.reason})"
    if pair.edit_target is None:
        return f"{pair.name} {sync}"
    words = f"{pair.name} {sync}, {pair.edit_target:.1f} levels from the target (source {pair.source_target:.1f})"
    if pair.edit_target_latent is not None:
        words += f", in latents {pair.edit_target_latent:.2f} (source {pair.source_target_latent:.2f})"
    return words


def read_validations(out: Path) -> list[ValidationResult]:
    """The finished validations of a run, by step. One that cannot be read is left out."""
    found = []
    for marker in sorted((out / "validation").glob(f"step-*/{MARKER}")):
        try:
            found.append(result_of(marker.parent, json.loads(marker.read_text(encoding="utf-8"))))
        except (OSError, ValueError, KeyError, ManifestError):
            continue
    return sorted(found, key=lambda result: result.step)


def true_pair(out: Path, pair_id: str) -> PairResult | None:
    """How the halves of a held-out pair themselves agree; None if it was never measured."""
    try:
        row = next(read_rows(pair_folder(out, pair_id) / MANIFEST, _COLUMNS), None)
    except ManifestError:
        return None
    return _result(row, (None,) * 4) if row else None


def result_of(folder: Path, done: dict[str, Any]) -> ValidationResult:
    """A validation from its folder and the content of its marker.

    Raises:
        ManifestError: the manifest cannot be read.
        KeyError: the marker lacks something.
    """
    try:
        rule = VerdictSettings.model_validate(done["rule"])
    except ValidationError:
        rule = None
    rows = read_rows(folder / MANIFEST, _COLUMNS)
    pairs = tuple(_result(row, done["distances"][row["pair_id"]]) for row in rows)
    return ValidationResult(int(done["step"]), folder, bool(done["random_base"]), rule, pairs)


def _result(row: Row, distances: Iterable[float | None]) -> PairResult:
    plain = {name: row[name] for name in _COLUMNS if not name.startswith("sync_")}
    edit, copy, edit_latent, copy_latent = distances
    cues: dict[str, float | None] = {cue: row[f"sync_{cue}"] for cue in CUES}
    known = {"edit_target": edit, "source_target": copy, "edit_target_latent": edit_latent, "source_target_latent": copy_latent}
    return PairResult(**plain | known, cues=cues)
