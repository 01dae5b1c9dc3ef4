"""Means are over clips, and intervals as wide as clips and seeds make them."""

import numpy as np
import pytest

from synclora.embedded.evaluation.stats import difference, nested, spread


def test_the_mean_is_over_clips_not_over_takes():
    found = spread([[0.0, 0.0, 0.0, 0.0], [1.0]])
    assert (found.mean, found.units, found.values) == (0.5, 2, 5)


def test_what_never_differs_has_no_width():
    found = spread([[0.4, 0.4], [0.4, 0.4]])
    assert (found.low, found.high) == pytest.approx((0.4, 0.4))


def test_seeds_that_differ_widen_it_though_clips_agree():
    found = spread([[0.2, 0.6]] * 6)
    assert found.mean == pytest.approx(0.4)
    # a mean of six means of two draws of .2 or .6 deviates by .2 / sqrt(12) = .058; 90 % lie within 1.64 of these
    assert found.high - found.low == pytest.approx(2 * 1.64 * 0.058, abs=0.04)


def test_interval_of_independent_clips_is_that_of_their_mean():
    values = np.random.default_rng(3).normal(0.5, 0.1, 40)
    found = spread([[value] for value in values], draws=4000)
    half = 1.645 * values.std() / np.sqrt(40)
    assert found.low == pytest.approx(values.mean() - half, abs=0.004)
    assert found.high == pytest.approx(values.mean() + half, abs=0.004)


def test_clips_that_say_nothing_are_left_out():
    units = nested([("a", 0.5), ("b", None), ("a", None), ("c", 0.7)])
    assert units == {"a": [0.5], "c": [0.7]}
    assert spread(units.values()).units == 2
    assert spread([]) is None
    assert spread([[]]) is None


def test_difference_takes_each_clip_beside_itself():
    hard, easy = {"a": [0.1, 0.1], "b": [0.9, 0.9]}, {"a": [0.2, 0.2], "b": [1.0, 1.0], "c": [5.0]}
    found = difference(easy, hard)
    assert (found.mean, found.low, found.high) == pytest.approx((0.1, 0.1, 0.1))
    assert found.units == 2
    assert difference({"a": [0.5, 0.7]}, {"a": [0.1]}).mean == pytest.approx(0.5)
