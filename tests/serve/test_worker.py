"""One start of a job, from claim to commit, and all the ways in which it does not get there."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from serve.files import FileStore
from serve.housekeeping import keep_house
from serve.jobs import ENDS, Job, JobTable, Lease, State
from serve.settings import ServiceSettings
from serve.worker import Outcome, run_job
from synclora.edit.progress import OnProgress, Progress, ignore
from synclora.edit.request import EditRequest
from synclora.edit.result import EditResult
from tests.serve.audit import transitions, watch
from tests.serve.conftest import Postgres, fill, new_job
from tests.serve.stub import StubEditor, video
from tests.serve.work import SETTINGS

ROOT = Path(__file__).resolve().parents[2]
Ask = Callable[..., str]


@pytest.fixture
def ask(table: JobTable, files: FileStore, tmp_path: Path) -> Ask:
    """Store a job's files and accept it."""
    (tmp_path / "upload").write_bytes(b"a clip")

    def go(frames: tuple[int, ...] = (), **values: object) -> str:
        job = new_job(**values, key_frames=[{"frame": frame} for frame in frames])  # type: ignore[arg-type]
        for name in ("source", "first_frame", *(f"key_frame_{frame}" for frame in frames)):
            files.put(tmp_path / "upload", job.id, name)
        return table.accept(job, max_queued=999)[0].id

    return go


@pytest.fixture
def work(table: JobTable, files: FileStore, tmp_path: Path) -> Iterator[Callable[..., Outcome]]:
    """Run a job; whatever happened, nothing may be left in the scratch folder."""

    def go(
        job: str,
        editor: StubEditor | None = None,
        stop: Callable[[], bool] = lambda: False,
        settings: ServiceSettings = SETTINGS,
        using: JobTable = table,
    ) -> Outcome:
        outcome = run_job(using, files, editor or StubEditor("stub:pause_s=0.01"), job, "w", settings, stop, tmp_path / "scratch")
        assert list((tmp_path / "scratch").glob("*")) == []
        return outcome

    yield go
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("lease")]


def got(table: JobTable, job: str) -> Job:
    found = table.get(job)
    assert found is not None
    return found


def test_a_job_is_done(table: JobTable, files: FileStore, ask: Ask, work: Callable[..., Outcome]) -> None:
    job = ask(prompt="a hat", frames=(4, 8))
    assert work(job) == Outcome.SUCCEEDED
    done = got(table, job)
    assert (done.state, done.video, done.starts, done.error) == (State.SUCCEEDED, "edit-1.mp4", 1, None)
    assert done.result is not None
    assert (done.result["seed"], done.result["adapter"], done.result["prompt"], done.result["frames"]) == (1, "none", "a hat", 9)
    assert done.progress == {"stage": "storing", "step": 4, "steps": 4, "window": 0, "windows": 1, "attempt": 1}
    assert files.open(job, "edit-1.mp4").read() == video(1, 4)
    assert files.names(job) == ["edit-1.mp4", "first_frame", "key_frame_4", "key_frame_8", "source"]
    assert work(job) == Outcome.NOT_STARTED


def test_progress_is_seen_while_it_works(table: JobTable, ask: Ask, work: Callable[..., Outcome]) -> None:
    job, seen = ask(prompt="stub steps=10 pause_s=0.06"), set()
    thread = threading.Thread(target=work, args=(job,))
    thread.start()
    while thread.is_alive():
        seen.add(((got(table, job).progress or {}).get("stage"), (got(table, job).progress or {}).get("step")))
        time.sleep(0.01)
    thread.join()
    assert len({step for stage, step in seen if stage == "sampling"}) >= 4


@pytest.mark.parametrize(
    ("word", "reason", "detail"),
    [
        ("MediaError", "misaligned", "0.9 face widths apart"),
        ("MemoryError", "out_of_memory", "memory is not enough"),
        ("ENOSPC", "no_space", "No space left"),
    ],
)
def test_what_another_try_would_not_change_fails(
    table: JobTable, files: FileStore, ask: Ask, work: Callable[..., Outcome], word: str, reason: str, detail: str
) -> None:
    job = ask(prompt=f"stub raise={word}")
    assert work(job) == Outcome.FAILED
    failed = got(table, job)
    assert failed.error is not None
    assert (failed.state, failed.error[0], detail in failed.error[1], failed.video) == (State.FAILED, reason, True, None)
    assert files.names(job) == ["first_frame", "source"]


