"""The parts of an editor's process that need no Ray."""

import os
import socket
import subprocess
import time
from pathlib import Path

import pytest

from serve.replica import Drain, Loaded, Steps, Watch, outcome_word, own_scratch, shutting_down
from synclora.edit.progress import Progress, Stopped
from synclora.errors import MediaError, Reason


class Histogram:
    def __init__(self) -> None:
        self.seen: list[float] = []

    def observe(self, value: float) -> None:
        self.seen.append(value)


def test_steps_are_timed_each_once_and_passed_on() -> None:
    passed, histogram = list[Progress](), Histogram()
    steps = Steps(histogram, Watch(), passed.append)  # type: ignore[arg-type]
    said = [
        Progress("preparing"),
        Progress("encoding"),
        *(Progress("sampling", step, 3) for step in (0, 1, 2, 3)),
        Progress("decoding", 3, 3),
    ]
    for one in said:
        steps(one)
        time.sleep(0.01)
    assert passed == said
    assert len(histogram.seen) == 3
    assert min(histogram.seen) >= 0.01


def test_what_stops_an_edit_comes_through() -> None:
    def stop(_: Progress) -> None:
        raise Stopped

    with pytest.raises(Stopped):
        Steps(Histogram(), Watch(), stop)(Progress("preparing"))  # type: ignore[arg-type]


def test_only_an_edit_under_way_can_be_quiet() -> None:
    watch = Watch()
    assert watch.quiet_s() == 0
    with watch:
        time.sleep(0.05)
        assert watch.quiet_s() >= 0.05
        watch.touch()
        assert watch.quiet_s() < 0.05
    assert watch.quiet_s() == 0


def test_an_adapter_is_forgotten_once_however_often_it_is_deleted() -> None:
    forgotten = []
    loaded = Loaded(lambda: forgotten.append("may"))
    loaded.__del__()  # as Serve does
    del loaded
    assert forgotten == ["may"]


def test_a_replica_that_nobody_takes_down_gives_nothing_back() -> None:
    assert not shutting_down()
    assert not Drain(0.0)()


def test_the_scratch_of_dead_processes_is_removed(tmp_path: Path) -> None:
    host = socket.gethostname()
    ended = subprocess.Popen(["true"])
    ended.wait()
    for name in (f"{host}.{ended.pid}", f"{host}.{os.getppid()}", "elsewhere.1"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "edit.mp4").touch()
    mine = own_scratch(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {f"{host}.{os.getppid()}", "elsewhere.1", mine.name}


def test_outcomes_have_few_words() -> None:
    assert outcome_word(MediaError(Reason.NO_FACE, "none")) == "no_face"
    assert outcome_word(Stopped()) == "stopped"
    assert outcome_word(ValueError("x = 3.1415")) == "valueerror"
