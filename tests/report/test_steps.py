import math

import numpy as np
import pytest

from synclora.report.steps import BINS, by_sigma, running_mean, steps_of


def record(step, **changes):
    return {
        "step": step,
        "loss": 1.0 / step,
        "losses": [1.0 / step],
        "sigmas": [0.55],
        "grad_norm": 0.5,
        "lr": 1e-4,
        "seconds": 2.0,
        "tokens": 100,
        "memory_mb": [10.0, 12.0],
        "time": 1e9 + step,
        "ceiling_s": 1.0,
    } | changes


def test_records_become_arrays():
    log = steps_of(map(record, (1, 2, 3)))
    assert len(log) == 3
    np.testing.assert_allclose(log.loss_n, [1, 1 / 2, 1 / 3])
    np.testing.assert_allclose(log.tokens_per_s_n, 50)
    np.testing.assert_allclose(log.ceiling_tokens_per_s_n, 100)
    assert log.memory_mb_nw.tolist() == [[10, 12]] * 3


def test_what_is_missing_or_no_number_is_nan():
    log = steps_of([record(1, loss=math.nan, ceiling_s=None, seconds=0, grad_norm=math.inf), {"step": 2}])
    for values in (log.loss_n, log.ceiling_s_n, log.grad_norm_n, log.tokens_per_s_n, log.ceiling_tokens_per_s_n):
        assert np.isnan(values).all()
    assert len(steps_of([])) == 0


def test_a_run_may_go_on_with_other_workers():
    table = steps_of([record(1, memory_mb=[1, 2, 3]), record(2, memory_mb=[4]), record(3, memory_mb=[])]).memory_mb_nw
    np.testing.assert_array_equal(table, [[1, 2, 3], [4, np.nan, np.nan], [np.nan] * 3])


def test_the_running_mean_keeps_a_line_and_skips_what_is_unknown():
    line = np.arange(1000.0)
    smooth, window = running_mean(line)
    assert window == 41
    np.testing.assert_allclose(smooth[20:-20], line[20:-20])
    holed = line.copy()
    holed[500] = np.nan
    assert running_mean(holed)[0][500] == pytest.approx(500)
    assert running_mean(line[:9])[1] == 1


def test_early_and_late_are_the_first_and_the_last_fifth():
    log = steps_of([record(step, losses=[step, 10 * step], sigmas=[0.05, 1.0]) for step in range(1, 101)])
    sigma = by_sigma(log)
    assert sigma.steps == 20
    assert sigma.early_count_b.tolist() == sigma.late_count_b.tolist() == [20, *[0] * (BINS - 2), 20]
    np.testing.assert_allclose([sigma.early_b[0], sigma.early_b[-1]], [10.5, 105])
    np.testing.assert_allclose([sigma.late_b[0], sigma.late_b[-1]], [90.5, 905])
    assert np.isnan(sigma.early_b[1:-1]).all()


def test_a_loss_that_is_no_number_is_in_no_bin():
    sigma = by_sigma(steps_of([record(1), record(2, losses=[math.nan, 3.0], sigmas=[0.55, 0.55])]))
    assert sigma.late_count_b.sum() == 1
    assert sigma.late_b[5] == 3


def test_one_step_is_late_and_none_is_nothing():
    one, none = by_sigma(steps_of([record(1)])), by_sigma(steps_of([]))
    assert (one.early_count_b.sum(), one.late_count_b.sum()) == (0, 1)
    assert (none.late_count_b.sum(), none.steps) == (0, 0)
