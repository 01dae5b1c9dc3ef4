"""The log: one uninterrupted trace, whatever was killed in the middle of a line, and TensorBoard reads the same."""

import json
from contextlib import suppress

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from synclora.report.runlog import read_steps
from synclora.train.watch import Log


def step(number, loss=0.5):
    return {
        "step": number,
        "loss": loss,
        "losses": [loss, loss],
        "sigmas": [0.1, 0.9],
        "grad_norm": 0.25,
        "lr": 1e-3 / number,
        "seconds": 0.5,
        "tokens": 48,
        "memory_mb": [100.0],
        "time": 1.0,
        "ceiling_s": None,
    }


def numbers(out):
    return [one["step"] for one in read_steps(out)]


def scalars(out):
    """Each tag's (step, value) pairs as TensorBoard shows them."""
    events = EventAccumulator(str(out / "log" / "tensorboard"))
    events.Reload()
    return {tag: [(one.step, one.value) for one in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def test_no_log_has_no_steps(tmp_path):
    assert list(read_steps(tmp_path)) == []


def test_what_was_written_comes_back_at_once(tmp_path):
    with Log(tmp_path, 0) as log:
        for number in (1, 2):
            log.write(step(number, loss=0.1 + number))
            assert list(read_steps(tmp_path)) == [step(n, loss=0.1 + n) for n in range(1, number + 1)]
    assert len((tmp_path / "log" / "steps.jsonl").read_text().splitlines()) == 2


@pytest.mark.parametrize("torn", ["{", '{"step": 3, "lo', "\0\0\0\0", '{"step": 3}{'])
def test_a_torn_line_ends_it_and_is_cut_off_by_the_next_life(tmp_path, torn):
    with Log(tmp_path, 0) as log:
        for number in (1, 2):
            log.write(step(number))
    path = tmp_path / "log" / "steps.jsonl"
    with path.open("a") as file:
        file.write(torn)
    assert numbers(tmp_path) == [1, 2]
    with Log(tmp_path, 2) as log:
        log.write(step(3))
    assert list(read_steps(tmp_path)) == [step(number) for number in (1, 2, 3)]
    assert all(json.loads(line) for line in path.read_text().splitlines())


@pytest.mark.parametrize("done", [0, 2, 4, 9])
def test_it_is_cut_back_to_where_a_run_goes_on(tmp_path, done):
    with Log(tmp_path, 0) as log:
        for number in (1, 2, 3, 4):
            log.write(step(number))
    with Log(tmp_path, done):
        assert numbers(tmp_path) == list(range(1, min(done, 4) + 1))
    assert not list((tmp_path / "log").glob(".*"))


def test_tensorboard_shows_what_the_log_says(tmp_path):
    with Log(tmp_path, 0) as log:
        for number in (1, 2, 3):
            log.write(step(number, loss=number / 4))
        log.validated(2, {"sync": 0.75})
        log.validated(3, {"sync": 0.875})
    shown = scalars(tmp_path)
    assert shown["train/loss"] == [(1, 0.25), (2, 0.5), (3, 0.75)]
    assert shown["train/lr"] == [(n, pytest.approx(1e-3 / n)) for n in (1, 2, 3)]
    assert shown["train/grad_norm"] == [(n, 0.25) for n in (1, 2, 3)]
    assert shown["train/tokens_per_second"] == [(n, 96.0) for n in (1, 2, 3)]
    assert shown["validation/sync"] == [(2, 0.75), (3, 0.875)]


def test_tensorboard_forgets_the_steps_of_a_life_that_is_over(tmp_path):
    with Log(tmp_path, 0) as log:
        for number in (1, 2, 3, 4):
            log.write(step(number, loss=1.0))
        log.validated(4, {"sync": 1.0})
    with Log(tmp_path, 2) as log:
        for number in (3, 4, 5):
            log.write(step(number, loss=2.0))
    shown = scalars(tmp_path)
    assert shown["train/loss"] == [(1, 1.0), (2, 1.0), (3, 2.0), (4, 2.0), (5, 2.0)]
    assert "validation/sync" not in shown or shown["validation/sync"] == []


def test_an_exception_closes_it(tmp_path):
    log = Log(tmp_path, 0)
    with suppress(RuntimeError), log:
        log.write(step(1))
        raise RuntimeError
    assert log._file.closed
    assert scalars(tmp_path)["train/loss"] == [(1, 0.5)]
