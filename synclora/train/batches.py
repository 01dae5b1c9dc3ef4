"""Which samples a step trains on, as a function of the step alone.

Nothing is remembered between steps: a resumed run, or one on another number of workers, sees the same samples with the same noise.

    plan = Plan(shapes, batch=4, seed=0)
    plan.batch(17)        # indices into the samples, for step 17 (counted from 0)
"""

import hashlib
from collections.abc import Hashable, Sequence

import numpy as np


class Plan:
    """An endless list of batches over samples in fixed order.

    In every epoch each sample comes once; a batch holds samples of one shape, and where a shape's samples do not fill its last batch, that one
    starts over with the epoch's first of the same shape.

    Args:
        shapes: each sample's shape; samples of equal shape can share a batch.
        batch: samples of one step.
        seed: of the order.
    """

    def __init__(self, shapes: Sequence[Hashable], batch: int, seed: int) -> None:
        groups: dict[Hashable, list[int]] = {}
        for index, shape in enumerate(shapes):
            groups.setdefault(shape, []).append(index)
        self._groups = list(groups.values())
        self._batch, self._seed = batch, seed
        self._epoch: tuple[int, list[list[int]]] = (-1, [])

    @property
    def steps_per_epoch(self) -> int:
        """Batches of one epoch."""
        return sum(-(-len(group) // self._batch) for group in self._groups)

    def batch(self, step: int) -> list[int]:
        """The samples of a step, counted from 0."""
        epoch, place = divmod(step, self.steps_per_epoch)
        if self._epoch[0] != epoch:
            self._epoch = epoch, self._shuffled(epoch)
        return self._epoch[1][place]

    def _shuffled(self, epoch: int) -> list[list[int]]:
        random = np.random.default_rng([self._seed, epoch])
        batches = []
        for group in self._groups:
            order = random.permutation(group)
            filled = np.resize(order, -(-len(order) // self._batch) * self._batch)
            batches += filled.reshape(-1, self._batch).tolist()
        return [batches[i] for i in random.permutation(len(batches))]


def share(batch: Sequence[int], rank: int, world: int) -> range:
    """Which places of a batch a worker computes: equal, contiguous parts."""
    each = len(batch) // world
    return range(rank * each, (rank + 1) * each)


def seed_of(*key: int | str) -> int:
    """A seed for `torch.Generator` made of a key: different keys give unrelated draws."""
    return int.from_bytes(hashlib.sha256(repr(key).encode()).digest()[:8]) >> 1
