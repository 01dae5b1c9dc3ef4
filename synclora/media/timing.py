"""Timestamps to a constant grid: which frame is shown at time k / fps, and at what fps.

    plan([0, 512, 1024], Fraction(1, 12800), (Fraction(25),))    # constant: every frame once

The rule. A video is constant when some rate puts every frame within a tenth of a step of its place k / fps; then every
frame is delivered exactly once. Otherwise it is variable: the rate is the average, rounded to a standard rate within 2 %
(else to 1/100 fps), and at time k / fps the last frame whose timestamp is at most half a step later is shown. So a
frame may be repeated or left out, and the delivered video keeps the clock of the file.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from statistics import median

STANDARD_RATES = tuple(
    sorted(
        [Fraction(rate) for rate in (8, 10, 12, 12.5, 15, 20, 24, 25, 30, 48, 50, 60, 90, 100, 120)]
        + [Fraction(rate * 1000, 1001) for rate in (12, 15, 24, 30, 48, 60, 120)]
    )
)
OFF_GRID = 0.1  # of a step: millisecond timestamps (Matroska) are off by 0.06 of a step at 120 fps
SNAP = Fraction(2, 100)  # a dropped frame or a phone's drift keeps the average within this of the nominal rate


@dataclass(frozen=True)
class Timeline:
    """What to deliver.

    Attributes:
        fps: frames per second of the delivered video.
        variable: whether frames were repeated or left out to reach a constant rate.
        times_shown: for each decoded frame, in presentation order, how often it is delivered.
    """

    fps: Fraction
    variable: bool
    times_shown: tuple[int, ...]

    @property
    def frames(self) -> int:
        """How many frames are delivered."""
        return sum(self.times_shown)


def plan(pts: Sequence[int | None], time_base: Fraction, declared: Sequence[Fraction]) -> Timeline | None:
    """The timeline of a video, or None when neither timestamps nor the header give a rate.

    Args:
        pts: presentation timestamps in any order; a stream with any of them missing is taken as constant.
        time_base: seconds per tick.
        declared: rates the header gives, the most trusted first.
    """
    known = sorted(stamp for stamp in pts if stamp is not None)
    once = (1,) * len(pts)
    if len(known) < len(pts) or len(known) < 2 or known[0] == known[-1]:
        return Timeline(declared[0], False, once) if declared else None
    seconds = [float((stamp - known[0]) * time_base) for stamp in known]
    average = (len(known) - 1) / ((known[-1] - known[0]) * time_base)
    for rate in (*declared, *_standards_near(average), average.limit_denominator(1001), average):
        if _fits(seconds, float(rate)):
            return Timeline(rate, False, once)
    near = _standards_near(average)
    fps = near[0] if near else Fraction(round(average * 100), 100)
    return Timeline(fps, True, _times_shown(seconds, float(fps))) if fps > 0 else None


def _standards_near(average: Fraction) -> list[Fraction]:
    near = [rate for rate in STANDARD_RATES if abs(rate - average) <= SNAP * average]
    return sorted(near, key=lambda rate: abs(rate - average))


def _fits(seconds: Sequence[float], fps: float) -> bool:
    """Whether every frame is within a tenth of a step of the grid that fits best."""
    offsets = [time * fps - index for index, time in enumerate(seconds)]
    middle = median(offsets)
    return all(abs(offset - middle) <= OFF_GRID for offset in offsets)


def _times_shown(seconds: Sequence[float], fps: float) -> tuple[int, ...]:
    shown = [0] * len(seconds)
    for k in range(int(seconds[-1] * fps + 0.5) + 1):
        shown[bisect_right(seconds, (k + 0.5) / fps) - 1] += 1
    return tuple(shown)
