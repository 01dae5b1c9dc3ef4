"""The report of a curation run: one HTML file that needs nothing but itself.

    write_report(Path("out/manifest.parquet"), Path("out/report.html"), facts={"inputs": "shoots/may"}, rule=recipe.verdict)

The same manifest, facts, rule and videos give the same bytes. Memory does not grow with the manifest: counts
and histograms read the light columns, and only pairs with a card are read whole.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from markupsafe import Markup

from synclora.media.decode import Decoder
from synclora.media.settings import MediaLimits
from synclora.motion.settings import CUES, VerdictSettings
from synclora.motion.verdict import Verdict
from synclora.pairs.diffusion.store import MadeStore
from synclora.report.cards import Card, card_of
from synclora.report.charts import Limit, histogram, stacked_bar
from synclora.report.funnel import generated_section
from synclora.report.page import render, write_page
from synclora.report.select import Survey, choose, fetch, take
from synclora.report.svg import Doubles
from synclora.report.words import explain, number, share

_NO_FACTS: Mapping[str, str] = {}


@dataclass(frozen=True)
class ReasonLine:
    """One line of the table of reasons."""

    reason: str
    why: str
    verdict: str
    count: int
    bar: Markup


@dataclass(frozen=True)
class Distribution:
    """One histogram with its heading and what is to know about it."""

    title: str
    note: str
    chart: Markup
    wide: bool


@dataclass(frozen=True)
class Section:
    """A group of cards."""

    anchor: str
    title: str
    lead: str
    cards: list[Card]


def write_report(
    manifest: Path,
    out: Path,
    *,
    title: str = "Curation",
    facts: Mapping[str, str] = _NO_FACTS,
    shown: int = 4,
    rule: VerdictSettings | None = None,
    limits: MediaLimits | None = None,
    generated: MadeStore | None = None,
) -> None:
    """Write the report of a manifest.

    Args:
        manifest: the run's manifest.
        out: the HTML file; an older one is replaced in one step.
        title: heading of the page.
        facts: the run's own lines, shown at the top in their order.
        shown: cards in each of the three groups.
        rule: the rule that judged the manifest, for its limits; rows hold its fingerprint only.
        limits: those under which the videos were opened, and their frames are now.
        generated: what diffusion models made in the run's folder; if rows are of their scenes, the page begins with how many came how far.

    Raises:
        ManifestError: the manifest cannot be read.
        OSError: the file cannot be written; an older report stays.
    """
    survey = take(manifest, rule)
    page = render(
        "curation.html",
        title=title,
        facts=dict(facts),
        survey=survey,
        verdicts=[
            (verdict.value, survey.verdicts[verdict], share(survey.verdicts[verdict], survey.inputs)) for verdict in Verdict
        ],
        bar=_verdict_bar(survey),
        reasons=_reason_lines(survey),
        distributions=_distributions(survey, rule),
        sections=_sections(manifest, survey, shown, rule, limits),
        limits_known=rule is not None,
        generated=generated_section(manifest, generated, limits) if generated else None,
        unlisted=survey.verdicts[Verdict.QUARANTINED] - len(survey.quarantined),
    )
    write_page(out, page)


def _verdict_bar(survey: Survey) -> Markup:
    parts = [(verdict.value, survey.verdicts[verdict]) for verdict in Verdict]
    spoken = ", ".join(f"{amount} {name}" for name, amount in parts)
    return Markup(stacked_bar(parts, spoken))


def _reason_lines(survey: Survey) -> list[ReasonLine]:
    """Most frequent first, rejected before quarantined."""
    most = max(survey.reasons.values(), default=1)
    order = sorted(survey.reasons.items(), key=lambda item: (item[0][0] != Verdict.REJECTED, -item[1], item[0][1]))
    return [
        ReasonLine(
            reason, explain(reason), verdict, amount, Markup(stacked_bar([(verdict, amount), ("rest", most - amount)], "", 8))
        )
        for (verdict, reason), amount in order
    ]


def _distributions(survey: Survey, rule: VerdictSettings | None) -> list[Distribution]:
    def draw(series: str, name: str, note: str, edges: Doubles, ticks: list[float], limits: list[Limit]) -> Distribution:
        kept, rejected = (survey.values.get((series, verdict), ()) for verdict in (Verdict.KEPT, Verdict.REJECTED))
        texts = [(tick, plain(tick)) for tick in ticks]
        chart = histogram(kept, rejected, edges, texts, limits, name)
        note = note if kept or rejected else "No pair has a value."
        return Distribution(name, note, Markup(chart), not series.startswith("sync_"))

    def plain(value: float) -> str:
        return f"{value:g}".replace("-", "−")

    def least(value: float) -> list[Limit]:
        return [Limit(value, f"≥ {plain(value)}")]

    lags = [abs(value) for verdict in (Verdict.KEPT, Verdict.REJECTED) for value in survey.values.get(("lag", verdict), ())]
    reach = min(12, max(2, math.ceil(max(lags, default=2))))
    lag_edges = np.linspace(-reach, reach, 41)
    lag_limits = (
        [Limit(side * rule.max_lag_frames, number(side * rule.max_lag_frames, 2, sign=True)) for side in (-1, 1)] if rule else []
    )
    r_edges = np.linspace(-1, 1, 41)
    lines = [
        draw(
            "sync",
            "sync score",
            "mean of the cues with evidence",
            r_edges,
            [-1, -0.5, 0, 0.5, 1],
            least(rule.min_sync) if rule else [],
        ),
        draw(
            "lag",
            "lag",
            "frames by which the edited half is late",
            lag_edges,
            [-reach, -reach / 2, 0, reach / 2, reach],
            lag_limits,
        ),
        draw(
            "edit_strength",
            "edit strength",
            "0 is a copy of the source",
            np.geomspace(0.0001, 1, 41),
            [0.0001, 0.01, 1],
            least(rule.min_edit) if rule else [],
        ),
    ]
    for cue in CUES:
        limits = least(rule.min_r(cue)) if rule else []
        lines.append(draw(f"sync_{cue}", cue, "r, where there is evidence", r_edges, [-1, 0, 1], limits))
    return lines


def _sections(
    manifest: Path, survey: Survey, shown: int, rule: VerdictSettings | None, limits: MediaLimits | None
) -> list[Section]:
    picks = choose(survey, shown)
    rows = fetch(manifest, picks.all)
    with Decoder(limits) as decoder:
        groups = [
            [card_of(rows[index], rule, decoder, folder=manifest.parent, near=group is picks.borderline) for index in group]
            for group in (picks.best, picks.borderline, picks.rejected)
        ]
    return [
        Section(
            "best",
            "Best",
            "The highest sync scores. A copy of the source would lead this list: read edit strength beside it.",
            groups[0],
        ),
        Section(
            "borderline",
            "Borderline",
            "Nearest to the decision: kept with the least to spare, rejected for the least.",
            groups[1],
        ),
        Section(
            "rejected",
            "Rejected",
            "One of each reason in turn, the frequent reasons first, the clearest case of each.",
            groups[2],
        ),
    ]
