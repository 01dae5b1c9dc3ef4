"""A row to the curves of the paper's figure 3: for each cue, both halves smoothed and z-scored over the clip.

A signal that does not move is not blown up to look as if it did: it is divided by its own spread or by what would be evidence,
whichever is larger, and so stays flat.

Shapes: t frames.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synclora.motion.measure import Measurement
from synclora.motion.settings import CUES, Cue, VerdictSettings
from synclora.motion.signals import PARTS, Signal, smooth
from synclora.motion.verdict import Verdict
from synclora.report.limits import Part, failing

Doubles = NDArray[np.float64]


@dataclass(frozen=True)
class Curve:
    """One cue of one pair, ready to draw.

    Attributes:
        cue: the cue.
        part: the part of the body that is drawn.
        signal: the part's signal that is drawn.
        evidence: whether the part was evidence.
        source_t: the source half, in standard deviations.
        edited_t: the edited half, in its own.
        seen_t: where it was seen in both halves.
    """

    cue: Cue
    part: str
    signal: str
    evidence: bool
    source_t: Doubles
    edited_t: Doubles
    seen_t: NDArray[np.bool_]


def curves_of(row: dict[str, Any], rule: VerdictSettings | None) -> list[Curve]:
    """The four curves, in the order of `CUES`; none if the pair was never measured."""
    if not row["source_motion"] or not row["edited_motion"]:
        return []
    halves = Measurement.from_row(row["source_motion"]), Measurement.from_row(row["edited_motion"])
    frames = min(half.frames for half in halves)
    bad = failing(row["parts"], row["reason"], rule) if row["verdict"] == Verdict.REJECTED else set()
    return [_curve(cue, row["parts"], bad, halves, frames, rule or VerdictSettings()) for cue in CUES]


def _curve(
    cue: Cue, parts: list[Part], bad: set[str], halves: tuple[Measurement, Measurement], frames: int, rule: VerdictSettings
) -> Curve:
    judged = {part["part"]: part for part in parts if part["cue"] == cue}
    name = _shown_part(cue, judged, bad)
    source, edited = (half.signals for half in halves)
    signal = max(PARTS[name][1], key=lambda s: max(_clearness(source[s], frames), _clearness(edited[s], frames)))
    evidence = bool(judged.get(name, {}).get("evidence"))
    seen = source[signal].seen[:frames] & edited[signal].seen[:frames]
    a, b = (_standard(half[signal], frames, rule.min_snr) for half in (source, edited))
    return Curve(cue, name, signal, evidence, a, b, seen)


def _shown_part(cue: Cue, judged: dict[str, Part], bad: set[str]) -> str:
    """The part to draw: the worst of the failing ones, else the clearest that is evidence, else the clearest."""
    blamed = [part for part in judged.values() if part["part"] in bad]
    if blamed:
        return str(min(blamed, key=lambda part: float(part["r"]))["part"])
    if judged:
        return str(max(judged.values(), key=lambda part: (part["evidence"], part["snr"]))["part"])
    return next(part for part, (own, _signals) in PARTS.items() if own == cue)


def _clearness(signal: Signal, frames: int) -> float:
    seen = signal.seen[:frames]
    return float(smooth(signal.values[:frames])[seen].std() / signal.noise) if seen.any() else 0.0


def _standard(signal: Signal, frames: int, min_snr: float) -> Doubles:
    values, seen = smooth(signal.values[:frames]), signal.seen[:frames]
    if not seen.any():
        return np.zeros(frames)
    unit = max(float(values[seen].std()), min_snr * signal.noise)
    return np.asarray(np.clip((values - values[seen].mean()) / unit, -6, 6))
