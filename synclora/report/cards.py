"""A manifest row to what its card shows. Plain values and SVG: the template lays them out."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from synclora.errors import Reason
from synclora.media.decode import Decoder
from synclora.media.images import read_picture
from synclora.motion.settings import CUES, Cue, VerdictSettings
from synclora.motion.sync import Agreement
from synclora.motion.verdict import Verdict, least_r
from synclora.pairs.base import View
from synclora.report.charts import line_chart
from synclora.report.curves import Curve, curves_of
from synclora.report.frames import MAX_HEIGHT, face_box, jpeg, pictures
from synclora.report.limits import Part, failing, tightest
from synclora.report.moments import Moment, moments_of
from synclora.report.words import PART_WORDS, SIGNAL_WORDS, explain, number

FACE_CUES: tuple[Cue, ...] = ("speech", "gaze", "blink")


@dataclass(frozen=True)
class Chip:
    """One part's agreement in a few words. `kind` is its class: passes, fails or none."""

    kind: str
    part: str
    text: str


@dataclass(frozen=True)
class Panel:
    """One cue: heading, chart, chips."""

    cue: str
    signal: str
    chart: Markup
    chips: list[Chip]


@dataclass(frozen=True)
class Column:
    """One moment of the strip: the two pictures ("" if not to be had) and the words below. `mark` is its number in the charts."""

    mark: str
    when: str
    label: str
    source: str
    edited: str


@dataclass(frozen=True)
class Card:
    """Everything a card shows."""

    name: str
    verdict: str
    reason: str
    why: str
    detail: str
    caption: str
    files: list[tuple[str, str]]
    figures: list[tuple[str, str]]
    panels: list[Panel]
    strip: list[Column]
    note: str


def card_of(
    row: dict[str, Any], rule: VerdictSettings | None, decoder: Decoder, *, folder: Path | str = "", near: bool = False
) -> Card:
    """Make one card.

    Args:
        row: a full manifest row.
        rule: the rule that judged it, if known: then failures are told from passes part by part.
        decoder: reads its frames.
        folder: the manifest's, from which relative paths are read.
        near: the pair stands near the decision: a kept one shows its weakest cue instead of its largest movements.
    """
    curves = curves_of(row, rule)
    bad = failing(row["parts"], row["reason"], rule) if row["verdict"] == Verdict.REJECTED else set()
    nearest = tightest(row, rule) if near and rule and row["verdict"] == Verdict.KEPT else None
    focus = nearest.cue if nearest and nearest.cue else _focus(row, bad, near)
    moments = moments_of(row, curves, focus) if curves else []
    strip, note = _strip(row, moments, decoder, folder) if curves else _stills(row, folder)
    return Card(
        name=row["name"] or row["pair_id"] or "",
        verdict=row["verdict"],
        reason=row["reason"] or "",
        why=explain(row["reason"]),
        detail=row["detail"] or (f"Nearest limit: {nearest.words}." if nearest else ""),
        caption=row["caption"] or "",
        files=[(half, _place(row, half)) for half in ("source", "edited") if row[half]],
        figures=_figures(row),
        panels=[_panel(curve, row["parts"], bad, rule, moments, float(row["fps"])) for curve in curves],
        strip=strip,
        note=note,
    )


def _focus(row: dict[str, Any], bad: set[str], near: bool) -> str | None:
    """The cue that decided: the reason, else the worst failing part's; near the decision the weakest that is evidence."""
    evident = [part for part in row["parts"] if part["evidence"]]
    if row["verdict"] == Verdict.REJECTED and row["reason"] in CUES:
        return str(row["reason"])
    blamed = [part for part in evident if part["part"] in bad]
    if not blamed and near:
        blamed = evident
    if not blamed and row["reason"] == Reason.LATE:  # a delay shows where most moves
        blamed = [max(evident, key=lambda part: float(part["snr"]))]
    worst = min(blamed, key=lambda part: float(part["r"]), default=None)
    return str(worst["cue"]) if worst else None


def _place(row: dict[str, Any], half: str) -> str:
    return row[half] if row[f"{half}_half"] in (None, "whole") else f"{row[half]} ({row[f'{half}_half']} half)"


