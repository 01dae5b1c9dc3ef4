"""A run in a given time, taken up again later: what training the autoencoder and the transformer have in common.

work = Run(trainer, out, RunSettings(), recipe)     # a subclass says what is left beside a checkpoint
with stopping(work): work.train(minutes=60)
"""

import argparse
import json
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

from pydantic import Field

from synclora.errors import SyncLoraError
from synclora.settings import Settings
from synclora.train import checkpoint
from synclora.train.strategy import OptimizerState


class RunSettings(Settings):
    """What a run leaves behind, and when. Never changes what is computed."""

    checkpoint_minutes: float = Field(default=10.0, gt=0)
    keep: int = Field(default=2, ge=1)
    log_steps: int = Field(default=50, ge=1)


class Trains(Protocol):
    """What a run moves on."""

    steps: int

    def step(self) -> dict[str, float]:
        """One step; its figures."""

    def state(self) -> OptimizerState:
        """All of it."""


class Run(ABC):
    """One run's folder: what is written there, and when."""

    def __init__(self, trainer: Trains, out: Path, run: RunSettings, recipe: dict[str, Any]) -> None:
        self.out, self.run = out, run
        self._trains, self._recipe = trainer, recipe
        self._stop = False
        self._saved = trainer.steps if trainer.steps else -1

    def stop(self, *_signal: object) -> None:
        """End after the step under way."""
        self._stop = True

    def train(self, minutes: float, steps: int | None = None) -> None:
        """Train until the time is over, or so many steps are done in all."""
        if not self._trains.steps:
            self.save()  # what the start is worth
        begun = saved = time.monotonic()
        sums: dict[str, float] = {}
        counted, since = 0, begun
        while not self._stop and time.monotonic() - begun < 60 * minutes and (steps is None or self._trains.steps < steps):
            for name, value in self._trains.step().items():
                sums[name] = sums.get(name, 0.0) + value
            counted += 1
            now = time.monotonic()
            if self._trains.steps % self.run.log_steps == 0:
                mean = {name: round(total / counted, 5) for name, total in sums.items()}
                self.log({**mean, "seconds_per_step": round((now - since) / counted, 3)})
                sums, counted, since = {}, 0, now
            if now - saved >= 60 * self.run.checkpoint_minutes:
                self.save()
                saved = time.monotonic()
        self.save()

    def save(self) -> None:
        """A checkpoint, and what is left beside it; nothing if they are there."""
        if self._saved == self._trains.steps:
            return
        self._saved = self._trains.steps
        checkpoint.save(self.out / "checkpoints", self._trains.state(), self._recipe)
        checkpoint.sweep(self.out / "checkpoints", self.run.keep)
        self.log({name: round(value, 4) for name, value in self.leave().items()})

    @abstractmethod
    def leave(self) -> dict[str, float]:
        """Write what others use; returns figures for the log."""

    def log(self, facts: dict[str, Any]) -> None:
        """A line of OUT/log.jsonl, said too."""
        line = json.dumps({"step": self._trains.steps, "time": round(time.time()), **facts})
        with (self.out / "log.jsonl").open("a", encoding="utf-8") as file:
            file.write(line + "\n")
        print(line, flush=True)


def newest_of(out: Path, recipe: dict[str, Any], *, resume: bool) -> OptimizerState | None:
    """Where a run goes on from; None at its start.

    Raises:
        SyncLoraError: there is a checkpoint and no `resume`, the reverse, or one of another recipe.
    """
    found, _passed = checkpoint.newest(out / "checkpoints")
    if resume != (found is not None):
        remedy = "add --resume to go on, or choose a new folder" if found else "leave --resume out"
        raise SyncLoraError(f"--out {out}: {'holds' if found else 'holds no'} checkpoint{'s' if found else ''}; {remedy}")
    if found is None:
        return None
    if found.recipe != recipe:
        raise SyncLoraError(f"--out {out}: its checkpoint is of another recipe; give the same settings or a new folder")
    return found.load()


def add_arguments(parser: argparse.ArgumentParser, recipe: Path) -> None:
    """What both commands take.

    Args:
        parser: of the command.
        recipe: the default.
    """
    add = parser.add_argument
    add("--portraits", type=Path, required=True, metavar="DIR", help="folder with MANIFEST.json, clips/, pairs/, faces/")
    add("--out", type=Path, required=True, metavar="DIR", help="the run's folder")
    add(
        "--minutes",
        type=float,
        required=True,
        metavar="M",
        help="of training, from now; cutting and encoding clips is not counted",
    )
    add("--resume", action="store_true", help="go on from the newest checkpoint in --out")
    add("--recipe", type=Path, default=recipe, metavar="FILE", help="YAML of the settings (default: the shipped weights' own)")
    add("--steps", type=int, metavar="N", help="stop when so many steps are done in all, if the time is not over before")
    add("--checkpoint-minutes", type=float, default=10.0, metavar="M", help="between two checkpoints (default: 10)")
    one_trace = "of torch (default: its own choice); a resumed run equals one trace only at one number"
    add("--threads", type=int, default=0, metavar="N", help=one_trace)
    add("--verbose", action="store_true", help="say what is cut and encoded")


@contextmanager
def stopping(work: Run) -> Iterator[None]:
    """SIGTERM and Ctrl-C end the run after its step, with a checkpoint."""
    before = {}
    with suppress(ValueError):  # not in the main thread
        for number in (signal.SIGTERM, signal.SIGINT):
            before[number] = signal.signal(number, work.stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
