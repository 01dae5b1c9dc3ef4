"""What one video is worth beside its source: the curation scorer's r of every cue, under rules that a still picture cannot dodge.

    score = score_of(source, edited, first_stamp)
    score.cues["blink"], score.mean

Curation asks whether a pair may be trained on, so a cue that says nothing is left out. Here the source alone decides what is asked for:

1. A part of the body counts if it is evidence in the source beside itself: seen, and moving at least `min_snr` times its measuring noise.
   A cue none of whose parts count is None, and enters no mean.
2. Its value is the scorer's r of source and edit.
3. It is 0 where the edit does not move that part beyond the edit's own noise (a frozen picture has jitter, and jitter has some r), where the
   two together are no evidence, and where it is not seen in half of the frames. So all is 0 where no face is found.
4. A cue is the mean of its parts, the clip's figure the mean of its cues.
"""

import math
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from synclora.motion.measure import Measurement
from synclora.motion.settings import CUES, Cue, VerdictSettings
from synclora.motion.sync import Agreement, compare
from synclora.motion.verdict import edit_hold, edit_strength, judge


@dataclass(frozen=True)
class Score:
    """One video's figures. None is what could not be told.

    Attributes:
        cues: r by cue; None where the source says nothing.
        mean: of the cues that are asked for; None if there are none.
        raw: by part, the scorer's own r before rule 3.
        sync: curation's score of the pair.
        verdict: curation's.
        reason: its first objection, else "".
        lag: frames by which the edit is late.
        strength: distance of edit and source, 0 to 1; a copy is 0.
        first: distance of the video's first frame and the edited first frame.
        hold: of the edit in the first frame, the share that lasts.
        face: share of frames with a face.
    """

    cues: dict[Cue, float | None]
    mean: float | None
    raw: dict[str, float | None]
    sync: float | None
    verdict: str
    reason: str
    lag: float | None
    strength: float | None
    first: float | None
    hold: float | None
    face: float

    def figure(self, name: str) -> float | None:
        """A cue, or one of the numbers above, by name."""
        if name in CUES:
            return self.cues[name]
        value = 1.0 * (self.verdict == "kept") if name == "kept" else getattr(self, name)
        return None if value is None else float(value)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """The inverse of `dataclasses.asdict`."""
        return cls(**values)


def score_of(
    source: Measurement, edited: Measurement, first: NDArray[np.uint8] | None = None, rule: VerdictSettings | None = None
) -> Score:
    """Score a video.

    Args:
        source: the performance.
        edited: what should move as it does.
        first: (32, 32, 3), the stamp of the edited first frame.
        rule: curation's.
    """
    rule = rule or VerdictSettings()
    pair = {part.part: part for part in compare(source, edited, rule).parts}
    alone = {part.part: part for part in compare(edited, edited, rule).parts}
    values: dict[Cue, list[float]] = {}
    for asked in compare(source, source, rule).parts:
        if asked.evidence:
            values.setdefault(asked.cue, []).append(value_of(pair[asked.part], alone[asked.part]))
    cues: dict[Cue, float | None] = {cue: float(np.mean(values[cue])) if cue in values else None for cue in CUES}
    counted = [value for value in cues.values() if value is not None]
    judgement = judge(source, edited, rule)
    return Score(
        cues={cue: _number(value) for cue, value in cues.items()},
        mean=_number(float(np.mean(counted))) if counted else None,
        raw={name: _number(part.r) for name, part in pair.items()},
        sync=_number(judgement.sync.score) if judgement.sync else None,
        verdict=judgement.verdict.value,
        reason=judgement.reason.value if judgement.reason else "",
        lag=_number(judgement.sync.lag) if judgement.sync else None,
        strength=_number(edit_strength(source, edited)),
        first=None if first is None else _number(distance(first, edited.stamps[0])),
        hold=_number(edit_hold(source, edited)),
        face=edited.face_share,
    )


def value_of(pair: Agreement, alone: Agreement) -> float:
    """Rules 2 and 3 for one part that the source asks for.

    Args:
        pair: source against edit.
        alone: the edit against itself: whether it moves.
    """
    return pair.r if pair.evidence and alone.evidence else 0.0


def distance(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """Root mean square difference of two stamps, 0 to 1, as edit strength is measured."""
    return math.sqrt(float(((one.astype(np.float64) - other) ** 2).mean())) / 255


def _number(value: float | None) -> float | None:
    """NaN has no place in JSON."""
    return round(value, 4) if value is not None and math.isfinite(value) else None
