"""The page of edits of one request: source, edited first frame and edits in step, the four cue curves with a playhead. One file that needs
nothing else.

    write_edit_page(Path("edit.html"), result, source=Path("source.mp4"), first_frame=Path("first.png"), edited=Path("edited.mp4"))
    write_edits_page(Path("edits.html"), [Entry("with the adapter", result, Path("with.mp4")), Entry("without it", bare, Path("bare.mp4"))],
                     source=Path("source.mp4"), first_frame=Path("first.png"), lead="What to look for, in one sentence.")

The videos are inside the page, so that it can be sent as it is.
"""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from synclora.edit.result import EditResult
from synclora.media.decode import Picture
from synclora.media.images import read_picture
from synclora.report.embed import Box, cut, embed, same_part
from synclora.report.frames import jpeg
from synclora.report.page import render, write_page
from synclora.report.tracks import KINDS, Entry, panels_of
from synclora.report.words import DASH, RANDOM_WEIGHTS, explain, number

_NO_FACTS: Mapping[str, str] = {}
_PICTURE_PX = 1024  # of the first frame on the page


@dataclass(frozen=True)
class _Video:
    """One player: its class, its name, what is said below it, its bytes."""

    kind: str
    name: str
    said: str
    data: str


@dataclass(frozen=True)
class _Line:
    """One edit in the table."""

    kind: str
    label: str
    verdict: str
    reason: str
    why: str
    sync: str
    interval: str
    edit_strength: str
    first_frame: str
    seconds: str


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
    """Write the page of one edit.

    Args:
        out: the HTML file; an older one is replaced in one step.
        result: of the edit.
        source: the performance, an MP4 that browsers play.
        first_frame: the edited first frame, as it was given.
        edited: the video that came back.
        title: heading of the page.
        facts: more lines for its end, in their order.

    Raises:
        MediaError: the picture, or a source that is to be cut, cannot be read.
        OSError: a file cannot be read, or the page not be written; an older page stays.
    """
    write_edits_page(out, [Entry("edit", result, edited)], source=source, first_frame=first_frame, title=title, facts=facts)


def write_edits_page(
    out: Path,
    entries: Sequence[Entry],
    *,
    source: Path,
    first_frame: Path,
    title: str = "Edit",
    lead: str = "",
    note: str = "",
    facts: Mapping[str, str] = _NO_FACTS,
) -> None:
    """Write the page of several edits of one source and one edited first frame, beside each other and in step.

    The source is shown as the first edit's `crop` cuts it.

    Args:
        out: the HTML file; an older one is replaced in one step.
        entries: one to three edits.
        source: the performance, an MP4 that browsers play.
        first_frame: the edited first frame, as it was given.
        title: heading of the page.
        lead: what to look for, in one sentence, true whatever the numbers say.
        note: what else is to know before one looks.
        facts: more lines for its end, in their order.

    Raises:
        ValueError: there are no edits, or more than three.
        MediaError: the picture, or a source that is to be cut, cannot be read.
        OSError: a file cannot be read, or the page not be written; an older page stays.
    """
    if not 1 <= len(entries) <= len(KINDS):
        raise ValueError(f"{len(entries)} edits on one page; give 1 to {len(KINDS)}")
    result, several = entries[0].result, len(entries) > 1
    shown, given = _originals(out, source, first_frame, crop := result.crop)
    edits = [
        _Video(kind, entry.label, f"sync {number(entry.result.report.score)}" if several else "", embed(entry.video))
        for kind, entry in zip(KINDS, entries, strict=False)
    ]
    page = render(
        "edit.html",
        title=title,
        lead=lead,
        note=note,
        several=several,
        lines=[_line(kind, entry) for kind, entry in zip(KINDS, entries, strict=False)],
        facts={**(_common(entries) if several else _facts(result)), **facts},
        banner=RANDOM_WEIGHTS if any(entry.result.random_base for entry in entries) else "",
        detail=result.report.detail,
        cut=crop is not None,
        source=_Video("source", "source", "", shown),
        videos=edits,
        first_frame=jpeg(given, _PICTURE_PX),
        frames=result.frames,
        fps=float(Fraction(result.fps)),
        panels=panels_of(entries),
    )
    write_page(out, page)


def _originals(out: Path, source: Path, first_frame: Path, crop: Box | None) -> tuple[str, Picture]:
    """The source and the edited first frame as the edit shows them."""
    picture = read_picture(first_frame)
    if crop is None:
        return embed(source), picture
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.absolute().parent) as scratch:
        first = cut(source, crop, part := Path(scratch) / "source.mp4")
        return embed(part), same_part(picture, first, crop)


def _line(kind: str, entry: Entry) -> _Line:
    result = entry.result
    report = result.report
    return _Line(
        kind=kind,
        label=entry.label,
        verdict=report.verdict,
        reason=report.reason or "",
        why=explain(report.reason),
        sync=number(report.score),
        interval=_interval(result),
        edit_strength=number(result.edit_strength, 3),
        first_frame=number(result.first_frame_distance, 3),
        seconds=f"{sum(result.took_seconds.values()):.1f}",
    )


def _interval(result: EditResult) -> str:
    low, high = result.report.low, result.report.high
    return f" ({number(low)} to {number(high)})" if low is not None and high is not None else ""


def _facts(result: EditResult) -> dict[str, str]:
    return {
        "sync": number(result.report.score) + _interval(result),
        "late by": _late(result),
        "edit strength": number(result.edit_strength, 3),
        "clip": _clip(result),
        "adapter": result.adapter,
        "backbone": result.backbone,
        "seed": str(result.seed),
        "steps": str(result.steps),
        "first frame": _fit(result),
        "took": f"{sum(result.took_seconds.values()):.1f} s",
    }


def _common(entries: Sequence[Entry]) -> dict[str, str]:
    """What the table does not say; where the edits differ, one after the other."""
    told: dict[str, Callable[[EditResult], str]] = {
        "clip": _clip,
        "adapter": lambda result: result.adapter,
        "backbone": lambda result: result.backbone,
        "seed": lambda result: str(result.seed),
        "steps": lambda result: str(result.steps),
        "late by": _late,
        "fit of the first frame": _fit,
    }
    return {name: "; ".join(dict.fromkeys(tell(entry.result) for entry in entries)) for name, tell in told.items()}


def _clip(result: EditResult) -> str:
    return f"{result.frames} frames, {float(Fraction(result.fps)):.4g} fps, {result.width}×{result.height}"


def _late(result: EditResult) -> str:
    lag = result.report.lag_frames
    return f"{number(lag, 1, sign=True)} frames" if lag is not None else DASH


def _fit(result: EditResult) -> str:
    fit = result.fit
    return fit.kind + (f", {number(fit.scale)}×, {number(fit.turn_degrees, 1, sign=True)}°" if fit.kind == "aligned" else "")
