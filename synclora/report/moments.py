"""The frames worth looking at: where the halves differ most in the cue that decided, or move most where nothing did."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synclora.errors import Reason
from synclora.motion.settings import Cue
from synclora.report.curves import Curve, Doubles

MAX_MOMENTS = 4
_APART_S = 0.35
"""Moments of one cue stand at least this far apart: a blink is shown once."""

_ONE_SIDED = ("speech", "blink")
"""Cues with a direction: an open mouth and closed lids are the events, not their absence."""

_MOVES = {"speech": "mouth widest", "gaze": "farthest glance", "blink": "lids closed", "pose": "farthest pose"}
_DIFFERS = {"speech": "mouths differ", "gaze": "glances differ", "blink": "lids differ", "pose": "poses differ"}


@dataclass(frozen=True)
class Moment:
    """One frame to show.

    Attributes:
        frame: its number in both halves.
        label: what is to be seen.
        cue: the cue it is about; None for the picture as a whole.
    """

    frame: int
    label: str
    cue: Cue | None = None


def moments_of(row: dict[str, Any], curves: list[Curve], focus: str | None) -> list[Moment]:
    """Up to `MAX_MOMENTS`, in time order, without the first frame, which is always shown.

    Args:
        row: a manifest row.
        curves: its four curves.
        focus: the cue that decided; None if none did.
    """
    fps = float(row["fps"] or 1)
    found: list[Moment] = []
    if row["reason"] in (Reason.NO_FACE, Reason.FACE_LOST):
        found += _faceless(row)
    elif row["reason"] in (Reason.MISALIGNED, Reason.NO_EDIT, Reason.EDIT_FADES):
        found.append(Moment(int(row["frames"]) - 1, "last frame"))
    else:
        if row["reason"] == Reason.LATE and (row["local_at"] or -1) >= 0:
            found.append(Moment(int(row["local_at"]), "largest local delay"))
        decided = next((curve for curve in curves if curve.cue == focus), None)
        found += _differences(decided, fps) if decided else _movements(curves, fps)
    unique: list[Moment] = []
    for moment in found:
        if moment.frame > 0 and all(abs(moment.frame - other.frame) > 0.1 * fps for other in unique):
            unique.append(moment)
    return sorted(unique[:MAX_MOMENTS], key=lambda moment: moment.frame)


def _faceless(row: dict[str, Any]) -> Iterable[Moment]:
    """The middle of the longest stretch without a face, in the half that misses more of them."""
    lost = max(
        (~np.asarray(row[half]["speech_seen"], bool) for half in ("source_motion", "edited_motion")), key=lambda gone: gone.sum()
    )
    lost = lost[: row["frames"]]
    edges = np.flatnonzero(np.diff(np.concatenate([[0], lost.astype(np.int8), [0]]))).reshape(-1, 2)
    if edges.size:
        start, stop = max(edges.tolist(), key=lambda run: run[1] - run[0])
        yield Moment((start + stop - 1) // 2, "no face found")
    if not lost.all():
        yield Moment(int(np.flatnonzero(~lost)[-1]), "last face found")


def _differences(curve: Curve, fps: float) -> list[Moment]:
    height = np.where(curve.seen_t, np.abs(curve.source_t - curve.edited_t), -1.0)
    frames = _peaks(_inside(height), _apart(fps), MAX_MOMENTS - 1)
    return [Moment(frame, _DIFFERS[curve.cue], curve.cue) for frame in frames]


def _movements(curves: list[Curve], fps: float) -> list[Moment]:
    """The largest movement of each cue in turn, then the second of each: two cues often peak together."""
    turns = zip_longest(*(_peaks(_movement(curve), _apart(fps), MAX_MOMENTS) for curve in curves if curve.evidence))
    cues = [curve.cue for curve in curves if curve.evidence]
    return [Moment(at, _MOVES[cue], cue) for turn in turns for cue, at in zip(cues, turn, strict=True) if at is not None]


def _movement(curve: Curve) -> Doubles:
    """How far both halves are from rest."""
    both = (curve.source_t + curve.edited_t) / 2
    height = np.where(curve.seen_t, both if curve.cue in _ONE_SIDED else np.abs(both), -1.0)
    return _inside(height)


def _inside(height: Doubles) -> Doubles:
    """Without the clip's ends, where smoothing leans on one side and any curve may stray."""
    ends = min(3, len(height) // 4)
    inside = np.full(len(height), -1.0)
    inside[ends : len(height) - ends] = height[ends : len(height) - ends]
    return inside


def _apart(fps: float) -> int:
    return max(1, round(_APART_S * fps))


def _peaks(height: Doubles, apart: int, most: int) -> list[int]:
    left: NDArray[np.float64] = height.copy()
    peaks: list[int] = []
    while len(peaks) < most and left.max() > 0.25:  # a quarter of a standard deviation is no difference to look at
        at = int(left.argmax())
        peaks.append(at)
        left[max(0, at - apart) : at + apart + 1] = -1.0
    return peaks
