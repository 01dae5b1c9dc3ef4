"""The log of a run as arrays, and what the report makes of it.

    log = steps_of(read_steps(out))
    smooth, window = running_mean(log.loss_n)
    bins = by_sigma(log)

Shapes: n steps, m samples over all steps, w workers, b bins of sigma. A number that was not logged, or was none, is NaN.
"""

import math
from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synclora.report.svg import Doubles

BINS = 10
SHARE = 5
"""Early and late are the first and the last fifth of a run: long enough to average over sigma, short enough to differ."""

SMOOTHING = 25
"""The smooth line is a mean over this share of the run: a loss at random sigmas varies by more than it falls in a few steps."""

_NUMBERS = ("step", "loss", "grad_norm", "lr", "seconds", "tokens", "ceiling_s")


@dataclass(frozen=True)
class StepLog:
    """A run's steps. Eight bytes a number: 100 000 steps of four samples on four workers are 15 MB.

    Attributes:
        step_n: number of the step, from 1.
        loss_n: mean over the step's samples.
        grad_norm_n: norm of the gradient.
        lr_n: learning rate.
        seconds_n: wall time.
        tokens_n: tokens of the sequences, all workers.
        ceiling_s_n: seconds of the bare forward and backward pass.
        memory_mb_nw: peak of each worker.
        sample_step_m: the step that a sample belongs to.
        sigma_m: its noise level.
        sample_loss_m: its loss.
    """

    step_n: Doubles
    loss_n: Doubles
    grad_norm_n: Doubles
    lr_n: Doubles
    seconds_n: Doubles
    tokens_n: Doubles
    ceiling_s_n: Doubles
    memory_mb_nw: Doubles
    sample_step_m: Doubles
    sigma_m: Doubles
    sample_loss_m: Doubles

    def __len__(self) -> int:
        return len(self.step_n)

    @property
    def tokens_per_s_n(self) -> Doubles:
        """Tokens per second of wall time."""
        return _ratio(self.tokens_n, self.seconds_n)

    @property
    def ceiling_tokens_per_s_n(self) -> Doubles:
        """Tokens per second if a step were the bare forward and backward pass."""
        return _ratio(self.tokens_n, self.ceiling_s_n)


@dataclass(frozen=True)
class BySigma:
    """Mean loss in bins of sigma, early in the run against late.

    Attributes:
        early_b: of the first steps; NaN in a bin without a sample.
        late_b: of the last ones.
        early_count_b: samples behind it.
        late_count_b: samples behind it.
        steps: how many steps early and late have, each.
    """

    early_b: Doubles
    late_b: Doubles
    early_count_b: NDArray[np.int64]
    late_count_b: NDArray[np.int64]
    steps: int


def steps_of(records: Iterable[Mapping[str, Any]]) -> StepLog:
    """Gather a log, a record at a time."""
    numbers = {name: array("d") for name in _NUMBERS}
    memory, sample_step, sigma, loss = array("d"), array("d"), array("d"), array("d")
    workers: list[int] = []
    for record in records:
        for name, values in numbers.items():
            values.append(_finite(record.get(name)))
        peaks = record.get("memory_mb") or []
        workers.append(len(peaks))
        memory.extend(map(_finite, peaks))
        for one_sigma, one_loss in zip(record.get("sigmas") or [], record.get("losses") or [], strict=False):
            sample_step.append(numbers["step"][-1])
            sigma.append(_finite(one_sigma))
            loss.append(_finite(one_loss))
    return StepLog(
        **{f"{name}_n": np.asarray(values) for name, values in numbers.items()},
        memory_mb_nw=_by_worker(np.asarray(memory), np.asarray(workers, int)),
        sample_step_m=np.asarray(sample_step),
        sigma_m=np.asarray(sigma),
        sample_loss_m=np.asarray(loss),
    )


def _finite(value: Any) -> float:
    number = float(value) if isinstance(value, int | float) else math.nan
    return number if math.isfinite(number) else math.nan


def _by_worker(values: Doubles, workers_n: NDArray[np.int64]) -> Doubles:
    """(n, w): a run that went on with fewer workers has NaN for those that are gone."""
    table = np.full((len(workers_n), int(workers_n.max(initial=0))), np.nan)
    table[np.arange(table.shape[1]) < workers_n[:, None]] = values
    return table


def _ratio(over: NDArray[Any], under: NDArray[Any]) -> Doubles:
    return np.divide(over, under, out=np.full(len(over), np.nan), where=under > 0)


def running_mean(values: Doubles) -> tuple[Doubles, int]:
    """Mean over a window around each value, shorter at the ends, and the window's length. NaN counts for nothing."""
    reach = len(values) // SMOOTHING // 2
    known = np.isfinite(values)
    sums, counts = (np.concatenate([[0.0], np.cumsum(part)]) for part in (np.where(known, values, 0.0), known))
    at = np.arange(len(values))
    low, high = np.maximum(at - reach, 0), np.minimum(at + reach + 1, len(values))
    return _ratio(sums[high] - sums[low], counts[high] - counts[low]), 2 * reach + 1


def by_sigma(log: StepLog) -> BySigma:
    """Early and late; a run of a single step is late only."""
    steps = max(1, len(log) // SHARE)
    if not len(log):
        nothing, none = np.full(BINS, np.nan), np.zeros(BINS, np.int64)
        return BySigma(nothing, nothing, none, none, 0)
    early = log.sample_step_m <= (log.step_n[steps - 1] if len(log) > 1 else -1)
    late = log.sample_step_m >= log.step_n[-steps]
    (early_b, early_count_b), (late_b, late_count_b) = (_means(log, chosen) for chosen in (early, late))
    return BySigma(early_b, late_b, early_count_b, late_count_b, steps)


def _means(log: StepLog, chosen: NDArray[np.bool_]) -> tuple[Doubles, NDArray[np.int64]]:
    chosen = chosen & np.isfinite(log.sigma_m) & np.isfinite(log.sample_loss_m)
    bins = np.clip((log.sigma_m[chosen] * BINS).astype(int), 0, BINS - 1)
    counts = np.bincount(bins, minlength=BINS)
    return _ratio(np.bincount(bins, log.sample_loss_m[chosen], BINS), counts), counts
