"""The interface of a source of pairs: an object that yields rows, and makes a row's files when asked.

for pair in FolderPairs("shoots/may").rows():
    pair = source.materialise(pair, scratch)     # readers: nothing to do; the puppet renders, a remote file is fetched
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from synclora.errors import Reason
from synclora.media.view import Half as Half
from synclora.media.view import View as View


@dataclass(frozen=True)
class Pair:
    """One row: a source video and its edited twin, as paths.

    Attributes:
        name: what people call it; rows are ordered by it.
        source: the video as filmed (the trainers' `reference_video`).
        edited: the same performance, edited (the trainers' `video`).
        caption: the edit in words, or the constant token of a set without captions.
        truth: JSON of what is known of the pair (puppet script and defect), or "".
        problem: set by the reader when the row is unusable as listed (a half missing, a bad table row); then nothing is
            opened and the row is quarantined.
        detail: one line on the problem.
        rejected: the problem is a verdict on the pair (its edit shows nothing): the row is rejected, not quarantined.
    """

    name: str
    source: View
    edited: View
    caption: str = ""
    truth: str = ""
    problem: Reason | None = None
    detail: str = ""
    rejected: bool = False

    def failed(self, problem: Reason, detail: str) -> "Pair":
        """The same row, marked as unusable."""
        return replace(self, problem=problem, detail=detail)


class PairSource(Protocol):
    """Where pairs come from."""

    def rows(self) -> list[Pair]:
        """All pairs, cheaply and in a stable order: no video is opened, nothing is rendered."""
        ...

    def materialise(self, pair: Pair, scratch: Path) -> Pair:
        """Make the pair's files exist as local paths and return the pair that names them.

        Called inside a worker, once per run and pair; must be safe to repeat (temporary name, then rename).

        Raises:
            MediaError: the files cannot be had.
        """
        ...
