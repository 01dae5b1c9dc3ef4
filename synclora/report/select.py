"""What of a manifest is shown: counts and values of all rows, and the few rows that get a card.

survey = take(manifest, rule)            # light columns only, a row group at a time
picks = choose(survey, shown=4)          # row numbers
rows = fetch(manifest, picks.all)        # full rows, of the picks alone
"""

import math
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq

from synclora.motion.settings import CUES, VerdictSettings
from synclora.motion.verdict import Verdict
from synclora.pairs.manifest import read_rows
from synclora.report.limits import slack

Row = dict[str, Any]

SERIES = ("sync", *(f"sync_{cue}" for cue in CUES), "lag", "edit_strength")
"""Columns that are drawn as histograms."""

_COLUMNS = ["name", "verdict", "reason", "detail", *SERIES, "local_lag", "edit_hold", "misalignment", "frames", "parts"]

MAX_QUARANTINED = 200
"""Rows of the table of quarantined inputs; more are counted, not listed."""


class Light(NamedTuple):
    """What choosing needs of a judged row. Fifty bytes each: 24,577 rows are no burden."""

    at: int
    verdict: str
    reason: str
    sync: float
    slack: float
    measured: bool


class Listed(NamedTuple):
    """A line of the table of quarantined inputs."""

    name: str
    reason: str
    detail: str


@dataclass
class Survey:
    """All rows at a glance."""

    inputs: int = 0
    verdicts: Counter[str] = field(default_factory=Counter)
    reasons: Counter[tuple[str, str]] = field(default_factory=Counter)
    values: dict[tuple[str, str], "array[float]"] = field(default_factory=lambda: defaultdict(lambda: array("d")))
    judged: list[Light] = field(default_factory=list)
    quarantined: list[Listed] = field(default_factory=list)


@dataclass(frozen=True)
class Picks:
    """Row numbers, each at most once."""

    best: list[int]
    borderline: list[int]
    rejected: list[int]

    @property
    def all(self) -> list[int]:
        """Every picked row."""
        return [*self.best, *self.borderline, *self.rejected]


def take(manifest: Path, rule: VerdictSettings | None) -> Survey:
    """Read the light columns of every row.

    Raises:
        ManifestError: the file is missing, no Parquet, or of another version.
    """
    survey = Survey()
    for index, row in enumerate(read_rows(manifest, _COLUMNS)):
        verdict, reason = row["verdict"], row["reason"] or ""
        survey.inputs += 1
        survey.verdicts[verdict] += 1
        if reason:
            survey.reasons[verdict, reason] += 1
        if verdict == Verdict.QUARANTINED:
            if len(survey.quarantined) < MAX_QUARANTINED:
                survey.quarantined.append(Listed(row["name"] or "", reason, row["detail"] or ""))
            continue
        sync = math.nan if row["sync"] is None else row["sync"]
        survey.judged.append(Light(index, verdict, reason, sync, slack(row, rule), row["frames"] is not None))
        for name in SERIES:
            if row[name] is not None:
                survey.values[name, verdict].append(row[name])
    return survey


def choose(survey: Survey, shown: int) -> Picks:
    """The best by score; the borderline, half of them kept and half rejected, the nearest first; the rejected, by reasons."""
    kept = [row for row in survey.judged if row.verdict == Verdict.KEPT]
    rejected = [row for row in survey.judged if row.verdict == Verdict.REJECTED]
    by_score = sorted(kept, key=lambda row: (-row.sync, row.at))
    best, left = by_score[:shown], by_score[shown:]
    near_kept = sorted(left, key=lambda row: (row.slack, row.sync, row.at))
    # A pair that only others outdid has slack to spare: it stands on the limit, the best of them first.
    near_rejected = sorted(
        (row for row in rejected if row.slack == row.slack), key=lambda row: (max(0.0, -row.slack), -row.sync, row.at)
    )
    half = max(shown // 2, shown - len(near_rejected))
    borderline = near_kept[: max(half, 0)]
    borderline += near_rejected[: shown - len(borderline)]
    taken = set(borderline)
    rest = [row for row in rejected if row not in taken]
    return Picks(*([row.at for row in rows] for rows in (best, borderline, _spread(rest, shown))))


def _spread(rows: Iterable[Light], shown: int) -> list[Light]:
    """One of each reason in turn, frequent reasons first, the clearest case of each first; what was dropped before it moved comes last."""
    by_reason: dict[str, list[Light]] = defaultdict(list)
    for row in rows:
        by_reason[row.reason].append(row)
    for group in by_reason.values():
        group.sort(key=lambda row: (not row.measured, row.slack if row.slack == row.slack else -math.inf, row.at))
    groups = sorted(by_reason.values(), key=lambda group: (not group[0].measured, -len(group), group[0].reason))
    return [row for turn in zip_longest(*groups) for row in turn if row is not None][:shown]


def fetch(manifest: Path, indices: Iterable[int]) -> dict[int, Row]:
    """The full rows with these numbers; only row groups that hold one are read."""
    wanted = sorted(set(indices))
    rows: dict[int, Row] = {}
    start = 0
    with pq.ParquetFile(manifest) as file:
        for group in range(file.num_row_groups):
            stop = start + file.metadata.row_group(group).num_rows
            here = [index for index in wanted if start <= index < stop]
            if here:
                table = file.read_row_group(group)
                rows |= {index: table.slice(index - start, 1).to_pylist()[0] for index in here}
            start = stop
    return rows
