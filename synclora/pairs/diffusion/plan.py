"""What a run will need, without loading anything: models, sizes, pools, scenes and GPU-hours for the goal, and what ends it first.

    table = plan_table(plan(settings, founds, out))

Seconds and shares are the recipe's expectations until OUT holds enough of these very models and settings to measure them.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from rich.table import Table

from synclora.pairs.diffusion.find import Found
from synclora.pairs.diffusion.funnel import COLUMNS, PAPER_KEPT, PAPER_SCENES, STEPS, Step, known_of
from synclora.pairs.diffusion.settings import GenerateSettings, ModelSettings, Stage, VideoSettings
from synclora.pairs.diffusion.store import MadeStore
from synclora.pairs.manifest import ManifestError, read_rows

ENOUGH_MADE, ENOUGH_JUDGED = 5, 50
"""Pictures from which their seconds are known, and scenes from which a share is: of 50 at .5, give or take .07."""
SAMPLE = 500
"""Artifacts of a stage that are looked at. Ids are hashes, so the first ones are as good as any; a network's disk gives some 500 a second."""
_CHECKED = {Stage.PORTRAIT: Step.PORTRAIT_CHECK, Stage.EDIT: Step.EDIT_CHECK, Stage.VIDEO: Step.VERDICT}


@dataclass(frozen=True)
class Estimate:
    """A number and where it comes from.

    Attributes:
        value: the number.
        measured: artifacts in OUT that it was measured on; 0 for one that the recipe expects.
    """

    value: float
    measured: int = 0

    def __str__(self) -> str:
        return f"{self.value:.3g} " + (f"(mean of {self.measured})" if self.measured else "(expected)")


@dataclass(frozen=True)
class StagePlan:
    """What one model is to do.

    Attributes:
        stage: whose it is.
        found: the model.
        settings: how it is called, and its pool.
        items: pictures or videos it is to make.
        seconds: of one GPU, for each.
        passes: share that goes on to the next stage, or is kept.
    """

    stage: Stage
    found: Found
    settings: ModelSettings
    items: int
    seconds: Estimate
    passes: Estimate

    @property
    def gpu_hours(self) -> float:
        """For all of them."""
        return self.items * self.seconds.value / 3600

    @property
    def wall_hours(self) -> float:
        """With the whole pool at work, its actors' shares of a card counted as shares."""
        return self.gpu_hours / (self.settings.pool.max_actors * (self.settings.pool.gpus or 1))


@dataclass(frozen=True)
class Plan:
    """What a run is to do.

    Attributes:
        stages: in their order.
        target: pairs to keep; 0 if the run goes through all scenes.
        needed: scenes for it.
        scenes: scenes that will be tried.
        ends: the budget that ends the run before its target: `scenes`, `gpu_hours`, or "".
    """

    stages: tuple[StagePlan, ...]
    target: int
    needed: int
    scenes: int
    ends: str

    @property
    def gpu_hours(self) -> float:
        """Of all stages."""
        return sum(stage.gpu_hours for stage in self.stages)

    @property
    def wall_hours(self) -> float:
        """All pools at work at once, as long as the slowest takes; starting them and judging not counted."""
        return max(stage.wall_hours for stage in self.stages)

    @property
    def passes(self) -> float:
        """Share of the scenes that is kept."""
        return math.prod(stage.passes.value for stage in self.stages)

    @property
    def kept(self) -> float:
        """Pairs to be expected."""
        return self.scenes * self.passes


def plan(settings: GenerateSettings, founds: Mapping[Stage, Found], out: Path) -> Plan:
    """Plan a run from its start; what OUT holds already is not taken off, and costs nothing when the run comes to it.

    Args:
        settings: the recipe's.
        founds: its models, looked up.
        out: the run's folder, which need not exist.
    """
    made = {stage: dict(_made(MadeStore(out), out, stage, founds[stage], settings.stage(stage))) for stage in Stage}
    seconds = {stage: _seconds(settings.stage(stage), made[stage]) for stage in Stage}
    passes = _passes(settings, out, made)
    reach = {Stage.PORTRAIT: 1.0, Stage.EDIT: passes[Stage.PORTRAIT].value}
    reach[Stage.VIDEO] = reach[Stage.EDIT] * passes[Stage.EDIT].value
    goal, kept = settings.goal, reach[Stage.VIDEO] * passes[Stage.VIDEO].value
    needed = math.ceil(goal.target_kept / kept - 1e-9) if goal.target_kept else goal.scenes
    gpu_s_per_scene = sum(reach[stage] * seconds[stage].value for stage in Stage)
    affordable = math.floor(goal.gpu_hours * 3600 / gpu_s_per_scene + 1e-9) if goal.gpu_hours else needed
    scenes = min(needed, goal.scenes, affordable)
    stages = tuple(
        StagePlan(stage, founds[stage], settings.stage(stage), round(scenes * reach[stage]), seconds[stage], passes[stage])
        for stage in Stage
    )
    ends = "" if scenes == needed else "gpu_hours" if scenes == affordable else "scenes"
    return Plan(stages, goal.target_kept, needed, scenes, ends)


