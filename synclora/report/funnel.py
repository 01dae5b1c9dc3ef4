"""The report's section on a generated set: the funnel, what it cost, how the kinds of edits fared, and contact sheets of each stage.

section = generated_section(out / "manifest.parquet", MadeStore(out))
"""

import math
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from synclora.media.settings import MediaLimits
from synclora.pairs.diffusion.costs import Cost
from synclora.pairs.diffusion.funnel import PAPER_KEPT, PAPER_SCENES, Funnel, KindCount, Step, StepCount, read_funnel
from synclora.pairs.diffusion.store import MadeStore
from synclora.report import svg
from synclora.report.charts import stacked_bar
from synclora.report.stages import Sheet, stage_sheets
from synclora.report.words import DASH, RANDOM_WEIGHTS, count, share, short

_BAR_H = 22


@dataclass(frozen=True)
class StepLine:
    """One line of the funnel. `drops` are reason, count and whether the scenes were quarantined."""

    name: str
    entered: int
    left: int
    of_step: str
    of_all: str
    drops: list[tuple[str, int, bool]]
    bar: Markup


@dataclass(frozen=True)
class CostLine:
    """One line of the table of costs, in words."""

    name: str
    models: str
    made: str
    gpu_s: str
    each: str
    per_kept: str


@dataclass(frozen=True)
class KindLine:
    """One line of the table of kinds: scenes, then those that were left after each check, the video and the verdict."""

    name: str
    counts: list[int]
    share: str
    bar: Markup


@dataclass(frozen=True)
class Generated:
    """Everything that the section shows."""

    banner: str
    scenes: int
    kept: int
    share: str
    scenes_per_kept: str
    gpu_s_per_kept: str
    other_rows: int
    unknown: int
    steps: list[StepLine]
    totals: list[StepLine]
    costs: list[CostLine]
    kinds: list[KindLine]
    sheets: list[Sheet]


def generated_section(manifest: Path, store: MadeStore, limits: MediaLimits | None = None) -> Generated | None:
    """The section of a manifest whose pairs were generated; None if none of its rows is of a scene.

    Args:
        manifest: the run's.
        store: what was made, in the folder of the run.
        limits: those under which videos are opened.

    Raises:
        ManifestError: the manifest cannot be read.
    """
    funnel = read_funnel(manifest, store.facts)
    if not funnel.scenes:
        return None
    return Generated(
        banner=RANDOM_WEIGHTS if funnel.random else "",
        scenes=funnel.scenes,
        kept=funnel.kept,
        share=share(funnel.kept, funnel.scenes),
        scenes_per_kept=short(funnel.scenes_per_kept),
        gpu_s_per_kept=short(funnel.gpu_s_per_kept()),
        other_rows=funnel.other_rows,
        unknown=sum(cost.unknown for cost in funnel.costs),
        steps=[_step_line(step, funnel.scenes) for step in funnel.steps],
        totals=_totals(funnel),
        costs=_cost_lines(funnel),
        kinds=_kind_lines(funnel),
        sheets=stage_sheets(manifest, store, limits),
    )


def _step_line(step: StepCount, scenes: int) -> StepLine:
    drops = [(reason, amount, False) for reason, amount in step.rejected.items()]
    drops += [(reason, amount, True) for reason, amount in step.quarantined.items()]
    rejected, quarantined = sum(step.rejected.values()), sum(step.quarantined.values())
    bar = funnel_bar(step.step.value, scenes, step.left, rejected, quarantined)
    of_step = share(step.left, step.entered) if step.entered else DASH
    return StepLine(step.step.value, step.entered, step.left, of_step, share(step.left, scenes), drops, bar)


def _totals(funnel: Funnel) -> list[StepLine]:
    """This set and the paper's, each as one line."""
    rejected = sum(sum(step.rejected.values()) for step in funnel.steps)
    quarantined = sum(sum(step.quarantined.values()) for step in funnel.steps)
    lines = []
    for name, scenes, kept, other in (
        ("this set", funnel.scenes, funnel.kept, quarantined),
        ("the paper", PAPER_SCENES, PAPER_KEPT, 0),
    ):
        dropped = rejected if name == "this set" else scenes - kept
        bar = funnel_bar(name, scenes, kept, dropped, other)
        lines.append(StepLine(name, scenes, kept, "", share(kept, scenes), [], bar))
    return lines


def funnel_bar(name: str, scenes: int, left: int, rejected: int, quarantined: int) -> Markup:
    """A bar as long as the scenes that entered are of all, cut into those that went on and those that did not.

    Told apart without colours: solid, outlined, outlined in dashes.
    """
    plot, at = [], 0.0
    for part, amount in (("left", left), ("rejected", rejected), ("quarantined", quarantined)):
        if amount:
            width = max(3.0, 1000 * amount / max(1, scenes))  # three thousandths of the width are still seen
            plot.append(svg.rect(part, min(at, 1000 - width), 6, width, 88))
            at += width
    entered = left + rejected + quarantined
    spoken = f"{name}: of {entered} scenes {left} went on, {rejected} rejected, {quarantined} quarantined"
    return Markup(svg.chart("funnel", _BAR_H, 0, _BAR_H, plot, [], spoken))


def _cost_lines(funnel: Funnel) -> list[CostLine]:
    lines = [_cost_line(cost, funnel) for cost in funnel.costs]
    made = sum(cost.made for cost in funnel.costs)
    whole = CostLine("all", "", count(made), short(funnel.gpu_s), "", short(funnel.gpu_s_per_kept()))
    return [*lines, whole]


def _cost_line(cost: Cost, funnel: Funnel) -> CostLine:
    known = cost.made > cost.unknown
    return CostLine(
        name=cost.stage.value,
        models=", ".join(cost.models) or DASH,
        made=count(cost.made),
        gpu_s=short(cost.gpu_s if known else math.nan),
        each=short(cost.gpu_s_each),
        per_kept=short(funnel.gpu_s_per_kept(cost.stage) if known else math.nan),
    )


def _kind_lines(funnel: Funnel) -> list[KindLine]:
    most = max((kind.kept / kind.scenes for kind in funnel.kinds), default=0.0)
    return [_kind_line(kind, most) for kind in funnel.kinds]


def _kind_line(kind: KindCount, most: float) -> KindLine:
    left = dict(zip(Step, kind.left, strict=True))
    shown = [left[step] for step in (Step.PORTRAIT_CHECK, Step.EDIT_CHECK, Step.VIDEO, Step.VERDICT)]
    part = round(1000 * kind.kept / kind.scenes / most) if most else 0
    bar = Markup(stacked_bar([("kept", part), ("rest", 1000 - part)], "", 8))
    return KindLine(kind.kind, [kind.scenes, *shown], share(kind.kept, kind.scenes), bar)
