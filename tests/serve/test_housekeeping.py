"""What is cleared away, and what is not."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import serve.housekeeping as house
from serve.files import FileStore
from serve.housekeeping import Swept, forget_expired, keep_house, remove_orphans
from serve.job import _ALPHABET
from serve.jobs import JobTable, State, make_id
from serve.settings import ServiceSettings

Accept = Callable[..., str]


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "clip"
    path.write_bytes(b"a clip")
    return path


def made_before(seconds: float) -> str:
    """An id as it was made then."""
    milliseconds = int((time.time() - seconds) * 1000)
    return "".join(_ALPHABET[milliseconds >> shift & 31] for shift in range(45, -1, -5)) + make_id()[10:]


def age(folder: Path, seconds: float) -> None:
    for path in (*folder.iterdir(), folder):
        os.utime(path, (time.time() - seconds,) * 2)


def test_a_job_that_is_kept_long_enough_goes_with_its_files(
    table: JobTable, files: FileStore, accept: Accept, clip: Path
) -> None:
    ended, running = accept(), accept()
    for job in (ended, running):
        files.put(clip, job, "source")
    table.cancel(ended)
    table.start(running, "w", 60)
    assert forget_expired(table, files, keep_s=60) == 0
    assert forget_expired(table, files, keep_s=0) == 1
    assert (table.get(ended), table.get(running) is not None, list(files.jobs())) == (None, True, [running])


def test_a_store_that_fails_keeps_the_row(table: JobTable, files: FileStore, accept: Accept, clip: Path, tmp_path: Path) -> None:
    job = accept()
    table.cancel(job)
    (tmp_path / "files/jobs").mkdir()
    (tmp_path / "files/jobs" / job).write_bytes(b"a file where a folder should be")
    with pytest.raises(OSError, match=job):
        forget_expired(table, files, keep_s=0)
    assert table.get(job) is not None


def test_only_old_folders_without_a_row_are_orphans(
    table: JobTable, files: FileStore, accept: Accept, clip: Path, tmp_path: Path
) -> None:
    known, fresh, old, written = accept(), make_id(), made_before(7200), made_before(7200)
    for job in (known, fresh, old, written):
        files.put(clip, job, "source")
    for job in (known, old):
        age(tmp_path / "files/jobs" / job, 7200)
    (tmp_path / "files/jobs/of somebody else").mkdir()
    assert remove_orphans(table, files) == 1
    assert set(files.jobs()) == {known, fresh, written}
    assert (tmp_path / "files/jobs/of somebody else").is_dir()


def test_one_round_does_all_and_the_next_nothing(
    table: JobTable, files: FileStore, accept: Accept, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(house, "UNTIDY_S", 0.0)
    settings = ServiceSettings(keep_s=3600)
    late, done, orphan = accept(deadline_s=0.0), accept(), made_before(7200)
    lease, _ = table.start(done, "w", 60) or pytest.fail("not started")
    for job, name in ((done, "source"), (done, "edit-1.mp4"), (done, "edit-2.mp4"), (late, "edit-1.mp4"), (orphan, "source")):
        files.put(clip, job, name)
    age(tmp_path / "files/jobs" / orphan, 7200)
    table.succeed(lease, "edit-1.mp4", {})
    assert keep_house(table, files, settings) == Swept(overdue=1, expired=0, tidied=2, orphans=1)
    assert (files.names(done), files.names(late)) == (["edit-1.mp4", "source"], [])
    assert {job.state for job in table.list("anna", 9)} == {State.FAILED, State.SUCCEEDED}
    assert keep_house(table, files, settings) == Swept()


def test_the_store_is_not_searched_in_every_round(
    table: JobTable, files: FileStore, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = ServiceSettings()
    keep_house(table, files, settings)
    orphan = made_before(7200)
    files.put(clip, orphan, "source")
    age(tmp_path / "files/jobs" / orphan, 7200)
    assert keep_house(table, files, settings).orphans == 0
    monkeypatch.setattr(house, "SEARCH_S", 0.0)
    assert keep_house(table, files, settings).orphans == 1
