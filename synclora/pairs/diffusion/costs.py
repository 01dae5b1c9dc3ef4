"""What the pictures and videos of a set cost, from the note beside each.

cost = cost_of(Stage.VIDEO, array("Q", [0x0123456789abcdef]), MadeStore(out).facts)
"""

import math
from array import array
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synclora.pairs.diffusion.settings import Stage

Facts = Callable[[Stage, str], Mapping[str, Any]]
"""What is noted beside an artifact, by its stage and id; empty if nothing is (`MadeStore.facts`)."""

_READERS, _AHEAD = 16, 256
"""Notes read at once: on a network's disk each takes a millisecond of waiting. Read in portions, so that memory stays flat."""


@dataclass(frozen=True)
class Cost:
    """What a stage cost.

    Attributes:
        stage: which.
        made: pictures or videos of it that the rows name, each once.
        unknown: those among them of which no cost is noted; they are not in `gpu_s`.
        gpu_s: seconds of GPU that making them took, shares of a card counted as shares.
        models: names of the models that made them.
        random: a model among them has random weights.
    """

    stage: Stage
    made: int
    unknown: int
    gpu_s: float
    models: tuple[str, ...]
    random: bool

    @property
    def gpu_s_each(self) -> float:
        """Mean over those whose cost is known; NaN if none is."""
        return self.gpu_s / (self.made - self.unknown) if self.made > self.unknown else math.nan


def cost_of(stage: Stage, made: "array[int]", facts: Facts) -> Cost:
    """What the artifacts with these ids cost, in whatever order they come and however often."""
    spent, unknown, models, random = 0.0, 0, set[str](), False
    ids = np.unique(np.asarray(made, np.uint64))  # ascending: sums come out the same whatever the order of the rows
    for noted in _notes(stage, ids, facts):
        gpu_s = noted.get("gpu_s")
        if isinstance(gpu_s, int | float) and math.isfinite(gpu_s):
            spent += gpu_s
        else:
            unknown += 1
        if noted.get("model"):
            models.add(str(noted["model"]))
        random = random or bool(noted.get("random"))
    return Cost(stage, len(ids), unknown, spent, tuple(sorted(models)), random)


def _notes(stage: Stage, ids: NDArray[np.uint64], facts: Facts) -> Iterator[Mapping[str, Any]]:
    names = (f"{identity:016x}" for identity in ids.tolist())
    with ThreadPoolExecutor(_READERS) as readers:
        while portion := list(islice(names, _AHEAD)):
            yield from readers.map(lambda name: facts(stage, name), portion)
