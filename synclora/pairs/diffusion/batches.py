"""Calls of a model in batches that shrink when memory ends, and in which one bad order does not take the others with it.

    batches = Batches(4, "video")
    for made in batches.run(len(orders), lambda numbers: model.make([orders[n] for n in numbers])):
        ...                                # one for every order, as they are finished

A batch that ran out of memory is halved, for this one and all that follow. A batch that fails for another reason is repeated one by one.
"""

import gc
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from synclora.command import one_line
from synclora.errors import MediaError, Reason, SyncLoraError, is_out_of_memory

Array = NDArray[np.float32]
Call = Callable[[Sequence[int]], Sequence[Array]]
"""Numbers of orders to what was made of them, in their order. Raises whatever a pipeline raises."""


@dataclass(frozen=True)
class Made:
    """What became of one order.

    Attributes:
        number: of the order.
        array: what was made, unless there is a problem.
        problem: why nothing was made.
        batch: orders in the call that made it.
        seconds: its share of that call.
        spent_s: its share of all calls that it was part of, failed ones included.
        notes: what happened that a user should read.
    """

    number: int
    array: Array | None
    problem: MediaError | None
    batch: int
    seconds: float
    spent_s: float
    notes: tuple[str, ...]


@dataclass
class Batches:
    """Holds the size that memory suffices for.

    Attributes:
        size: orders per call, at most.
        name: of what is made, for notes.
    """

    size: int
    name: str
    _spent: dict[int, float] = field(default_factory=dict)
    _notes: dict[int, list[str]] = field(default_factory=dict)

    def run(self, orders: int, call: Call) -> Iterator[Made]:
        """Every order once, as they are finished.

        Raises:
            SyncLoraError: the call raised one that is no `MediaError`: the model cannot be used at all.
        """
        self._spent, self._notes = {}, {}
        waiting = deque(range(orders))
        while waiting:
            chunk = [waiting.popleft() for _ in range(min(self.size, len(waiting)))]
            outcome = self._outcome(chunk, call)
            if isinstance(outcome, _Failed) and len(chunk) > 1 and outcome.memory:
                self._shrink(chunk)
                waiting.extendleft(reversed(chunk))
            elif isinstance(outcome, _Failed) and len(chunk) > 1:
                for number in chunk:
                    yield self._made(number, 1, self._outcome([number], call))
            else:
                for place, number in enumerate(chunk):
                    yield self._made(number, len(chunk), outcome, place)

    def _outcome(self, chunk: Sequence[int], call: Call) -> "_Done | _Failed":
        begun = time.monotonic()
        try:
            arrays = list(call(chunk))
            if len(arrays) != len(chunk):
                raise RuntimeError(f"{len(arrays)} results for {len(chunk)} orders")
            outcome: _Done | _Failed = _Done(arrays)
        except MediaError as error:
            outcome = _Failed(error.reason, error.detail)
        except SyncLoraError:
            raise
        except Exception as error:  # whatever a pipeline has against its input; kept as words: the error holds the card's memory
            memory = is_out_of_memory(error)
            outcome = _Failed(Reason.OUT_OF_MEMORY if memory else Reason.CRASHED, f"{type(error).__name__}: {one_line(error)}")
        outcome.seconds = (time.monotonic() - begun) / len(chunk)
        for number in chunk:
            self._spent[number] = self._spent.get(number, 0.0) + outcome.seconds
        if isinstance(outcome, _Failed) and outcome.memory:
            _free()
        return outcome

    def _made(self, number: int, batch: int, outcome: "_Done | _Failed", place: int = 0) -> Made:
        array, problem = None, None
        if isinstance(outcome, _Done):
            array = outcome.arrays[place]
        else:
            problem = MediaError(outcome.reason, outcome.detail)
        notes = tuple(self._notes.get(number, ()))
        return Made(number, array, problem, batch, outcome.seconds, self._spent[number], notes)

    def _shrink(self, chunk: Sequence[int]) -> None:
        size = len(chunk) // 2
        note = f"{self.name}: batch {len(chunk)} to {size}, out of memory on {os.uname().nodename}"
        self._notes.setdefault(chunk[0], []).append(note)
        self.size = size


@dataclass
class _Done:
    arrays: list[Any]
    seconds: float = 0.0


@dataclass
class _Failed:
    reason: Reason
    detail: str
    seconds: float = 0.0

    @property
    def memory(self) -> bool:
        return self.reason is Reason.OUT_OF_MEMORY


def _free() -> None:
    """Give back what the failed call still holds on the card."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
