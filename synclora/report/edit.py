"""The page of one edit: source and edit in step, the edited first frame, the four cue curves with a playhead. One file that needs nothing else.

    write_edit_page(Path("edit.html"), result, source=Path("source.mp4"), first_frame=Path("first.png"), edited=Path("edited.mp4"))

The videos are inside the page, so that it can be sent as it is.
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from markupsafe import Markup

from synclora.edit.result import EditResult, PartReport
from synclora.media.images import read_picture
from synclora.motion.settings import CUES, Cue
from synclora.report.cards import Chip, Panel
from synclora.report.charts import line_chart
from synclora.report.frames import jpeg
from synclora.report.page import render, write_page
from synclora.report.words import DASH, PART_WORDS, RANDOM_WEIGHTS, SIGNAL_WORDS, explain, number

_NO_FACTS: Mapping[str, str] = {}
_PICTURE_PX = 1024  # of the first frame on the page


@dataclass(frozen=True)
class _Video:
    """One player: what it shows, and its bytes."""

    kind: str
    name: str
    data: str


def write_edit_page(
    out: Path,
    result: EditResult,
    *,
    source: Path,
    first_frame: Path,
    edited: Path,
    title: str = "Edit",
    facts: Mapping[str, str] = _NO_FACTS,
) -> None:
    """Write the page.

    Args:
        out: the HTML file; an older one is replaced in one step.
        result: of the edit.
        source: the performance, an MP4 that browsers play.
        first_frame: the edited first frame, as it was given.
        edited: the video that came back.
        title: heading of the page.
        facts: more lines for the top, in their order.

    Raises:
        MediaError: the picture cannot be read.
        OSError: a file cannot be read, or the page not be written; an older page stays.
    """
    page = render(
        "edit.html",
        title=title,
        facts={**_facts(result), **facts},
        banner=RANDOM_WEIGHTS if result.random_base else "",
        verdict=result.report.verdict,
        reason=result.report.reason or "",
        why=explain(result.report.reason),
        detail=result.report.detail,
        score=number(result.report.score),
        videos=[_Video("source", "source", _inside(source)), _Video("edited", "edit", _inside(edited))],
        first_frame=jpeg(read_picture(first_frame, _PICTURE_PX), _PICTURE_PX),
        frames=result.frames,
        fps=float(Fraction(result.fps)),
        panels=[_panel(cue, result) for cue in CUES],
    )
    write_page(out, page)


def _facts(result: EditResult) -> dict[str, str]:
    report, fit = result.report, result.fit
    interval = f" ({number(report.low)} to {number(report.high)})" if report.low is not None and report.high is not None else ""
    moved = f", {number(fit.scale)}×, {number(fit.turn_degrees, 1, sign=True)}°" if fit.kind == "aligned" else ""
    return {
        "sync": number(report.score) + interval,
        "late by": f"{number(report.lag_frames, 1, sign=True)} frames" if report.lag_frames is not None else DASH,
        "edit strength": number(result.edit_strength, 3),
        "clip": f"{result.frames} frames, {float(Fraction(result.fps)):.4g} fps, {result.width}×{result.height}",
        "adapter": result.adapter,
        "backbone": result.backbone,
        "seed": str(result.seed),
        "steps": str(result.steps),
        "first frame": fit.kind + moved,
        "took": f"{sum(result.took_seconds.values()):.1f} s",
    }


def _panel(cue: Cue, result: EditResult) -> Panel:
    own = [part for part in result.report.parts if part.cue == cue]
    drawn = max((part for part in own if part.source), key=lambda part: (part.evidence, part.snr or 0.0), default=None)
    if drawn is None:
        return Panel(cue, "", Markup(""), [Chip("none", cue, "not compared")])
    fps = float(Fraction(result.fps))
    seen = np.array([a is not None and b is not None for a, b in zip(drawn.source, drawn.edited, strict=True)])
    source, edited = (np.array([value or 0.0 for value in track]) for track in (drawn.source, drawn.edited))
    signal = SIGNAL_WORDS.get(drawn.signal, drawn.signal)
    spoken = f"{cue}, {signal}: source and edit over {len(seen) / fps:.1f} seconds"
    chart = line_chart(source, edited, seen, fps, [], spoken, faint=not drawn.evidence)
    return Panel(cue, signal, Markup(chart), [_chip(part) for part in own])


def _chip(part: PartReport) -> Chip:
    name = PART_WORDS.get(part.part, part.part)
    if not part.evidence:
        return Chip("none", name, f"no evidence: {part.why}")
    return Chip("passes", name, f"r {number(part.r)}, lag {number(part.lag_frames, 1, sign=True)}")


def _inside(video: Path) -> str:
    return "data:video/mp4;base64," + base64.b64encode(video.read_bytes()).decode()
