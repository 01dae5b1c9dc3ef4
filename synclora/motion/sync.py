"""Two measurements to their agreement: how well the edited half moves as the source does, part by part, and with which delay.

Every signal is first divided by its own measuring noise. In that unit a still signal is close to 0 and cannot dominate, several signals of
one part (the three angles of a head) add up without weights, and "does it move?" is a number: the signal-to-noise ratio.

Shapes: s signals, t frames.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from synclora.motion.measure import Measurement
from synclora.motion.settings import Cue, VerdictSettings
from synclora.motion.signals import PARTS, smooth

Doubles = NDArray[np.float64]

MAX_LAG_S = 0.5
"""Delays are searched this far to both sides: half a second, two syllables."""

WINDOW_S = 1.4
"""Length of the windows of the local delay: holds one blink and several syllables."""

LAG_MARGIN = 0.05
"""A delay counts when it fits by so much better than none: slow motion fits almost as well a few frames off, and noise then picks.
Of twins in windows of 57 frames the false delays had .01, of true shifts of 2 frames 99 % had .06 and more."""

_BOOTSTRAPS = 200
_BLOCK_S = 0.4


@dataclass(frozen=True)
class Agreement:
    """One part of the body, source against edited.

    Attributes:
        part: a key of `synclora.motion.signals.PARTS`.
        cue: the cue it belongs to.
        evidence: whether the part says anything: it moves beyond its noise in one half and is seen in both.
        why: without evidence, the reason: "hidden" or "still".
        r: correlation of the two halves over the signals that move, in noise units; NaN without evidence.
        snr: the clearest signal's movement over its noise.
        gain: how far the edited half moves over how far the source moves; NaN without evidence.
        visible: share of frames in which the part is seen in both halves.
        lag: frames by which the edited half is late, by this part alone; NaN without evidence.
    """

    part: str
    cue: Cue
    evidence: bool
    why: str
    r: float
    snr: float
    gain: float
    visible: float
    lag: float

    @property
    def ceiling(self) -> float:
        """The r that a perfect twin reaches through this much noise (Spearman's attenuation): .90 at a ratio of 3, .99 at 10."""
        return self.snr**2 / (1 + self.snr**2)


@dataclass(frozen=True)
class Sync:
    """The agreement of a whole pair.

    Attributes:
        parts: every part of the chosen cues.
        score: mean of the cues that have evidence, a cue being the mean of its parts; NaN if none has.
        low: lower end of the score's 90 % interval (block bootstrap over time).
        high: upper end.
        lag: frames by which the edited half is late, over all parts together; NaN without evidence.
        local_lag: the largest delay, in frames, of any stretch of `WINDOW_S` that moves enough to tell.
        local_at: the frame in the middle of that stretch; -1 if there is none.
        local_gain: of all stretches that move, the one whose movement differs most between the halves: edited over source.
        local_gain_at: the frame in the middle of that one; -1 if nothing moves.
    """

    parts: tuple[Agreement, ...]
    score: float
    low: float
    high: float
    lag: float
    local_lag: float
    local_at: int
    local_gain: float
    local_gain_at: int

    def cue(self, cue: Cue) -> float:
        """Mean agreement of the cue's parts that have evidence; NaN if none has."""
        rs = [part.r for part in self.parts if part.cue == cue and part.evidence]
        return float(np.mean(rs)) if rs else float("nan")


@dataclass(frozen=True)
class _Moving:
    """The signals of a part that move, both halves in noise units: positions (centred) and speeds, zero where unseen."""

    source_st: Doubles
    edited_st: Doubles
    source_speed_st: Doubles
    edited_speed_st: Doubles


def compare(source: Measurement, edited: Measurement, rule: VerdictSettings) -> Sync:
    """Compare two halves frame by frame, over the length of the shorter one."""
    frames, fps = min(source.frames, edited.frames), source.fps
    reach = max(2, min(round(MAX_LAG_S * fps), frames // 4))
    agreements: list[Agreement] = []
    moving: list[_Moving] = []
    for part, (cue, _signals) in PARTS.items():
        if cue in rule.cues:
            agreement, signals = _compare_part(part, source, edited, frames, reach, rule)
            agreements.append(agreement)
            moving += [signals] if signals else []
    if not moving:
        nan = float("nan")
        return Sync(tuple(agreements), nan, nan, nan, nan, nan, -1, nan, -1)
    speeds = np.concatenate([m.source_speed_st for m in moving]), np.concatenate([m.edited_speed_st for m in moving])
    low, high = _interval([a for a in agreements if a.evidence], moving, max(2, round(_BLOCK_S * fps)))
    windows = _windows(*speeds, round(WINDOW_S * fps))
    return Sync(
        tuple(agreements),
        _score(agreements),
        low,
        high,
        _lag(*speeds, reach),
        *_local_lag(*speeds, windows, reach),
        *_local_gain(*speeds, windows),
    )


def _compare_part(
    part: str, source: Measurement, edited: Measurement, frames: int, reach: int, rule: VerdictSettings
) -> tuple[Agreement, _Moving | None]:
    cue, names = PARTS[part]
    halves = [[half.signals[name] for name in names] for half in (source, edited)]
    seen = np.all([signal.seen[:frames] for half in halves for signal in half], axis=0)
    visible = float(seen.mean())
    nan = float("nan")
    if visible < rule.min_visible:
        return Agreement(part, cue, False, "hidden", nan, 0.0, nan, visible, nan), None
    smoothed = [smooth(np.stack([signal.values[:frames] for signal in half])) for half in halves]
    values = [np.where(seen, half - half[:, seen].mean(-1, keepdims=True), 0.0) for half in smoothed]
    noise = np.array([[signal.noise for signal in half] for half in halves])
    movement = np.sqrt(np.maximum(0.0, (np.stack(values)[..., seen] ** 2).mean(-1) - noise**2)).max(axis=0)
    snr = movement / noise.max(axis=0)
    moves = snr >= rule.min_snr
    if not moves.any():
        return Agreement(part, cue, False, "still", nan, float(snr.max()), nan, visible, nan), None
    unit = noise.max(axis=0)[moves, None]
    a, b = (half[moves] / unit for half in values)
    speeds = [np.where(seen[1:] & seen[:-1], np.diff(half[moves] / unit), 0.0) for half in smoothed]
    lag = _lag(speeds[0], speeds[1], reach)
    gain = float(np.sqrt((b**2).sum() / max(float((a**2).sum()), 1e-12)))
    agreement = Agreement(part, cue, True, "", _r(a, b), float(snr.max()), gain, visible, lag)
    return agreement, _Moving(a, b, speeds[0], speeds[1])


def _r(a_st: Doubles, b_st: Doubles) -> float:
    """Correlation pooled over signals: the cosine of the two halves in noise units."""
    energy = float(np.sqrt((a_st**2).sum() * (b_st**2).sum()))
    return float((a_st * b_st).sum()) / energy if energy > 0 else 0.0


def _score(agreements: Sequence[Agreement]) -> float:
    cues: dict[Cue, list[float]] = {}
    for agreement in agreements:
        if agreement.evidence:
            cues.setdefault(agreement.cue, []).append(agreement.r)
    return float(np.mean([np.mean(rs) for rs in cues.values()]))


def _lag(a: Doubles, b: Doubles, reach: int, window: slice = slice(0, None), fit: float = 0.0) -> float:
    """Delay of b behind a in frames, to a fraction, of speeds (s, t); 0 unless it fits by `fit`, and clearly better than no delay.

    Speeds are compared, not positions: a slow drift correlates at every delay, its speed at one. The best whole delay is refined by a
    parabola through its neighbours.
    """
    frames = a.shape[1]
    start, stop, _step = window.indices(frames)
    delays = np.arange(-reach, reach + 1)
    match = np.zeros(len(delays))
    for i, delay in enumerate(delays):
        low, high = max(start, -delay), min(stop, frames - delay)
        if high - low >= min(8, stop - start):
            match[i] = _r(a[:, low:high], b[:, low + delay : high + delay])
    best = int(match.argmax())
    if match[best] < fit or (best != reach and match[best] - match[reach] < LAG_MARGIN):
        return 0.0
    lag = float(delays[best])
    if 0 < best < len(delays) - 1:
        before, peak, after = match[best - 1 : best + 2]
        curve = before - 2 * peak + after
        lag += 0.5 * (before - after) / curve if curve < 0 else 0.0
    return float(lag)


def _windows(a: Doubles, b: Doubles, window: int) -> list[slice]:
    """Stretches that overlap by half, the last one flush with the end, in which one half moves at least half as fast as on average."""
    speed = np.maximum((a**2).sum(0), (b**2).sum(0))
    last = max(0, len(speed) - window)
    starts = sorted({*range(0, last, max(1, window // 2)), last})
    return [slice(start, start + window) for start in starts if speed[start : start + window].mean() >= 0.25 * speed.mean()]


def _local_lag(a: Doubles, b: Doubles, windows: Sequence[slice], reach: int) -> tuple[float, int]:
    """The largest delay of any window, and that window's middle."""
    worst, at = 0.0, -1
    for window in windows:
        lag = _lag(a, b, reach, window, fit=0.8)
        if abs(lag) > abs(worst):
            worst, at = lag, (window.start + window.stop) // 2
    return worst, at


def _local_gain(a: Doubles, b: Doubles, windows: Sequence[slice]) -> tuple[float, int]:
    """The window whose speeds differ most between the halves: edited over source, and its middle."""
    worst, at = 1.0, -1
    for window in windows:
        gain = float(np.sqrt((b[:, window] ** 2).sum() / max(float((a[:, window] ** 2).sum()), 1e-12)))
        if at < 0 or abs(np.log(max(gain, 1e-6))) > abs(np.log(max(worst, 1e-6))):
            worst, at = gain, (window.start + window.stop) // 2
    return worst, at


def _interval(agreements: Sequence[Agreement], moving: Sequence[_Moving], block: int) -> tuple[float, float]:
    """5th and 95th percentile of the score when blocks of time are drawn anew, with replacement and a fixed seed."""
    frames = moving[0].source_st.shape[1]
    starts = np.arange(0, max(1, frames - block // 2), block)

    def sums(product_st: Doubles) -> Doubles:
        return np.asarray(np.add.reduceat(product_st.sum(0), starts))

    draws = np.random.default_rng(0).integers(0, len(starts), (_BOOTSTRAPS, len(starts)))
    by_cue: dict[Cue, list[Doubles]] = {}
    for agreement, m in zip(agreements, moving, strict=True):
        ab, aa, bb = (sums(x * y)[draws].sum(1) for x, y in ((m.source_st, m.edited_st), (m.source_st,) * 2, (m.edited_st,) * 2))
        by_cue.setdefault(agreement.cue, []).append(ab / np.sqrt(np.maximum(aa * bb, 1e-12)))
    scores = np.mean([np.mean(rs, axis=0) for rs in by_cue.values()], axis=0)
    low, high = np.percentile(scores, (5, 95))
    return float(low), float(high)
