"""How far an edit is, and how it is stopped. Imports no torch."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Stage = Literal["preparing", "encoding", "sampling", "decoding", "measuring", "storing"]


@dataclass(frozen=True)
class Progress:
    """One report of an edit under way.

    Attributes:
        stage: what is being done.
        step: sampling steps done, over all windows of this attempt.
        steps: of how many; 0 while that is not known.
        window: of the clip, counted from 0.
        windows: of how many.
        attempt: seed under way, counted from 1.
    """

    stage: Stage
    step: int = 0
    steps: int = 0
    window: int = 0
    windows: int = 1
    attempt: int = 1


OnProgress = Callable[[Progress], None]
"""Called before each stage, after each sampling step and at every window; whatever it raises ends the edit at once and comes through."""


class Stopped(Exception):
    """No error: raised by an `OnProgress` to end an edit that nobody wants any more."""


def ignore(progress: Progress) -> None:
    """The `OnProgress` of who does not want to know."""
