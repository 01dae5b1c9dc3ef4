"""Tells how far an edit is, and how long each stage took."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TypeVar

from synclora.edit.progress import OnProgress, Progress, Stage

_EVERY = 8  # frames between two reports while videos are read: a fraction of a second

T = TypeVar("T")


class Teller:
    """The one place where an edit calls its `OnProgress`."""

    def __init__(self, on_progress: OnProgress) -> None:
        self._on_progress = on_progress
        self._now = Progress("preparing")
        self._since = time.perf_counter()
        self._took: dict[str, float] = {}

    def plan(self, windows: int, steps: int) -> None:
        """What is known now: so many windows of so many steps in each attempt."""
        self._now = replace(self._now, windows=windows, steps=windows * steps)

    def attempt(self, number: int) -> None:
        """The next seed, counted from 1."""
        self._now = replace(self._now, attempt=number, step=0, window=0)

    def stage(self, stage: Stage, window: int | None = None) -> None:
        """A stage begins."""
        self._clock()
        self._now = replace(self._now, stage=stage, window=self._now.window if window is None else window)
        self.tick()

    def step(self) -> None:
        """A sampling step was done."""
        self._now = replace(self._now, step=self._now.step + 1)
        self.tick()

    def tick(self) -> None:
        """A chance to be stopped."""
        self._on_progress(self._now)

    def ticking(self, items: Iterable[T]) -> Iterator[T]:
        """The same items, with a chance to be stopped every few of them."""
        for number, item in enumerate(items, start=1):
            if number % _EVERY == 0:
                self.tick()
            yield item

    def took(self) -> dict[str, float]:
        """Seconds by stage."""
        self._clock()
        return {stage: round(seconds, 3) for stage, seconds in self._took.items()}

    def _clock(self) -> None:
        now = time.perf_counter()
        self._took[self._now.stage] = self._took.get(self._now.stage, 0.0) + now - self._since
        self._since = now
