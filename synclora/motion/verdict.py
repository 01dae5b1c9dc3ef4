"""The rule that keeps a pair. It fits on one screen: see `judge`."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from synclora.errors import Reason
from synclora.motion.measure import Measurement
from synclora.motion.settings import VerdictSettings
from synclora.motion.signals import ARMS
from synclora.motion.sync import Agreement, Sync, compare

FPS_TOLERANCE = 0.01
"""Two rates nearer than this are one: 29.97 and 30 are, and so is a phone's uneven 29.8 beside its twin written at 30."""


class Verdict(StrEnum):
    """What becomes of an input. Kept + rejected + quarantined = inputs, always."""

    KEPT = "kept"
    REJECTED = "rejected"
    QUARANTINED = "quarantined"


@dataclass(frozen=True)
class Judgement:
    """A verdict with everything that led to it.

    Attributes:
        verdict: kept, rejected (judged and found wanting), or quarantined (could not be judged).
        reason: the first failed check; None for a kept pair.
        detail: every failed check with its value and limit, one line.
        sync: the agreement; None if it was not computed.
        edit: edit strength: root mean square difference of the halves' stamps, 0 (a copy) to 1.
        edit_hold: edit strength after the first frame over that of the first frame; NaN for a clip of one second.
        misalignment: how far the edited half's face and hands begin from the source's, in face and shoulder widths.
    """

    verdict: Verdict
    reason: Reason | None
    detail: str
    sync: Sync | None
    edit: float
    edit_hold: float
    misalignment: float

    @classmethod
    def unmeasured(cls, verdict: Verdict, reason: Reason, detail: str) -> "Judgement":
        """Of a pair whose videos were not looked at: quarantined, or rejected by what was known of it before it had any."""
        return cls(verdict, reason, detail, None, math.nan, math.nan, math.nan)


Finding = tuple[Reason, str]


def judge(source: Measurement, edited: Measurement, rule: VerdictSettings) -> Judgement:
    """Judge a pair.

    A source that cannot be judged (no face, two people), or halves that cannot be laid side by side (fps, length), quarantine the pair.
    Otherwise it is kept if nothing is found against it: the edit shows and starts aligned, something moves enough to be compared, nothing
    is late, every part that is evidence agrees by itself, and their mean does.
    """
    unfit = next(_unfit(source, edited, rule), None)
    if unfit:
        return Judgement.unmeasured(Verdict.QUARANTINED, *unfit)
    picture = edit_strength(source, edited), edit_hold(source, edited), first_frame_misalignment(source, edited)
    if edited.face_share < rule.min_face:
        reason = Reason.FACE_LOST if edited.face_share else Reason.NO_FACE
        detail = f"edited half shows a face in {edited.face_share:.0%} of frames, less than {rule.min_face:.0%}"
        return Judgement(Verdict.REJECTED, reason, detail, None, *picture)
    frames = min(source.frames, edited.frames)
    if frames < rule.min_frames:
        detail = f"{frames} frames are too few to compare, fewer than {rule.min_frames}"
        return Judgement(Verdict.REJECTED, Reason.NO_EVIDENCE, detail, None, *picture)
    sync = compare(source, edited, rule)
    findings = [*_against_edit(*picture, rule), *_against_sync(sync, rule)]
    if findings:
        return Judgement(Verdict.REJECTED, findings[0][0], "; ".join(detail for _, detail in findings), sync, *picture)
    return Judgement(Verdict.KEPT, None, "", sync, *picture)


def _unfit(source: Measurement, edited: Measurement, rule: VerdictSettings) -> Iterator[Finding]:
    if source.face_share == 0:
        yield Reason.NO_FACE, "no face in the source"
    if source.face_share < rule.min_face:
        yield Reason.FACE_LOST, f"source shows a face in {source.face_share:.0%} of frames, less than {rule.min_face:.0%}"
    for half, name in ((source, "source"), (edited, "edited half")):
        if half.second_face >= rule.second_face:
            yield Reason.TWO_FACES, f"{name} shows a second face {half.second_face:.2f} times as wide as the first"
    if abs(source.fps - edited.fps) > FPS_TOLERANCE * source.fps:
        yield Reason.FPS_MISMATCH, f"source has {source.fps:.3f} frames per second, edited half {edited.fps:.3f}"
    if abs(source.frames - edited.frames) > rule.max_trim_s * source.fps:
        yield Reason.LENGTH_MISMATCH, f"source has {source.frames} frames, edited half {edited.frames}: more than can be trimmed"


