"""What a run writes about itself while it lasts: OUT/log/steps.jsonl, one object per step, and TensorBoard's files beside it.

A run that is taken up again cuts the log back to its checkpoint, so that the log is always one uninterrupted trace.
"""

import json
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from synclora.report.runlog import Step, read_steps


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