def _figures(row: dict[str, Any]) -> list[tuple[str, str]]:
    sync = number(row["sync"])
    if row["sync_low"] is not None and row["sync_high"] is not None:
        sync += f" ({number(row['sync_low'])} to {number(row['sync_high'])})"
    lag = f"{number(row['lag'], 1, sign=True)} frames" if row["lag"] is not None else number(None)
    if row["local_at"] is not None and row["local_at"] >= 0:
        lag += f", {number(row['local_lag'], 1, sign=True)} near {row['local_at'] / row['fps']:.1f} s"
    apart = row["misalignment"]
    clip = f"{row['frames']} frames, {row['fps']:.4g} fps, {row['width']}×{row['height']}" if row["frames"] else number(None)
    return [
        ("sync", sync),
        ("late by", lag),
        ("edit strength", number(row["edit_strength"], 3)),
        ("first frames apart", f"{number(apart)} widths" if apart is not None else number(None)),
        ("clip", clip),
    ]


def _panel(
    curve: Curve, parts: list[Part], bad: set[str], rule: VerdictSettings | None, moments: Sequence[Moment], fps: float
) -> Panel:
    signal = SIGNAL_WORDS[curve.signal]
    marks = [moment.frame for moment in moments]
    spoken = f"{curve.cue}, {signal}: both halves over {len(curve.source_t) / fps:.1f} seconds"
    chart = line_chart(curve.source_t, curve.edited_t, curve.seen_t, fps, marks, spoken, faint=not curve.evidence)
    own = [part for part in parts if part["cue"] == curve.cue]
    chips = [_chip(part, part["part"] in bad, rule) for part in own]
    if not own and parts:
        chips = [Chip("none", curve.cue, "left out of this run")]
    elif not own:
        chips = [Chip("none", curve.cue, "not compared")]
    return Panel(curve.cue, signal, Markup(chart), chips)


def _chip(part: Part, fails: bool, rule: VerdictSettings | None) -> Chip:
    name = PART_WORDS[str(part["part"])]
    if not part["evidence"]:
        return Chip("none", name, f"no evidence: {part['why']}")
    text = f"r {number(part['r'])}, lag {number(part['lag'], 1, sign=True)}"
    if fails and rule:
        least = least_r(Agreement(**part), rule)
        text += f", needs {number(least)}" if part["r"] < least else f", moves {part['gain']:.1f}× as far"
    return Chip("fails" if fails else "passes", name, text)


def _strip(row: dict[str, Any], moments: Sequence[Moment], decoder: Decoder, folder: Path | str) -> tuple[list[Column], str]:
    """First frame and moments, source over edited, and what is to be said of missing pictures."""
    shown = [Moment(0, "first frame"), *moments]
    wanted = [moment.frame for moment in shown]
    found, problems = {}, []
    for half in ("source", "edited"):
        found[half], problem = pictures(decoder, View(str(Path(folder) / row[half]), row[f"{half}_half"] or "whole"), wanted)
        if problem:
            problems.append(f"No frames of the {half} half: {problem}." if not found[half] else f"Of the {half} half, {problem}.")
    if not any(found.values()):
        return [], "Curves only. " + " ".join(problems)
    columns = []
    for i, moment in enumerate(shown):
        pair = [
            _picture(found[half].get(moment.frame), row[f"{half}_motion"]["first_face"], moment.cue)
            for half in ("source", "edited")
        ]
        columns.append(Column(str(i) if i else "", f"{moment.frame / row['fps']:.2f} s", moment.label, *pair))
    return columns, " ".join(problems)


def _stills(row: dict[str, Any], folder: Path | str) -> tuple[list[Column], str]:
    """What a pair without measurements shows: the pictures that were to be animated, if that is how far it came."""
    named = [str(Path(folder) / row[half]) if _is_still(row[half]) else "" for half in ("source", "edited")]
    if not any(named):
        return [], "The videos were never measured."
    return [Column("", "", "before it was animated", *(_still(path) for path in named))], "Dropped before it was animated."


def _is_still(place: str | None) -> bool:
    return bool(place) and Path(str(place)).suffix.lower() == ".png"


def _still(path: str) -> str:
    try:
        return jpeg(read_picture(path, 2 * MAX_HEIGHT)) if path else ""
    except Exception:  # removed or damaged since: nothing that is wrong with a picture ends a report
        return ""


def _picture(picture: Any, first_face: list[float], cue: Cue | None) -> str:
    if picture is None:
        return ""
    box = face_box(np.asarray(first_face).reshape(-1, 2), picture.shape[1], picture.shape[0]) if cue in FACE_CUES else None
    return jpeg(picture[box] if box else picture)
