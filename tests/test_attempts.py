"""Attempts are counted within one run."""

import pytest

from synclora.attempts import Attempts
from synclora.errors import MediaError, Reason


def test_attempts_end_after_as_many_as_allowed(tmp_path):
    for _worker in range(2):
        Attempts(tmp_path / "attempts", "run", 2).begin("pair")
    with pytest.raises(MediaError) as caught:
        Attempts(tmp_path / "attempts", "run", 2).begin("pair")
    assert (caught.value.reason, caught.value.detail) == (Reason.CRASHED, "ended its worker 2 times")
    Attempts(tmp_path / "attempts", "run", 2).begin("another")


def test_attempts_of_an_earlier_run_and_finished_ones_do_not_count(tmp_path):
    for run in ("one", "two", "three"):
        Attempts(tmp_path, run, 1).begin("pair")
    attempts = Attempts(tmp_path, "three", 1)
    attempts.end("pair")
    attempts.end("pair")
    attempts.begin("pair")
    (tmp_path / "pair").write_text("torn")
    attempts.begin("pair")
