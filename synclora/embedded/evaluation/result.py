"""One measured video, as the tables take it."""

from dataclasses import dataclass
from pathlib import Path

from synclora.embedded.evaluation.score import Score
from synclora.embedded.evaluation.sets import Clip


@dataclass(frozen=True)
class Result:
    """One video's score.

    Attributes:
        clip: of which clip.
        condition: how it was made.
        seed: of sampling.
        score: its figures.
        video: where it lies.
        reference: the source beside it.
        seconds: that making it took.
    """

    clip: Clip
    condition: str
    seed: int
    score: Score
    video: Path
    reference: Path
    seconds: float
