"""Four cue panels of edits of one source: the source's curve, each edit's, and what each part says.

    panels = panels_of([Entry("with the adapter", with_it, Path("with.mp4")), Entry("without it", without, Path("without.mp4"))])

Shapes: t frames.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from markupsafe import Markup

from synclora.edit.result import EditResult, PartReport
from synclora.motion.settings import CUES, Cue
from synclora.report.cards import Chip
from synclora.report.charts import Track, tracks_chart
from synclora.report.words import PART_WORDS, SIGNAL_WORDS, number

KINDS = ("edited", "second", "third")
"""Classes of the edits, in their order: colour and dashes in the style sheet."""


@dataclass(frozen=True)
class Entry:
    """One edit of the page.

    Attributes:
        label: what it is called there, such as "with the adapter".
        result: of the edit.
        video: that came back.
    """

    label: str
    result: EditResult
    video: Path


@dataclass(frozen=True)
class Drawn:
    """A chart and the signal that it shows."""

    signal: str
    chart: Markup


@dataclass(frozen=True)
class Row:
    """What one edit's parts say: its class, its name, a chip per part."""

    kind: str
    label: str
    chips: list[Chip]


@dataclass(frozen=True)
class CuePanel:
    """One cue. More than one chart only where the edits' clearest signals differ: curves of two signals cannot be laid on each other."""

    cue: str
    charts: list[Drawn]
    rows: list[Row]


def panels_of(entries: Sequence[Entry]) -> list[CuePanel]:
    """A panel per cue, in the order of `CUES`."""
    return [_panel(cue, entries) for cue in CUES]


def _panel(cue: Cue, entries: Sequence[Entry]) -> CuePanel:
    own = [[part for part in entry.result.report.parts if part.cue == cue] for entry in entries]
    rows = [
        Row(kind, entry.label, [_chip(part) for part in parts] or [Chip("none", cue, "not compared")])
        for kind, entry, parts in zip(KINDS, entries, own, strict=False)
    ]
    name = _shown(own)
    drawn = [(k, part) for k, parts in enumerate(own) for part in parts if part.part == name and part.source]
    signals = dict.fromkeys(part.signal for _k, part in drawn)
    charts = [_chart(cue, signal, [(k, part) for k, part in drawn if part.signal == signal], entries) for signal in signals]
    return CuePanel(cue, charts, rows)


def _shown(own: Sequence[Sequence[PartReport]]) -> str | None:
    """The part to draw: one that is evidence for most edits, shown by one signal in all of them, that moves most clearly."""
    by_name: dict[str, list[PartReport]] = {}
    for parts in own:
        for part in parts:
            if part.source:
                by_name.setdefault(part.part, []).append(part)

    def worth(name: str) -> tuple[int, int, float]:
        parts = by_name[name]
        clearest = max(part.snr or 0.0 for part in parts)
        return sum(part.evidence for part in parts), -len({part.signal for part in parts}), clearest

    return max(by_name, key=worth, default=None)


def _chart(cue: Cue, signal: str, drawn: Sequence[tuple[int, PartReport]], entries: Sequence[Entry]) -> Drawn:
    """One signal of the source and of the edits, the source as the edit that was seen longest has it."""
    fps = float(Fraction(entries[drawn[0][0]].result.fps))
    edits = [_track(KINDS[k], part, part.edited) for k, part in drawn]
    source = max((_track("source", part, part.source) for _k, part in drawn), key=lambda track: int(track.seen_t.sum()))
    seconds, words = len(source.values_t) / fps, SIGNAL_WORDS.get(signal, signal)
    said = [f"{entries[k].label} ({f'r {number(part.r)}' if part.evidence else 'no evidence'})" for k, part in drawn]
    spoken = f"{cue}, {words}: {', '.join(['source', *said[:-1]])} and {said[-1]} over {seconds:.1f} seconds"
    faint = not any(part.evidence for _k, part in drawn)
    return Drawn(words, Markup(tracks_chart([source, *edits], fps, [], spoken, faint=faint, front="edited")))


def _track(kind: str, part: PartReport, values: Sequence[float | None]) -> Track:
    """One half of the part, broken where either was not seen."""
    seen = [a is not None and b is not None for a, b in zip(part.source, part.edited, strict=True)]
    return Track(kind, np.array([value or 0.0 for value in values]), np.array(seen))


def _chip(part: PartReport) -> Chip:
    name = PART_WORDS.get(part.part, part.part)
    if not part.evidence:
        return Chip("none", name, f"no evidence: {part.why}")
    return Chip("passes", name, f"r {number(part.r)}, lag {number(part.lag_frames, 1, sign=True)}")
