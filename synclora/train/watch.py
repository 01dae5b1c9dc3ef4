"""What a run writes about itself while it lasts: OUT/log/steps.jsonl, one object per step, and TensorBoard's files beside it.

A run that is taken up again cuts the log back to its checkpoint, so that the log is always one uninterrupted trace.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self, TypedDict


class Step(TypedDict):
    """One line of the log.

    Attributes:
        step: its number, from 1.
        loss: mean over the batch.
        losses: of each sample.
        sigmas: each sample's noise level.
        grad_norm: before the gradient was cut.
        lr: learning rate.
        seconds: wall time.
        tokens: of all workers' sequences.
        memory_mb: peak of each worker so far: on its card, or on the host.
        time: seconds since 1970.
        ceiling_s: seconds of the bare transformer for a worker's part; None where it was not measured.
    """

    step: int
    loss: float
    losses: list[float]
    sigmas: list[float]
    grad_norm: float
    lr: float
    seconds: float
    tokens: int
    memory_mb: list[float]
    time: float
    ceiling_s: float | None


def read_steps(out: Path) -> Iterator[Step]:
    """The steps of a log in order; a line that was torn by a kill ends it."""
    path = out / "log" / "steps.jsonl"
    if not path.exists():
        return
    with path.open(encoding="utf-8") as file:
        for line in file:
            try:
                yield json.loads(line)
            except ValueError:
                return


class Log:
    """Writes a run's steps. Worker 0's alone.

    Args:
        out: the run's folder.
        done: steps that the run goes on from; later lines are of a life that is over and go.
    """

    def __init__(self, out: Path, done: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        folder = out / "log"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "steps.jsonl"
        kept = [step for step in read_steps(out) if step["step"] <= done]
        scratch = folder / ".steps.jsonl.part"
        scratch.write_text("".join(f"{json.dumps(step)}\n" for step in kept), encoding="utf-8")
        scratch.replace(path)
        self._file = path.open("a", encoding="utf-8")
        self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=done + 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def write(self, step: Step) -> None:
        """One step."""
        self._file.write(f"{json.dumps(step)}\n")
        self._file.flush()
        scalars = {"loss": step["loss"], "grad_norm": step["grad_norm"], "lr": step["lr"], "seconds": step["seconds"]}
        for name, value in (scalars | {"tokens_per_second": step["tokens"] / step["seconds"]}).items():
            self._board.add_scalar(f"train/{name}", value, step["step"])

    def validated(self, step: int, scalars: dict[str, float]) -> None:
        """What a validation gave."""
        for name, value in scalars.items():
            self._board.add_scalar(f"validation/{name}", value, step)

    def close(self) -> None:
        """Flush and close."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._board.close()