def _against_edit(edit: float, hold: float, misalignment: float, rule: VerdictSettings) -> Iterator[Finding]:
    if edit < rule.min_edit:
        yield Reason.NO_EDIT, f"edit strength {edit:.4f} < {rule.min_edit}: a copy of the source"
    elif hold < rule.min_edit_hold:
        yield Reason.EDIT_FADES, f"{hold:.0%} of the first frame's edit lasts, less than {rule.min_edit_hold:.0%}"
    if misalignment > rule.max_misalignment:
        yield Reason.MISALIGNED, f"first frames are {misalignment:.2f} face or shoulder widths apart > {rule.max_misalignment}"


def _against_sync(sync: Sync, rule: VerdictSettings) -> Iterator[Finding]:
    evident = [part for part in sync.parts if part.evidence]
    if not evident:
        stillness = ", ".join(f"{part.part} {part.why}" for part in sync.parts)
        yield Reason.NO_EVIDENCE, f"nothing moves enough to be compared ({stillness})"
        return
    if abs(sync.lag) > rule.max_lag_frames:
        yield Reason.LATE, f"edited half is {sync.lag:+.1f} frames late, more than {rule.max_lag_frames}"
    elif abs(sync.local_lag) > rule.max_local_lag_frames:
        yield Reason.LATE, f"edited half is {sync.local_lag:+.1f} frames late around frame {sync.local_at}"
    for part in evident:
        yield from _against_part(part, rule)
    if not 1 / rule.max_local_gain <= sync.local_gain <= rule.max_local_gain:
        yield Reason.SYNC, f"edited half moves {sync.local_gain:.2f} times as fast around frame {sync.local_gain_at}"
    if sync.score < rule.min_sync:
        yield Reason.SYNC, f"sync {sync.score:.2f} < {rule.min_sync}"


def _against_part(part: Agreement, rule: VerdictSettings) -> Iterator[Finding]:
    least = least_r(part, rule)
    if part.r < least:
        yield Reason(part.cue), f"{part.part} r {part.r:.2f} < {least:.2f}"
    elif not 1 / rule.max_gain <= part.gain <= rule.max_gain:
        yield Reason(part.cue), f"{part.part} moves {part.gain:.2f} times as far as in the source"


def least_r(part: Agreement, rule: VerdictSettings) -> float:
    """The r that a part must reach: the cue's limit, times what a perfect twin would reach through the part's noise."""
    return rule.min_r(part.cue) * part.ceiling


def edit_strength(source: Measurement, edited: Measurement) -> float:
    """Root mean square difference of the stamps, 0..1. A copy is 0, a copy re-encoded at CRF 32 about .006, thin glasses about .02."""
    return float(np.sqrt((_difference_n(source, edited) ** 2).mean()))


def edit_hold(source: Measurement, edited: Measurement) -> float:
    """Median edit strength of the later seconds over the first frame's: about 1 when the edit lasts, near 0 when the source comes back."""
    first, *later = _difference_n(source, edited)
    return float(np.median(later) / first) if later and first > 0 else math.nan


def _difference_n(source: Measurement, edited: Measurement) -> NDArray[np.float64]:
    """Root mean square difference of each of the n pairs of stamps, 0..1."""
    stamps = min(len(source.stamps), len(edited.stamps))
    difference = source.stamps[:stamps].astype(np.float64) - edited.stamps[:stamps].astype(np.float64)
    return np.asarray(np.sqrt((difference**2).mean((1, 2, 3))) / 255)


def first_frame_misalignment(source: Measurement, edited: Measurement) -> float:
    """How far apart the halves begin: the larger of the face's distance, in face widths, and the farthest hand's, in shoulder widths.

    The face's is the mean over eleven points of the first frame, so that it counts a shift, a scale and a turned head alike. A hand's is the
    median over the first frames, where both halves show it, less what the measuring noise of both explains (three sigma).
    """
    width = float(np.linalg.norm(source.first_face_kc[2] - source.first_face_kc[3]))
    if not width > 0 or not np.isfinite(edited.first_face_kc).all():
        return math.nan
    face = float(np.linalg.norm(source.first_face_kc - edited.first_face_kc, axis=-1).mean()) / width
    return max(face, *(_hand_distance(source, edited, side) for side in ARMS))


def _hand_distance(source: Measurement, edited: Measurement, side: str) -> float:
    first = slice(0, 5)
    square = 0.0
    for name in (f"{side}_wrist_x", f"{side}_wrist_y"):
        a, b = source.signals[name], edited.signals[name]
        if not (a.seen[first].all() and b.seen[first].all()):
            return 0.0
        explained = 3 * math.hypot(a.noise, b.noise)
        square += max(0.0, abs(float(np.median(a.values[first]) - np.median(b.values[first]))) - explained) ** 2
    return math.sqrt(square)