def _made(
    store: MadeStore, out: Path, stage: Stage, found: Found, settings: ModelSettings
) -> Iterator[tuple[str, dict[str, Any]]]:
    """What lies in OUT of this very model and these settings: ids and facts."""
    ids = (path.name for path in sorted((out / "generated" / stage.value).glob("[!.]*/[!.]*")))
    for identity in islice(ids, SAMPLE):
        facts = store.facts(stage, identity)
        if facts.get("identity") == found.identity and facts.get("settings") == settings.making():
            yield identity, facts


def _seconds(settings: ModelSettings, made: Mapping[str, Mapping[str, Any]]) -> Estimate:
    known = [facts["gpu_s"] for facts in made.values() if isinstance(facts.get("gpu_s"), int | float) and facts["gpu_s"] > 0]
    if len(known) < ENOUGH_MADE:
        return Estimate(settings.expect_s)
    return Estimate(math.fsum(known) / len(known), len(known))


def _passes(settings: GenerateSettings, out: Path, made: Mapping[Stage, Mapping[str, Any]]) -> dict[Stage, Estimate]:
    """Shares among the artifacts that were looked at. One of which none passed is told as if the next one would."""
    judged, passed = dict.fromkeys(Stage, 0), dict.fromkeys(Stage, 0)
    for row in _rows(out):
        known = known_of(row)
        for stage in Stage if known else ():
            if known and known.made.get(stage) in made[stage]:
                judged[stage] += 1
                further = STEPS.index(known.step) > STEPS.index(_CHECKED[stage])
                passed[stage] += row["verdict"] == "kept" if stage is Stage.VIDEO else further
    expected = {stage: getattr(settings.expect, stage.value) for stage in Stage}
    return {
        stage: Estimate(expected[stage])
        if judged[stage] < ENOUGH_JUDGED
        else Estimate(passed[stage] / judged[stage] or 1 / (judged[stage] + 1), judged[stage])
        for stage in Stage
    }


def _rows(out: Path) -> Iterator[dict[str, Any]]:
    """Of the last run; none if there is no manifest, or one of another version."""
    try:
        yield from read_rows(out / "manifest.parquet", COLUMNS)
    except ManifestError:
        return


def plan_table(plan: Plan) -> Table:
    """A column per model, and below, in words, what the run comes to."""
    table = Table(box=None, padding=(0, 2, 0, 0), caption="\n".join(plan_lines(plan)), caption_justify="left")
    table.add_column("plan")
    for stage in plan.stages:
        table.add_column(stage.stage.value, overflow="fold")
    columns = [_column(stage) for stage in plan.stages]
    for name in columns[0]:
        if any(column[name] for column in columns):
            table.add_row(name, *(column[name] for column in columns))
    return table


def _column(stage: StagePlan) -> dict[str, str]:
    found, settings, pool = stage.found, stage.settings, stage.settings.pool
    actors = f"{pool.min_actors}" if pool.min_actors == pool.max_actors else f"{pool.min_actors}-{pool.max_actors}"
    length = f"{settings.frames} frames, {settings.fps} fps" if isinstance(settings, VideoSettings) else ""
    return {
        "model": found.name + (" (random weights)" if found.random else ""),
        "class": found.pipeline or "unknown: the hub is not reached",
        "weights": _large(found.parameters, "B") or "unknown",
        "on disk": f"{_large(found.bytes, 'G')}B" if found.bytes else "unknown",
        "opened as": settings.dtype + (f", offload {settings.offload}" if settings.offload != "none" else ""),
        "size": f"{settings.width}x{settings.height}",
        "length": length,
        "steps": str(settings.steps),
        "actors": f"{actors}, {pool.gpus:g} GPU each",
        "on": pool.resource,
        "batch": str(pool.batch),
        "items": f"{stage.items:,}",
        "GPU-s each": str(stage.seconds),
        "passes": str(stage.passes),
        "GPU-hours": _hours(stage.gpu_hours),
    }


def plan_lines(plan: Plan) -> list[str]:
    """What the run comes to."""
    slowest = max(plan.stages, key=lambda stage: stage.wall_hours)
    spent = f"{_hours(plan.gpu_hours)} GPU-hours; {_hours(plan.wall_hours)} hours with all pools full"
    lines = [
        f"{plan.scenes:,} scenes, about {plan.kept:,.1f} pairs kept ({plan.passes:.2%}; the paper: {PAPER_SCENES:,} to {PAPER_KEPT}, 2.1 %)",
        f"{spent}, the {slowest.stage.value} pool is the slowest",
    ]
    if plan.ends:
        lines.append(
            f"generate.goal.{plan.ends} ends the run before its target: {plan.target} kept need about {plan.needed:,} scenes"
            if plan.target
            else f"generate.goal.{plan.ends} ends the run before all of its {plan.needed:,} scenes"
        )
    return lines


def _hours(hours: float) -> str:
    return f"{hours:,.1f}" if hours >= 1 else f"{hours:.2g}"


def _large(number: int, billion: str) -> str:
    """With the letter of its size; "" for nothing."""
    for letter, size in ((billion, 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= size:
            return f"{number / size:.3g} {letter}"
    return str(number or "")
