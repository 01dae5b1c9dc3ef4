"""The report of a training run: one HTML file that needs nothing but itself.

    write_training_report(Path("out"), facts={"backbone": "LTX-Video 2B"}, random_base=False)

The same log, validations and facts give the same bytes. Of the log numbers are held and no text, of the videos a few frames.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from markupsafe import Markup

from synclora.media.decode import Decoder
from synclora.report.held_out import LIMITS, held_out_pairs, span_of
from synclora.report.page import render, write_page
from synclora.report.runlog import read_steps
from synclora.report.steps import BINS, BySigma, StepLog, by_sigma, running_mean, steps_of
from synclora.report.svg import Doubles
from synclora.report.trends import Figure, Line, paired_bars, trend_chart
from synclora.report.validations import read_validations
from synclora.report.words import RANDOM_WEIGHTS, count, number, short

MAX_WORKERS = 8
"""Workers with a line of their own; of more, the lowest and the highest are drawn."""

Span = tuple[float, float]


def write_training_report(out: Path, *, facts: Mapping[str, str], random_base: bool) -> None:
    """Write OUT/report.html from OUT/log/steps.jsonl and OUT/validation; either may be missing.

    Args:
        out: the run's folder.
        facts: the run's own lines, shown at the top in their order.
        random_base: the backbone's weights are random, which the page says.

    Raises:
        OSError: the file cannot be written; an older report stays.
    """
    log, validations = steps_of(read_steps(out)), read_validations(out)
    span, sigma = span_of(log.step_n, validations), by_sigma(log)
    with Decoder(LIMITS) as decoder:
        pairs = held_out_pairs(validations, out, decoder, span)
    page = render(
        "training.html",
        facts=dict(facts),
        banner=RANDOM_WEIGHTS if random_base else "",
        steps=len(log),
        early=_mean(log.loss_n[: sigma.steps]),
        late=_mean(log.loss_n[-sigma.steps :]),
        sigma=sigma,
        window=running_mean(log.loss_n)[1],
        loss=[*_loss(log, span), *_by_sigma(sigma)],
        machine=[*_optimizer(log, span), *_throughput(log, span), *_memory(log, span)],
        broken=[count(int(step)) for step in log.step_n[~np.isfinite(log.loss_n)]],
        validations=len(validations),
        pairs=pairs,
    )
    write_page(out / "report.html", page)


def _mean(values: Doubles) -> str:
    known = values[np.isfinite(values)]
    return short(float(known.mean())) if known.size else short(None)


def _trend(
    log: StepLog, lines: list[Line], title: str, note: str, width: str, span: Span, *, log_axis: bool = False, height: int = 110
) -> list[Figure]:
    """A figure, or none if there is nothing to draw."""
    if not any(np.isfinite(one.y_n).any() for one in lines):
        return []
    chart = trend_chart(log.step_n, lines, f"{title} over the steps", log=log_axis, span=span, height=height)
    return [Figure(title, note, Markup(chart), width)]


def _loss(log: StepLog, span: Span) -> list[Figure]:
    lines = _smoothed("loss", log.loss_n)
    return _trend(log, lines, "loss", "mean over the batch, logarithmic", "broad", span, log_axis=True, height=210)


def _smoothed(words: str, values_n: Doubles) -> list[Line]:
    """The values, and over them their running mean once there are enough of them."""
    smooth_n, window = running_mean(values_n)
    return [Line("raw", words, values_n), Line("main", "mean", smooth_n)] if window > 1 else [Line("main", words, values_n)]


def _by_sigma(sigma: BySigma) -> list[Figure]:
    if not sigma.late_count_b.any():
        return []
    chart = paired_bars(sigma.early_b, sigma.late_b, f"mean loss in {BINS} bins of sigma, early and late in the run", height=210)
    samples = f"{count(int(sigma.early_count_b.sum()))} and {count(int(sigma.late_count_b.sum()))} samples"
    return [Figure("loss by σ", f"0 clean, 1 noise; {samples}", Markup(chart), "wide")]


def _optimizer(log: StepLog, span: Span) -> list[Figure]:
    rate, norm = [Line("main", "learning rate", log.lr_n)], _smoothed("gradient norm", log.grad_norm_n)
    return [
        *_trend(log, rate, "learning rate", "", "half", span),
        *_trend(log, norm, "gradient norm", "before clipping, logarithmic", "half", span, log_axis=True),
    ]


def _throughput(log: StepLog, span: Span) -> list[Figure]:
    """Tokens per second under what the bare transformer would reach."""
    lines, note = _smoothed("tokens/s", log.tokens_per_s_n), f"median {_median(log.tokens_per_s_n)}"
    share = log.ceiling_s_n / np.where(log.seconds_n > 0, log.seconds_n, np.nan)
    if np.isfinite(share).any():
        lines.append(Line("ceiling", "bare transformer", log.ceiling_tokens_per_s_n))
        note += f", {number(100 * float(np.nanmedian(share)), 0)} % of the bare forward and backward pass (dashed)"
    return _trend(log, lines, "tokens per second", note, "half", span)


def _memory(log: StepLog, span: Span) -> list[Figure]:
    peaks_w = [np.max(peak, where=np.isfinite(peak), initial=0.0) for peak in log.memory_mb_nw.T]
    if not peaks_w:
        return []
    order = np.argsort(peaks_w, kind="stable")
    drawn = range(len(peaks_w)) if len(peaks_w) <= MAX_WORKERS else (int(order[0]), int(order[-1]))
    lines = [Line("worker", f"worker {worker}", log.memory_mb_nw[:, worker]) for worker in drawn]
    note = f"MB; at most {count(round(peaks_w[order[-1]]))}, by worker {order[-1]}"
    if len(peaks_w) > 1:
        note += f" of {len(peaks_w)}; the least {count(round(peaks_w[order[0]]))}"
    return _trend(log, lines, "memory per worker", note, "half", span)


def _median(values: Doubles) -> str:
    known = values[np.isfinite(values)]
    return short(float(np.median(known))) if known.size else short(None)
