"""The log of a training run, read back: OUT/log/steps.jsonl, one object per step.

for step in read_steps(out):
    print(step["step"], step["loss"])

`synclora.train.watch` writes it.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TypedDict


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
