"""Which samples a step trains on: nothing twice, nothing forgotten, nothing remembered."""

from collections import Counter

import pytest

from synclora.train.batches import Plan, seed_of, share

MIXED = ["wide"] * 7 + ["tall"] * 4 + ["long"] * 1
"""7 fill two batches of 4 with one place over, 4 fill one, 1 fills a quarter."""


def epoch(plan, number):
    steps = plan.steps_per_epoch
    return [plan.batch(number * steps + step) for step in range(steps)]


def test_every_sample_comes_once_in_each_epoch_where_batches_can_be_filled():
    plan = Plan(["wide"] * 8 + ["tall"] * 4, batch=4, seed=3)
    assert plan.steps_per_epoch == 3
    for number in range(5):
        assert sorted(index for batch in epoch(plan, number) for index in batch) == list(range(12))


def test_a_batch_is_full_and_of_one_shape_and_none_is_forgotten():
    plan = Plan(MIXED, batch=4, seed=0)
    assert plan.steps_per_epoch == 2 + 1 + 1
    for number in range(5):
        batches = epoch(plan, number)
        assert {len(batch) for batch in batches} == {4}
        assert all(len({MIXED[index] for index in batch}) == 1 for batch in batches)
        times = Counter(index for batch in batches for index in batch)
        assert set(times) == set(range(12))
        assert [times[index] for index in range(7, 11)] == [1] * 4  # what fills its batches is not repeated
        assert sum(times[index] for index in range(7)) == 8
        assert times[11] == 4


def test_a_batch_that_is_not_filled_starts_over_with_the_epochs_first():
    for seed in range(5):
        one, other = epoch(Plan(["wide"] * 5, batch=4, seed=seed), 0)
        full, short = (one, other) if len(set(one) & {*other}) == 3 and one[:3] == other[1:] else (other, one)
        assert full[:3] == short[1:]
        assert sorted({*full, *short}) == list(range(5))


def test_fewer_samples_than_a_batch_holds():
    assert Plan(["wide"], batch=3, seed=0).batch(5) == [0, 0, 0]
    batch = Plan(["wide", "wide"], batch=5, seed=0).batch(0)
    assert batch == [batch[0], batch[1]] * 2 + [batch[0]]
    assert set(batch) == {0, 1}


def test_a_step_is_the_same_whatever_was_asked_before():
    steps = list(range(20))
    forward = Plan(MIXED, 4, seed=1)
    in_order = [forward.batch(step) for step in steps]
    backward = Plan(MIXED, 4, seed=1)
    assert [backward.batch(step) for step in reversed(steps)] == in_order[::-1]
    assert [Plan(MIXED, 4, seed=1).batch(step) for step in steps] == in_order


def test_order_changes_with_the_epoch_and_the_seed():
    plan = Plan(["wide"] * 12, 4, seed=1)
    orders = {str(epoch(plan, number)) for number in range(4)} | {str(epoch(Plan(["wide"] * 12, 4, seed=2), 0))}
    assert len(orders) == 5


def test_shapes_take_turns_and_partners_change():
    plan = Plan(["wide"] * 8 + ["tall"] * 8, 4, seed=0)
    orders = {tuple("w" if batch[0] < 8 else "t" for batch in epoch(plan, number)) for number in range(30)}
    assert len(orders) == 6  # all the ways to order two wide batches and two tall ones
    partners = {frozenset(batch) for number in range(30) for batch in epoch(plan, number)}
    assert len(partners) > 60  # of 120 batches, few are alike


def test_each_sample_is_as_likely_to_come_first():
    plan = Plan(["wide"] * 4, 1, seed=0)
    first = Counter(plan.batch(4 * number)[0] for number in range(2000))
    assert all(abs(count - 500) < 4.5 * (2000 * 0.25 * 0.75) ** 0.5 for count in first.values())
    assert set(first) == set(range(4))


@pytest.mark.parametrize("world", [1, 2, 3, 4, 12])
def test_shares_are_equal_contiguous_parts_of_the_batch(world):
    shares = [share(range(12), rank, world) for rank in range(world)]
    assert {len(part) for part in shares} == {12 // world}
    assert [place for part in shares for place in part] == list(range(12))


def test_a_seed_is_of_its_whole_key_and_stays_what_it_was():
    assert seed_of("sample", 0, 1, 2) == 1746827647766696517  # a run that is taken up by a later version draws the same
    keys = [("a", 1, 23), ("a", 12, 3), ("a", 123), ("a1", 23), ("a", "1", 23), ("b", 1, 23), ("a", 1, 24)]
    seeds = {seed_of(*key) for key in keys}
    assert len(seeds) == len(keys)
    assert all(0 <= seed < 2**63 for seed in seeds)  # what torch takes, without sign
