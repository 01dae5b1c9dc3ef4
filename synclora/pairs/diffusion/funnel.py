"""How many scenes came how far, why the others did not, and at which cost.

    funnel = read_funnel(out / "manifest.parquet", MadeStore(out).facts)
    print(funnel.kept, "of", funnel.scenes, "at", funnel.gpu_s_per_kept(), "GPU-seconds each")

Counts come from the manifest's rows alone, so they add up to its inputs whatever lies in the store. Costs are those of the pictures and videos
that the rows name, each counted once however many scenes share it and whichever run made it; calls that made nothing are not among them.
"""

import json
import math
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

from synclora.motion.verdict import Verdict
from synclora.pairs.diffusion.costs import Cost, Facts, cost_of
from synclora.pairs.diffusion.settings import Stage
from synclora.pairs.manifest import Row, read_rows

PAPER_SCENES, PAPER_KEPT = 24_577, 512
"""Pairs that the paper made, and kept (its section on the set; METHOD: 2.1 %)."""

COLUMNS = ["verdict", "reason", "truth"]
"""Columns of the manifest that counting reads."""


class Step(StrEnum):
    """Where a scene can end, in this order."""

    PORTRAIT = "portrait made"
    PORTRAIT_CHECK = "portrait check"
    EDIT = "edit made"
    EDIT_CHECK = "edit check"
    VIDEO = "video made"
    VERDICT = "verdict"


STEPS = tuple(Step)
_MAKING = {Stage.PORTRAIT: Step.PORTRAIT, Stage.EDIT: Step.EDIT, Stage.VIDEO: Step.VIDEO}
_CHECKING = {Stage.PORTRAIT: Step.PORTRAIT_CHECK, Stage.EDIT: Step.EDIT_CHECK, Stage.VIDEO: Step.VIDEO}


class Known(NamedTuple):
    """What a manifest row's `truth` says of its scene."""

    scene: dict[str, Any]
    made: dict[str, str]
    at: str

    @property
    def step(self) -> Step:
        """The step that the scene ended in; that of the verdict, if nothing dropped it before.

        A stage that dropped a scene without having made anything failed to make it; one that made something did not pass it.
        """
        if self.at:
            stage = Stage(self.at)
            return _CHECKING[stage] if stage in self.made else _MAKING[stage]
        return next((_MAKING[stage] for stage in Stage if stage not in self.made), Step.VERDICT)


def known_of(row: Row) -> Known | None:
    """What is known of a row's scene; None if the row is of no scene: a line of a catalogue that cannot be used, a pair from elsewhere."""
    try:
        truth = json.loads(row["truth"] or "null")
        return Known(truth["scene"], truth["made"], truth["at"])
    except (ValueError, KeyError, TypeError):
        return None


@dataclass(frozen=True)
class StepCount:
    """One step of the funnel.

    Attributes:
        step: which.
        entered: scenes that came to it.
        rejected: scenes that ended here by a verdict on them, by reason, the most frequent first.
        quarantined: scenes that ended here because they could not be made or judged, likewise.
    """

    step: Step
    entered: int
    rejected: dict[str, int]
    quarantined: dict[str, int]

    @property
    def dropped(self) -> int:
        """Scenes that ended here."""
        return sum(self.rejected.values()) + sum(self.quarantined.values())

    @property
    def left(self) -> int:
        """Scenes that went on; of the last step: that are kept."""
        return self.entered - self.dropped


@dataclass(frozen=True)
class KindCount:
    """One kind of edit: how many scenes asked for it, and how many were left after each step, in the order of `STEPS`."""

    kind: str
    scenes: int
    left: tuple[int, ...]

    @property
    def kept(self) -> int:
        """Pairs of this kind that are kept."""
        return self.left[-1]


@dataclass(frozen=True)
class Funnel:
    """A generated set at a glance.

    Attributes:
        steps: in the order of `STEPS`.
        kinds: of edits, by name.
        costs: of the three stages.
        other_rows: rows of the manifest that are no scenes, such as unusable lines of a catalogue.
    """

    steps: tuple[StepCount, ...]
    kinds: tuple[KindCount, ...]
    costs: tuple[Cost, ...]
    other_rows: int

    @property
    def scenes(self) -> int:
        """Scenes that were begun."""
        return self.steps[0].entered

    @property
    def kept(self) -> int:
        """Pairs kept."""
        return self.steps[-1].left

    @property
    def gpu_s(self) -> float:
        """Seconds of GPU in everything that the rows name."""
        return sum(cost.gpu_s for cost in self.costs)

    @property
    def random(self) -> bool:
        """A model with random weights took part."""
        return any(cost.random for cost in self.costs)

    @property
    def scenes_per_kept(self) -> float:
        """NaN if nothing was kept."""
        return self.scenes / self.kept if self.kept else math.nan

    def gpu_s_per_kept(self, stage: Stage | None = None) -> float:
        """GPU-seconds of all stages, or of one, over the pairs kept: what was spent on the dropped ones included. NaN if nothing was kept."""
        spent = sum(cost.gpu_s for cost in self.costs if stage in (None, cost.stage))
        return spent / self.kept if self.kept else math.nan


