"""Charts of a run as SVG text: lines over its steps, and pairs of bars over sigma.

    trend_chart(steps, [Line("raw", "loss", loss), Line("main", "smoothed", smooth)], "loss over the steps", log=True)

Colours come from the page's style sheet, by class. The values are in the chart's `data-` attributes too, where the page's script reads
them for the readout under the pointer.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from synclora.report import svg
from synclora.report.charts import MAX_POINTS
from synclora.report.svg import Doubles
from synclora.report.words import count, short

_TOP_H, _TICKS_H = 12, 18  # pixels; above, the highest tick's words
_LEVELS = 80  # of the drawing's 1000, left of the bars for the words of the levels: they would stand in front of a bar
_MAX_DOTS = 40
"""Fewer values than this have a dot each: a line through three of them would look as if it knew more."""


@dataclass(frozen=True)
class Figure:
    """A chart with its heading, what is to know about it, and its width: broad, half, wide or narrow."""

    title: str
    note: str
    chart: Markup
    width: str


@dataclass(frozen=True)
class Line:
    """One line of a chart.

    Attributes:
        kind: its class: main, raw, ceiling or worker.
        words: what it is called under the pointer; "" keeps it out of there.
        y_n: its values; the line is broken at NaN.
    """

    kind: str
    words: str
    y_n: Doubles


@dataclass(frozen=True)
class Level:
    """A value drawn across the whole chart, for comparison.

    Attributes:
        kind: its class: limit (of a rule) or reference.
        value: where.
    """

    kind: str
    value: float


@dataclass(frozen=True)
class _Axis:
    """From values to rows of the drawing: 2 at the top, 98 at the bottom."""

    low: float
    high: float
    log: bool

    def rows(self, values: Doubles) -> Doubles:
        low, high, at = (np.log10(x) if self.log else x for x in (self.low, self.high, np.clip(values, self.low, self.high)))
        return np.asarray(98 - 96 * (at - low) / (high - low))

    def ticks(self) -> list[float]:
        if self.log:
            tens = _decades(self.low, self.high, (1,))
            every = _decades(self.low, self.high, (1, 2, 5))
            if len(every) >= 2:
                return every if len(every) <= 5 else tens[:: math.ceil(len(tens) / 5)]
        step = _nice((self.high - self.low) / (5 if self.log else 3))
        return [i * step for i in range(math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9) + 1)]


def trend_chart(
    x_n: Doubles,
    lines: Sequence[Line],
    label: str,
    *,
    log: bool = False,
    bounds: tuple[float, float] | None = None,
    span: tuple[float, float] | None = None,
    levels: Sequence[Level] = (),
    height: int = 110,
    ticks: int = 4,
) -> str:
    """Lines over steps.

    Args:
        x_n: (n,) steps, ascending.
        lines: each of n values; the first one decides which of very many values are drawn: the extremes of each stretch.
        label: for those who hear the page.
        log: a logarithmic axis; values that are not above 0 are drawn at its foot.
        bounds: lowest and highest value of the axis; else it goes from 0 (logarithmic: the lowest value) to the highest.
        span: first and last step of the drawing, so that charts of one run lie under each other; else those of `x_n`.
        levels: drawn across.
        height: of the drawing, in pixels.
        ticks: about so many along the steps: fewer in a narrow place.
    """
    at = _extremes(lines[0].y_n)
    x, lines = x_n[at], [Line(one.kind, one.words, one.y_n[at]) for one in lines]
    axis = _axis(np.concatenate([*(one.y_n for one in lines), [level.value for level in levels]]), log, bounds)
    first, last = span or (float(x[0]), float(x[-1]))
    place = (x - first) / (last - first) * 1000 if last > first else np.full(len(x), 500.0)
    plot, texts = _grid(axis, height)
    for level in levels:
        row = float(axis.rows(np.array(level.value)))
        plot.append(svg.line(level.kind, 0, row, 1000, row))
    for one in lines:
        rows, drawn = axis.rows(one.y_n), np.isfinite(one.y_n)
        pieces = _pieces(drawn)
        plot += [svg.path(f"trend {one.kind}", place, rows, i, j) for i, j in pieces if j > i]
        few = int(drawn.sum()) <= _MAX_DOTS
        dotted = [k for i, j in pieces if few or i == j for k in range(i, j + 1)]
        texts += [svg.dot(one.kind, place[k] / 10, _TOP_H + rows[k] / 100 * height) for k in dotted]
    texts += _step_ticks(first, last, ticks, _TOP_H + height + 13)
    data = _data([f"step {count(round(step))}" for step in x], place, lines)
    return svg.chart("trends", _TOP_H + height + _TICKS_H, _TOP_H, height, plot, texts, label, data)


def paired_bars(early_b: Doubles, late_b: Doubles, label: str, *, height: int = 110) -> str:
    """Two bars in each of b equal bins of 0..1, from 0 up; NaN has no bar."""
    axis = _axis(np.concatenate([early_b, late_b]), False, None)
    plot, texts = _grid(axis, height)
    bins, foot = len(early_b), float(axis.rows(np.array(0.0)))
    width = (1000 - _LEVELS) / bins
    for i in range(bins):
        for name, value, left in (("early", early_b[i], 0.1), ("late", late_b[i], 0.5)):
            if math.isfinite(value):
                row = float(axis.rows(np.array(value)))
                plot.append(svg.rect(name, _LEVELS + (i + left) * width, row, 0.4 * width, foot - row))
    texts += [
        svg.text("tick", (_LEVELS + i * width) / 10, _TOP_H + height + 13, f"{i / bins:g}") for i in range(0, bins + 1, bins // 5)
    ]
    titles = [f"σ {i / bins:g} to {(i + 1) / bins:g}" for i in range(bins)]
    middles = _LEVELS + (np.arange(bins) + 0.5) * width
    data = _data(titles, middles, [Line("early", "early", early_b), Line("late", "late", late_b)])
    return svg.chart("trends", _TOP_H + height + _TICKS_H, _TOP_H, height, plot, texts, label, data)


def _extremes(values: Doubles) -> NDArray[np.intp]:
    """At most `MAX_POINTS` indices: the lowest and the highest known value of each stretch, and both ends."""
    frames = len(values)
    if frames <= MAX_POINTS:
        return np.arange(frames)
    stretches = np.array_split(np.arange(frames), MAX_POINTS // 2 - 1)
    chosen = {0, frames - 1}
    for stretch in stretches:
        known = stretch[np.isfinite(values[stretch])]
        if known.size:
            chosen |= {int(known[values[known].argmin()]), int(known[values[known].argmax()])}
    return np.array(sorted(chosen))


def _axis(values: Doubles, log: bool, bounds: tuple[float, float] | None) -> _Axis:
    if bounds:
        return _Axis(*bounds, log)
    values = values[np.isfinite(values) & ((values > 0) | (not log))]
    if not values.size:
        return _Axis(0.1 if log else 0.0, 1.0, log)
    low, high = float(values.min()), float(values.max())
    if log:
        return _Axis(low, high, log) if high >= 1.5 * low else _Axis(low / 1.25, high * 1.25, log)  # a flat curve, in the middle
    low = min(0.0, low)
    return _Axis(low, high + 0.04 * (high - low) if high > low else low + 1.0, log)


def _grid(axis: _Axis, height: int) -> tuple[list[str], list[str]]:
    rows = [(value, float(axis.rows(np.array(value)))) for value in axis.ticks()]
    plot = [svg.line("axis" if value == 0 else "grid", 0, row, 1000, row) for value, row in rows]
    return plot, [svg.text("tick level", 0, _TOP_H + row / 100 * height - 3, short(value)) for value, row in rows]


def _step_ticks(first: float, last: float, ticks: int, y: float) -> list[str]:
    if last <= first:
        return [svg.text("tick", 50, y, f"step {count(round(last))}")]
    step = max(1.0, _nice((last - first) / ticks))
    values = [i * step for i in range(math.ceil(first / step), math.floor(last / step + 1e-9) + 1)]
    words = [count(round(value)) for value in values]
    words[-1] = f"step {words[-1]}"
    return [svg.text("tick", 100 * (value - first) / (last - first), y, text) for value, text in zip(values, words, strict=True)]


def _nice(value: float) -> float:
    """1, 2 or 5 times a power of ten, not below the value."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= value * (1 - 1e-9))


def _decades(low: float, high: float, factors: tuple[int, ...]) -> list[float]:
    powers = range(math.floor(math.log10(low)), math.floor(math.log10(high)) + 1)
    return [value for power in powers for factor in factors if low <= (value := factor * 10.0**power) <= high]


def _pieces(flags: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """First and last index of each stretch of true."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(np.int8), [0]]))).reshape(-1, 2)
    return [(int(start), int(stop) - 1) for start, stop in edges]


def _data(titles: Sequence[str], place: Doubles, lines: Sequence[Line]) -> str:
    named = [one for one in lines if one.words]
    columns = {
        "at": ",".join(f"{at:.0f}" for at in place),
        "titles": "|".join(titles),
        "names": "|".join(one.words for one in named),
        "values": "|".join(",".join(short(value) for value in one.y_n) for one in named),
    }
    return "".join(f' data-{name}="{escape(text)}"' for name, text in columns.items())
