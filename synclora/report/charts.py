"""Charts as SVG text: two curves over time, a mirrored histogram, a stacked bar.

Colours come from the page's style sheet, by class. Every chart is as wide as its place: an inner `<svg>` stretches the drawing
(lines keep their width), while text stands outside it at percentages and keeps its size: a phone reads the same labels as a desk.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from synclora.report import svg
from synclora.report.svg import Doubles

MAX_POINTS = 900
"""Points of a drawn curve: more than any screen gives it; a two-minute clip would else weigh megabytes."""

_PLOT_H, _TICKS_H, _MARKS_H = 84, 18, 14


@dataclass(frozen=True)
class Limit:
    """A limit of the rule, drawn as a line."""

    value: float
    label: str


@dataclass(frozen=True)
class Track:
    """One curve of a chart.

    Attributes:
        kind: its class: source, edited, second or third.
        values_t: (t,) its values.
        seen_t: (t,) where they were measured; elsewhere the curve is broken.
    """

    kind: str
    values_t: Doubles
    seen_t: NDArray[np.bool_]


def line_chart(
    source: Doubles,
    edited: Doubles,
    seen: NDArray[np.bool_],
    fps: float,
    marks: Sequence[int],
    label: str,
    *,
    faint: bool = False,
) -> str:
    """Two curves of (t,) values over seconds. Frames not seen are greyed and their curves broken; marks are numbered from 1.

    `faint` curves say nothing: they are no evidence.
    """
    return tracks_chart([Track("source", source, seen), Track("edited", edited, seen)], fps, marks, label, faint=faint)


def tracks_chart(
    tracks: Sequence[Track], fps: float, marks: Sequence[int], label: str, *, faint: bool = False, front: str = ""
) -> str:
    """Curves of one length over seconds. Frames that none of them saw are greyed; each is broken where it was not seen itself.

    Args:
        tracks: at least one, in the order of their `data-` attributes and of drawing.
        fps: of all of them.
        marks: frames that are numbered from 1.
        label: for those who hear the page.
        faint: they say nothing: they are no evidence.
        front: the kind that is drawn last, over the others.
    """
    frames = len(tracks[0].values_t)
    step = math.ceil(frames / MAX_POINTS)
    thin = [Track(one.kind, _thin(one.values_t, step), one.seen_t[::step]) for one in tracks]
    top = max(4.0 if faint else 1.5, float(np.abs(np.concatenate([one.values_t for one in thin])).max()) * 1.06)
    x = np.arange(len(thin[0].values_t)) * step / max(1, frames - 1) * 1000
    seen = np.any([one.seen_t for one in thin], axis=0)
    plot = [svg.rect("unseen", x[i], 0, max(2.0, x[j] - x[i]), 100) for i, j in _runs(~seen)]
    plot.append(svg.line("zero", 0, 50, 1000, 50))
    plot += [svg.line("mark", at := mark / max(1, frames - 1) * 1000, 0, at, 100) for mark in marks]
    for one in sorted(thin, key=lambda track: track.kind == front):
        y = 50 - one.values_t / top * 48
        plot += [svg.path(f"curve {one.kind} broken", x, y, i, j) for i, j in _runs(~one.seen_t)]
        plot += [svg.path(f"curve {one.kind}", x, y, i, j) for i, j in _runs(one.seen_t)]
    texts = [svg.text("mark-no", 100 * mark / max(1, frames - 1), 10, str(i + 1)) for i, mark in enumerate(marks)]
    texts += _time_ticks((frames - 1) / fps, _MARKS_H + _PLOT_H + 13)
    values = "".join(f' data-{one.kind}="{_data(one.values_t)}"' for one in thin)
    data = f' data-fps="{fps:.6g}" data-step="{step}"{values}'
    return svg.chart(
        "lines faint" if faint else "lines", _MARKS_H + _PLOT_H + _TICKS_H, _MARKS_H, _PLOT_H, plot, texts, label, data
    )


def histogram(
    kept: Sequence[float],
    rejected: Sequence[float],
    edges: Doubles,
    ticks: Sequence[tuple[float, str]],
    limits: Sequence[Limit],
    label: str,
) -> str:
    """Kept above the line, rejected below, each to its own scale: a few hundred kept stay visible beside tens of thousands.

    Args:
        kept: values of the kept pairs; beyond the edges they count in the outermost bin.
        rejected: values of the rejected pairs.
        edges: (bins + 1,) ascending, drawn at equal widths, so that a logarithmic axis is its edges.
        ticks: value and text of each tick.
        limits: drawn as lines over both.
        label: for those who hear the page.
    """
    bins = len(edges) - 1
    width = 1000 / bins
    counts = [np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0] for values in (kept, rejected)]
    plot: list[str] = []
    for name, heights, up in zip(("kept", "rejected"), counts, (True, False), strict=True):
        scale = 47 / max(1, int(heights.max()))
        for i, height in enumerate(heights * scale):
            if height:
                plot.append(svg.rect(name, i * width + width * 0.06, 50 - height if up else 50, width * 0.88, height))
    plot.append(svg.line("axis", 0, 50, 1000, 50))
    at = [float(np.interp(limit.value, edges, np.arange(bins + 1))) / bins * 100 for limit in limits]
    plot += [svg.line("limit", 10 * place, 0, 10 * place, 100) for place in at]
    texts = [svg.text("limit-no", place, 10, limit.label) for place, limit in zip(at, limits, strict=True)]
    bottom = _MARKS_H + 110 + 13
    texts += [
        svg.text("tick", float(np.interp(value, edges, np.arange(bins + 1))) / bins * 100, bottom, text) for value, text in ticks
    ]
    peaks = [int(heights.max()) for heights in counts]
    spoken = f"{label}. {len(kept)} kept, at most {peaks[0]} in a bin; {len(rejected)} rejected, at most {peaks[1]} in a bin."
    return svg.chart("histogram", _MARKS_H + 110 + _TICKS_H, _MARKS_H, 110, plot, texts, spoken)


def stacked_bar(parts: Sequence[tuple[str, int]], label: str, height: int = 18) -> str:
    """One bar cut into (class, count) parts, in true proportion."""
    whole = sum(count for _name, count in parts) or 1
    plot, at = [], 0.0
    for name, count in parts:
        width = 1000 * count / whole
        plot.append(svg.rect(name, at, 0, width, 100))
        at += width
    return svg.chart("stack", height, 0, height, plot, [], label)


def _thin(values: Doubles, step: int) -> Doubles:
    """One value of each `step`: the farthest from zero, so that a blink survives."""
    if step == 1:
        return values
    padded = np.append(values, np.full(-len(values) % step, values[-1])).reshape(-1, step)
    return np.asarray(padded[np.arange(len(padded)), np.abs(padded).argmax(1)])


def _runs(flags: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """First and last index of each stretch of true, widened by one to both sides where it can touch its neighbour."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(np.int8), [0]])))
    last = len(flags) - 1
    return [(max(0, int(i) - (not flags[0] or i > 0)), min(last, int(j) - 1)) for i, j in edges.reshape(-1, 2)]


def _time_ticks(seconds: float, y: float) -> list[str]:
    step = next((s for s in (0.25, 0.5, 1, 2, 5, 10, 15, 30) if seconds / s <= 6), 60)
    times = np.arange(0, seconds + 1e-9, step)
    texts = [f"{time:g}" for time in times]
    texts[-1] += " s"
    return [svg.text("tick", 100 * time / max(seconds, 1e-9), y, text) for time, text in zip(times, texts, strict=True)]


def _data(values: Doubles) -> str:
    return ",".join(f"{value:.2f}" for value in values)
