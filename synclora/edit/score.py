"""Curation's scorer on one edit: the judgement as plain values, with both tracks of every part.

    report = sync_report(judge(source, edited, rule), source, edited, rule)

Shapes: t frames.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from synclora.edit.result import PartReport, Seam, SyncReport
from synclora.motion.measure import Measurement
from synclora.motion.settings import CUES, VerdictSettings
from synclora.motion.signals import PARTS, Signal, smooth
from synclora.motion.sync import Agreement
from synclora.motion.verdict import Judgement

Doubles = NDArray[np.float64]

MIN_STEP = 0.25
"""Of a signal's noise: the largest step of a source that keeps still; no unit to measure others by below it."""


def sync_report(judgement: Judgement, source: Measurement, edited: Measurement, rule: VerdictSettings) -> SyncReport:
    """The judgement, part by part. Without a score, `detail` says why."""
    sync = judgement.sync
    parts = [] if sync is None else [_part(part, source, edited, rule) for part in sync.parts]
    return SyncReport(
        score=None if sync is None else _number(sync.score),
        low=None if sync is None else _number(sync.low),
        high=None if sync is None else _number(sync.high),
        lag_frames=None if sync is None else _number(sync.lag),
        verdict=judgement.verdict.value,
        reason=judgement.reason.value if judgement.reason else None,
        detail=judgement.detail,
        cues={cue: None if sync is None else _number(sync.cue(cue)) for cue in CUES},
        parts=tuple(parts),
    )


def with_cues(
    seams: Sequence[Seam], windows_start: Sequence[int], source: Measurement, edited: Measurement, report: SyncReport
) -> list[Seam]:
    """The same seams, each with the largest step of a cue across it.

    Args:
        seams: as the stitcher measured them.
        windows_start: the first frame of each one's overlap.
        source: the source.
        edited: the edit.
        report: tells which parts are evidence.
    """
    evident = [name for part in report.parts if part.evidence for name in PARTS[part.part][1]]
    steps = [(_steps(source.signals[name]), _steps(edited.signals[name]), source.signals[name].noise) for name in evident]
    found = []
    for seam, start in zip(seams, windows_start, strict=True):
        across = slice(max(0, start - 1), seam.frame)
        ratios = [float(b[across].max()) / max(float(a.max()), MIN_STEP * noise) for a, b, noise in steps if b[across].size]
        found.append(seam.model_copy(update={"cues": round(max(ratios), 3) if ratios else None}))
    return found


def _steps(signal: Signal) -> Doubles:
    """How far the smoothed signal goes from each frame to the next; 0 where it was not seen."""
    return np.asarray(np.where(signal.seen[1:] & signal.seen[:-1], np.abs(np.diff(smooth(signal.values))), 0.0))


def _part(part: Agreement, source: Measurement, edited: Measurement, rule: VerdictSettings) -> PartReport:
    frames = min(source.frames, edited.frames)
    names = PARTS[part.part][1]
    name = max(names, key=lambda one: max(_clearness(half.signals[one], frames) for half in (source, edited)))
    seen = source.signals[name].seen[:frames] & edited.signals[name].seen[:frames]
    tracks = [_track(half.signals[name], seen, rule.min_snr) for half in (source, edited)]
    return PartReport(
        part=part.part,
        cue=part.cue,
        signal=name,
        evidence=part.evidence,
        why=part.why,
        r=_number(part.r),
        lag_frames=_number(part.lag),
        gain=_number(part.gain),
        snr=_number(part.snr),
        visible=_number(part.visible),
        source=tracks[0],
        edited=tracks[1],
    )


def _clearness(signal: Signal, frames: int) -> float:
    seen = signal.seen[:frames]
    return float(smooth(signal.values[:frames])[seen].std() / signal.noise) if seen.any() else 0.0


def _track(signal: Signal, seen_t: NDArray[np.bool_], min_snr: float) -> tuple[float | None, ...]:
    """Smoothed, in standard deviations of the clip; a still signal is not blown up: its unit is at least what would be evidence."""
    values = smooth(signal.values[: len(seen_t)])
    if not seen_t.any():
        return (None,) * len(seen_t)
    unit = max(float(values[seen_t].std()), min_snr * signal.noise)
    standard = (values - values[seen_t].mean()) / unit
    return tuple(round(float(value), 3) if seen else None for value, seen in zip(standard, seen_t, strict=True))


def _number(value: float) -> float | None:
    """NaN has no place in JSON."""
    return round(value, 4) if math.isfinite(value) else None