def read_funnel(manifest: Path, facts: Facts) -> Funnel:
    """The funnel of a manifest: one pass over three light columns, then one small file for each artifact.

    Raises:
        ManifestError: the file is missing, no Parquet, or of another version.
    """
    return funnel_of(read_rows(manifest, COLUMNS), facts)


def funnel_of(rows: Iterable[Row], facts: Facts) -> Funnel:
    """The funnel of these rows. Of a row only an id of eight bytes for each of its artifacts stays in memory."""
    scenes: Counter[str] = Counter()
    ended: Counter[tuple[str, Step]] = Counter()
    drops: Counter[tuple[Step, str, str]] = Counter()
    made = {stage: array("Q") for stage in Stage}
    others = 0
    for row in rows:
        known = known_of(row)
        if known is None:
            others += 1
            continue
        scenes[known.scene["kind"]] += 1
        if row["verdict"] != Verdict.KEPT:
            ended[known.scene["kind"], known.step] += 1
            drops[known.step, row["verdict"], row["reason"] or ""] += 1
        for stage, identity in known.made.items():
            made[Stage(stage)].append(int(identity, 16))
    kinds = tuple(_kind(kind, scenes[kind], ended) for kind in sorted(scenes))
    costs = tuple(cost_of(stage, made[stage], facts) for stage in Stage)
    return Funnel(_steps(scenes.total(), drops), kinds, costs, others)


def _steps(entered: int, drops: Mapping[tuple[Step, str, str], int]) -> tuple[StepCount, ...]:
    steps = []
    for step in STEPS:
        by = {verdict: _by_reason(drops, step, verdict) for verdict in (Verdict.REJECTED, Verdict.QUARANTINED)}
        steps.append(StepCount(step, entered, by[Verdict.REJECTED], by[Verdict.QUARANTINED]))
        entered = steps[-1].left
    return tuple(steps)


def _by_reason(drops: Mapping[tuple[Step, str, str], int], step: Step, verdict: Verdict) -> dict[str, int]:
    here = {reason: count for (at, of, reason), count in drops.items() if at == step and of == verdict}
    return dict(sorted(here.items(), key=lambda item: (-item[1], item[0])))


def _kind(kind: str, scenes: int, ended: Mapping[tuple[str, Step], int]) -> KindCount:
    left, after = scenes, []
    for step in STEPS:
        left -= ended.get((kind, step), 0)
        after.append(left)
    return KindCount(kind, scenes, tuple(after))


def funnel_lines(funnel: Funnel) -> dict[str, str]:
    """The funnel in a few lines, for a run's closing table."""
    steps = {count.step: count for count in funnel.steps}
    share = f"{funnel.kept / funnel.scenes:.1%}" if funnel.scenes else "none"
    lines = {"Scenes": f"{funnel.scenes}, {funnel.kept} kept ({share}; the paper: {PAPER_SCENES} to {PAPER_KEPT}, 2.1%)"}
    if funnel.other_rows:
        lines["No scenes"] = f"{funnel.other_rows} rows, such as prompts that cannot be used"
    for name, making, judging in (
        ("Portraits", Step.PORTRAIT, Step.PORTRAIT_CHECK),
        ("Edits", Step.EDIT, Step.EDIT_CHECK),
        ("Videos", Step.VIDEO, Step.VERDICT),
    ):
        made, judged = steps[making], steps[judging]
        word = "kept" if judging is Step.VERDICT else "passed"
        drops = [f"{reason} {count}" for reason, count in _merged(made, judged).items()]
        lines[name] = f"{made.left} of {made.entered} made, {judged.left} {word}" + (f" ({', '.join(drops)})" if drops else "")
    return lines | {"GPU": _spent(funnel)}


def _merged(*steps: StepCount) -> dict[str, int]:
    both: Counter[str] = Counter()
    for step in steps:
        both.update(step.rejected)
        both.update(step.quarantined)
    return dict(sorted(both.items(), key=lambda item: (-item[1], item[0])))


def _spent(funnel: Funnel) -> str:
    made, unknown = (sum(getattr(cost, name) for cost in funnel.costs) for name in ("made", "unknown"))
    if made and made == unknown:
        return f"of {made} pieces no cost is noted"
    text = f"{funnel.gpu_s:,.0f} GPU-seconds in what was made"
    if funnel.kept:
        by_stage = ", ".join(f"{cost.stage.value} {funnel.gpu_s_per_kept(cost.stage):,.1f}" for cost in funnel.costs)
        text += f", {funnel.gpu_s_per_kept():,.1f} per kept pair ({by_stage})"
    return text + (f"; of {unknown} pieces no cost is noted" if unknown else "")
