"""Means with intervals over clips and seeds.

    spread([[.8, .7], [.9]])        # two clips, two seeds of the first: Spread(mean=.825, low=…, high=…, units=2, values=3)

The interval is the percentile bootstrap's, 90 %: clips are drawn anew with replacement, and within each drawn clip its takes (seeds; of a real
video also its edits). What is drawn within a clip tells of chance in sampling, what is drawn of clips of faces and performances; with three
videos the second is coarse, and says so by its width. Numbers, not laws: with few clips a percentile interval is somewhat too narrow.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DRAWS = 2000
LEVEL = 0.90

Doubles = NDArray[np.float64]


@dataclass(frozen=True)
class Spread:
    """A mean and where it may lie.

    Attributes:
        mean: over clips, each the mean of its takes.
        low: lower end of the 90 % interval.
        high: upper end.
        units: clips with a value.
        values: takes with a value.
    """

    mean: float
    low: float
    high: float
    units: int
    values: int


def spread(units: Iterable[Sequence[float]], draws: int = DRAWS, seed: int = 0) -> Spread | None:
    """The mean of nested values and its interval; None if there are none.

    Args:
        units: the values of each clip; empty clips are left out.
        draws: of the bootstrap.
        seed: of its chance.
    """
    kept = [np.asarray(unit, np.float64) for unit in units if len(unit)]
    if not kept:
        return None
    rng = np.random.default_rng(seed)
    count = len(kept)
    redrawn = [unit[rng.integers(len(unit), size=(draws, count, len(unit)))].mean(-1) for unit in kept]
    chosen = rng.integers(count, size=(draws, count))
    means = np.take_along_axis(np.stack(redrawn), chosen[None], axis=0)[0].mean(-1)
    low, high = np.percentile(means, (50 * (1 - LEVEL), 50 * (1 + LEVEL)))
    mean = float(np.mean([unit.mean() for unit in kept]))
    return Spread(mean, float(low), float(high), count, sum(map(len, kept)))


def nested(values: Iterable[tuple[str, float | None]]) -> dict[str, list[float]]:
    """By clip, without what could not be told."""
    units: dict[str, list[float]] = {}
    for unit, value in values:
        if value is not None:
            units.setdefault(unit, []).append(value)
    return units


def difference(one: Mapping[str, Sequence[float]], other: Mapping[str, Sequence[float]]) -> Spread | None:
    """By how much the first is larger, over the clips that both have: each clip beside itself, so that hard clips do not blur it.

    Takes are paired in order where both have as many, else the other's mean is taken off.
    """
    pairs = []
    for unit in one:
        if unit in other:
            a, b = np.asarray(one[unit]), np.asarray(other[unit])
            pairs.append((a - (b if len(a) == len(b) else b.mean())).tolist())
    return spread(pairs)
