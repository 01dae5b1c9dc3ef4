"""Batches shrink for good when memory ends; a bad order is alone with its failure."""

from collections.abc import Sequence

import numpy as np
import pytest

from synclora.errors import MediaError, Reason, SyncLoraError
from synclora.pairs.diffusion.batches import Batches


class Calls:
    """Makes the number itself; fails as told."""

    def __init__(self, memory: int = 99, bad: dict[int, Exception] | None = None) -> None:
        self.memory, self.bad, self.seen = memory, bad or {}, list[list[int]]()

    def __call__(self, numbers: Sequence[int]) -> list[np.ndarray]:
        self.seen.append(list(numbers))
        if len(numbers) > self.memory:
            raise MemoryError
        for number in numbers:
            if number in self.bad:
                raise self.bad[number]
        return [np.full(1, number, np.float32) for number in numbers]


def test_full_batches_in_order():
    calls = Calls()
    made = list(Batches(4, "video").run(10, calls))
    assert calls.seen == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert [(one.number, float(one.array[0]), one.batch) for one in made] == [(n, n, 4 if n < 8 else 2) for n in range(10)]
    assert all(one.spent_s == one.seconds >= 0 and not one.notes for one in made)


def test_out_of_memory_halves_for_good_and_says_so_once():
    calls, batches = Calls(memory=1), Batches(4, "video")
    made = list(batches.run(4, calls))
    assert calls.seen == [[0, 1, 2, 3], [0, 1], [0], [1], [2], [3]]
    assert [one.problem for one in made] == [None] * 4
    assert [note.split(" on ")[0] for note in made[0].notes] == [
        "video: batch 4 to 2, out of memory",
        "video: batch 2 to 1, out of memory",
    ]
    assert not any(one.notes for one in made[1:])
    assert made[0].spent_s > made[0].seconds
    assert [one.batch for one in batches.run(2, calls)] == [1, 1]
    assert calls.seen[-2:] == [[0], [1]]


def test_alone_and_out_of_memory_is_the_orders_end():
    (made,) = Batches(4, "video").run(1, Calls(memory=0))
    assert made.problem
    assert made.problem.reason is Reason.OUT_OF_MEMORY
    assert made.array is None


def test_a_bad_order_does_not_take_the_others():
    calls, batches = Calls(bad={1: ValueError("a strange\nprompt"), 2: MediaError(Reason.MISSING, "gone")}), Batches(4, "video")
    made = list(batches.run(5, calls))
    assert calls.seen == [[0, 1, 2, 3], [0], [1], [2], [3], [4]]
    assert [one.problem and (one.problem.reason, one.problem.detail) for one in made] == [
        None,
        (Reason.CRASHED, "ValueError: a strange prompt"),
        (Reason.MISSING, "gone"),
        None,
        None,
    ]
    assert batches.size == 4


def test_too_few_results_are_nobodys():
    made = list(Batches(2, "video").run(2, lambda numbers: [np.zeros(1, np.float32)] * (len(numbers) + 1)))
    assert [one.problem and one.problem.detail for one in made] == ["RuntimeError: 2 results for 1 orders"] * 2


def test_a_model_that_cannot_be_used_ends_the_run():
    with pytest.raises(SyncLoraError, match="no such class"):
        list(Batches(2, "video").run(2, Calls(bad={1: SyncLoraError("no such class")})))