def test_a_source_that_is_gone_fails(table: JobTable, files: FileStore, ask: Ask, work: Callable[..., Outcome]) -> None:
    job = ask()
    files.delete(job, "source")
    assert work(job) == Outcome.FAILED
    assert got(table, job).error == ("missing", "source is not in the store any more; send it again")


def test_another_exception_is_tried_again_and_fails_in_the_end(
    table: JobTable, ask: Ask, work: Callable[..., Outcome], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serve.jobs._PAUSES_S", (0.0,))
    settings = SETTINGS.model_copy(update={"max_starts": 2})
    job, mending = ask(prompt="stub raise=ValueError"), ask(prompt=f"stub fail_until={tmp_path / 'there'}")
    assert work(job, settings=settings) == work(mending, settings=settings) == Outcome.RETRIED
    assert got(table, job).state == got(table, mending).state == State.QUEUED
    (tmp_path / "there").touch()
    assert work(mending, settings=settings) == Outcome.SUCCEEDED
    assert work(job, settings=settings) == Outcome.RETRIED
    assert got(table, job).error == ("crashed", "the stub was asked to raise ValueError")


class Counted(StubEditor):
    """Says how many steps it has done."""

    steps = 0

    def edit(self, request: EditRequest, out: Path, on_progress: OnProgress = ignore) -> EditResult:
        def count(progress: Progress) -> None:
            self.steps = progress.step
            on_progress(progress)

        return super().edit(request, out, count)


@pytest.mark.parametrize("seed", range(5))
def test_cancel_ends_it_within_one_step(
    table: JobTable, files: FileStore, ask: Ask, seed: int, work: Callable[..., Outcome]
) -> None:
    editor, outcome = Counted("stub:steps=400,pause_s=0.05"), []
    job = ask()
    thread = threading.Thread(target=lambda: outcome.append(work(job, editor)))
    thread.start()
    while not editor.steps:
        time.sleep(0.01)
    time.sleep(random.Random(seed).uniform(0.0, 0.35))
    table.cancel(job)
    at = editor.steps
    thread.join(20)
    assert (outcome, got(table, job).state, files.names(job)) == ([Outcome.STOPPED], State.CANCELLED, ["first_frame", "source"])
    assert editor.steps <= at + 1


def test_a_silent_edit_keeps_its_lease(table: JobTable, ask: Ask, work: Callable[..., Outcome]) -> None:
    job, outcome = ask(prompt=f"stub steps=1 pause_s={3 * SETTINGS.lease_s}"), []
    thread = threading.Thread(target=lambda: outcome.append(work(job)))
    thread.start()
    time.sleep(0.1)
    while thread.is_alive():
        assert table.start(job, "thief", 60) is None
        time.sleep(0.02)
    thread.join()
    assert outcome == [Outcome.SUCCEEDED]


def test_a_deadline_ends_it(table: JobTable, ask: Ask, work: Callable[..., Outcome]) -> None:
    job = ask(prompt="stub steps=200 pause_s=0.02", deadline_s=1.0)
    assert work(job) == Outcome.STOPPED
    assert (got(table, job).error or ("",))[0] == "deadline"


def test_a_replica_that_drains_gives_it_back(table: JobTable, files: FileStore, ask: Ask, work: Callable[..., Outcome]) -> None:
    job, calls = ask(), []
    settings = SETTINGS.model_copy(update={"max_starts": 1})
    assert work(job, stop=lambda: calls.append(1) or len(calls) > 3, settings=settings) == Outcome.GIVEN_BACK
    assert (got(table, job).state, files.names(job)) == (State.QUEUED, ["first_frame", "source"])
    assert work(job, settings=settings) == Outcome.SUCCEEDED
    assert got(table, job).video == "edit-2.mp4"


def test_a_process_that_is_told_to_go_gives_it_back(table: JobTable, ask: Ask, work: Callable[..., Outcome]) -> None:
    def stop() -> bool:
        raise KeyboardInterrupt

    job = ask()
    with pytest.raises(KeyboardInterrupt):
        work(job, stop=stop)
    assert got(table, job).state == State.QUEUED


WINDOWS = ("step", "stored", "committed")


@pytest.mark.parametrize("window", WINDOWS)
def test_a_killed_worker_loses_nothing(
    database: str,
    files: FileStore,
    ask: Ask,
    work: Callable[..., Outcome],
    tmp_path: Path,
    window: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Five workers at once, one killed at a random moment of its window each; the rest of the world then goes on."""
    monkeypatch.setattr("serve.housekeeping.UNTIDY_S", 0.0)
    table, dice, jobs = JobTable(database), random.Random(window), [ask(seed=1) for _ in range(5)]
    audit = watch(database)
    for job in jobs:
        if window == "committed":  # a start before this one left its artefact and half of another
            lease, _ = table.start(job, "older", 0) or pytest.fail("not started")
            files.put(tmp_path / "upload", job, f"edit-{lease.start}.mp4")
            (tmp_path / "files/jobs" / job / f".{'0' * 32}.part").write_bytes(b"half")
    killed: dict[str, float] = {}
    killer = threading.Thread(target=kill_in_window, args=(database, tmp_path, window, jobs, dice, killed))
    killer.start()
    recovered: dict[str, float] = {}
    began = time.monotonic()
    while len(recovered) < len(jobs) and time.monotonic() - began < 60:
        for waiting in table.waiting(9):
            if waiting.id in killed:
                work(waiting.id, StubEditor("stub:steps=8,pause_s=0.01"))
        for job in list(killed):
            if got(table, job).state in ENDS:
                recovered.setdefault(job, time.monotonic() - killed[job])
        time.sleep(0.01)
    killer.join()
    assert set(killed) == set(recovered) == set(jobs)
    keep_house(table, files, SETTINGS)
    stories = transitions(audit)
    audit.dispose()
    for job in jobs:
        done, starts = got(table, job), 2
        assert (done.state, done.video, done.starts) == (State.SUCCEEDED, f"edit-{starts}.mp4", starts)
        assert [path.name for path in sorted((tmp_path / "files/jobs" / job).iterdir())] == [done.video, "first_frame", "source"]
        assert files.open(job, str(done.video)).read() == video(1, 8)
        assert [row.after in ENDS for row in stories[job]].count(True) == 1
    print(f"\n{window}: taken up and done {max(recovered.values()):.2f} s after the kill at worst (lease {SETTINGS.lease_s} s)")


def kill_in_window(
    database: str, tmp_path: Path, window: str, jobs: list[str], dice: random.Random, killed: dict[str, float]
) -> None:
    """Kill each job's worker at a random moment of its window, and write down when."""
    pause_s = 0.25 if window == "step" else 1.5
    command = [
        sys.executable,
        "-m",
        "tests.serve.work",
        database,
        str(tmp_path / "files"),
        str(tmp_path / "dead"),
        window,
        str(pause_s),
    ]
    nursery = subprocess.Popen([*command, *jobs], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    killers = []
    assert nursery.stdout is not None

    def kill(pid: int, job: str, delay_s: float) -> None:
        time.sleep(delay_s)
        os.kill(pid, signal.SIGKILL)
        killed[job] = time.monotonic()

    for line in nursery.stdout:
        pid, job, event = line.split()
        if event == ("begun" if window == "step" else window):
            killers.append(threading.Thread(target=kill, args=(int(pid), job, dice.uniform(0, 1.0))))
            killers[-1].start()
    for killer in killers:
        killer.join()
    nursery.wait(10)


@pytest.mark.parametrize("window", ["storing", "stored"])
def test_a_worker_that_was_only_paused_cannot_commit(
    database: str, table: JobTable, files: FileStore, ask: Ask, work: Callable[..., Outcome], tmp_path: Path, window: str
) -> None:
    job = ask(seed=1)
    command = [
        sys.executable,
        "-m",
        "tests.serve.work",
        database,
        str(tmp_path / "files"),
        str(tmp_path / "dead"),
        "stored",
        "0.3",
        job,
    ]
    nursery = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert nursery.stdout is not None
    for line in nursery.stdout:
        pid, _, event = line.split()
        if event == window:
            break
    os.kill(int(pid), signal.SIGSTOP)
    try:
        while not table.waiting(1):
            time.sleep(0.02)
        assert work(job, StubEditor("stub:steps=3,pause_s=0.01")) == Outcome.SUCCEEDED
        assert (got(table, job).video, files.names(job)) == ("edit-2.mp4", ["edit-2.mp4", "first_frame", "source"])
        before = got(table, job)
    finally:
        os.kill(int(pid), signal.SIGCONT)
    assert [line.split()[2] for line in nursery.stdout][-1] == "stopped"
    nursery.wait(10)
    assert got(table, job) == before
    assert files.names(job) == ["edit-2.mp4", "first_frame", "source"]


@pytest.mark.parametrize("seed", range(5))
def test_a_database_that_is_away_for_a_while_does_not_end_an_edit(
    postgres: Postgres, files: FileStore, tmp_path: Path, seed: int
) -> None:
    table = JobTable(postgres.database(), patience_s=0.3)
    job = new_job(prompt="stub steps=12 pause_s=0.05")
    (tmp_path / "upload").write_bytes(b"a clip")
    for name in ("source", "first_frame"):
        files.put(tmp_path / "upload", job.id, name)
    table.accept(job, max_queued=9)
    outcome: list[Outcome] = []
    work = (table, files, StubEditor(), job.id, "w", SETTINGS, lambda: False, tmp_path / "scratch")
    thread = threading.Thread(target=lambda: outcome.append(run_job(*work)))
    thread.start()
    while got(table, job.id).state != State.RUNNING:
        time.sleep(0.01)
    time.sleep(random.Random(seed).uniform(0.0, 0.7))
    postgres.stop(random.Random(seed).choice([signal.SIGINT, signal.SIGQUIT]))
    time.sleep(0.5)
    postgres.start()
    thread.join(30)
    assert (outcome, got(table, job.id).state, got(table, job.id).starts) == ([Outcome.SUCCEEDED], State.SUCCEEDED, 1)


@pytest.mark.parametrize("seed", range(5))
def test_a_full_disk_ends_the_job_with_its_reason(table: JobTable, ask: Ask, tmp_path: Path, small_disk: Path, seed: int) -> None:
    """Under the scratch folder or under the store, with less room than the video needs."""
    store, scratch = (FileStore(small_disk), tmp_path / "scratch") if seed % 2 else (FileStore(tmp_path / "files"), small_disk)
    job = ask()
    for name in ("source", "first_frame"):
        store.put(tmp_path / "upload", job, name)
    filler = fill(small_disk, 4096 * random.Random(seed).randrange(1 + len(video(1, 4)) // 4096))
    assert run_job(table, store, StubEditor(), job, "w", SETTINGS, lambda: False, scratch) == Outcome.FAILED
    failed = got(table, job)
    assert (failed.state, (failed.error or ("",))[0], failed.video) == (State.FAILED, "no_space", None)
    assert {path.name for path in small_disk.rglob("*") if path.is_file()} <= {filler.name, "source", "first_frame"}


def test_a_full_disk_under_the_table_ends_no_edit(files: FileStore, tmp_path: Path, small_disk: Path) -> None:
    table = JobTable(f"sqlite:///{small_disk / 'jobs.sqlite'}")
    (tmp_path / "upload").write_bytes(b"a clip")
    job = new_job(prompt="stub steps=10 pause_s=0.05")
    for name in ("source", "first_frame"):
        files.put(tmp_path / "upload", job.id, name)
    table.accept(job, max_queued=9)
    outcome: list[Outcome] = []
    work = (table, files, StubEditor(), job.id, "w", SETTINGS, lambda: False, tmp_path / "scratch")
    thread = threading.Thread(target=lambda: outcome.append(run_job(*work)))
    thread.start()
    while not (got(table, job.id).progress or {}).get("step"):
        time.sleep(0.01)
    filler = fill(small_disk, 0)
    time.sleep(0.8)  # it is at its end now, and cannot say so
    assert (thread.is_alive(), got(table, job.id).state) == (True, State.RUNNING)
    filler.unlink()
    thread.join(10)
    assert (outcome, got(table, job.id).state, got(table, job.id).starts) == ([Outcome.SUCCEEDED], State.SUCCEEDED, 1)
    table.close()


def test_a_lease_of_the_past_writes_nothing(table: JobTable, ask: Ask) -> None:
    job = ask()
    assert not table.beat(Lease(job, 0), None, 60)
    assert not table.succeed(Lease(job, 1), "edit-1.mp4", {})
