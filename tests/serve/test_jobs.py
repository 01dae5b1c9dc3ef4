"""The job table, on SQLite and on PostgreSQL alike."""

import errno
import json
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from serve.database import TableError
from serve.jobs import ENDS, ID, Job, JobTable, Lease, NewJob, Refused, State, made_at, make_id
from synclora.errors import MediaError, Reason
from tests.serve.audit import transitions, watch
from tests.serve.conftest import Postgres, fill, new_job
from tests.serve.deafness import Deaf

ROOT = Path(__file__).resolve().parents[2]
Accept = Callable[..., str]


def started(table: JobTable, job: str, lease_s: float = 60, **values: int) -> Lease:
    taken = table.start(job, "w", lease_s, **values)
    assert taken is not None
    return taken[0]


def got(table: JobTable, job: str) -> Job:
    found = table.get(job)
    assert found is not None
    return found


def test_a_job_goes_in_and_comes_out(table: JobTable) -> None:
    new = NewJob(make_id(), "anna", "k1", "d1", {"prompt": "é\0", "adapter": "may"}, {"frames": 9}, 60)
    job, is_new = table.accept(new, max_queued=1)
    assert is_new
    assert (job.id, job.owner, job.state, job.request, job.source) == (new.id, "anna", State.QUEUED, new.request, {"frames": 9})
    assert abs(job.created - time.time()) < 5
    assert job.deadline - job.created == pytest.approx(60, abs=0.1)
    assert table.get(job.id) == job
    assert [(one.id, one.adapter) for one in table.waiting(5)] == [(job.id, "may")]

    lease = started(table, job.id)
    assert (lease.start, got(table, job.id).state, table.waiting(5)) == (1, State.RUNNING, [])
    assert table.beat(lease, {"stage": "sampling", "step": 3}, 60)
    assert table.beat(lease, None, 60)
    assert got(table, job.id).progress == {"stage": "sampling", "step": 3}
    assert table.succeed(lease, "edit-1.mp4", {"frames": 9})
    done = got(table, job.id)
    assert (done.state, done.video, done.result, done.error, done.starts) == (
        State.SUCCEEDED,
        "edit-1.mp4",
        {"frames": 9},
        None,
        1,
    )
    assert done.created <= (done.started or 0) <= (done.ended or 0)


def test_ids_are_sortable_and_tell_their_time() -> None:
    before = time.time()
    ids = []
    for _ in range(20):
        ids.append(make_id())
        time.sleep(0.002)
    assert ids == sorted(ids)
    assert all(ID.fullmatch(one) for one in ids)
    assert len({one[10:] for one in ids}) == 20
    assert made_at(ids[0]) == pytest.approx(before, abs=0.1)


def test_an_id_that_is_none_of_ours_is_refused(table: JobTable) -> None:
    with pytest.raises(ValueError, match="make_id"):
        table.accept(NewJob("../../etc", "a", None, "d", {}, {}, 60), max_queued=9)


def test_the_queue_is_in_order_of_acceptance(table: JobTable, accept: Accept) -> None:
    ids = [accept() for _ in range(4)]
    assert [table.position(id) for id in ids] == [0, 1, 2, 3]
    assert [one.id for one in table.waiting(3)] == ids[:3]
    lease = started(table, ids[0])
    assert [table.position(id) for id in ids] == [None, 0, 1, 2]
    table.give_back(lease)  # it keeps its place
    assert [table.position(id) for id in ids] == [0, 1, 2, 3]
    table.cancel(ids[1])
    assert [one.id for one in table.waiting(9)] == [ids[0], *ids[2:]]


def test_pages_of_one_owner(table: JobTable, accept: Accept) -> None:
    ids = []
    for _ in range(5):
        ids.append(accept(owner="anna"))
        time.sleep(0.002)  # within one millisecond ids have no order
    accept(owner="bert")
    assert [job.id for job in table.list("anna", 2)] == ids[:2:-1]
    assert [job.id for job in table.list("anna", 9, before=ids[3])] == ids[2::-1]
    assert set(table.many([*ids, make_id()])) == set(ids)


def test_equal_idempotency_keys(table: JobTable) -> None:
    first, _ = table.accept(new_job(key="k", digest="one"), max_queued=1)
    again, is_new = table.accept(new_job(key="k", digest="one"), max_queued=1)  # the queue is full, but it is there already
    assert (again.id, is_new) == (first.id, False)
    with pytest.raises(MediaError, match="k") as conflict:
        table.accept(new_job(key="k", digest="two"), max_queued=9)
    assert conflict.value.reason == Reason.CONFLICT
    _, is_new = table.accept(new_job(owner="bert", key="k", digest="two"), max_queued=9)
    assert is_new
    table.cancel(first.id)
    assert table.accept(new_job(key="k", digest="one"), max_queued=9)[0].state == State.CANCELLED
    table.forget(first.id)
    assert table.accept(new_job(key="k", digest="two"), max_queued=9)[1]


def test_the_queue_the_owner_and_the_minute_have_bounds(table: JobTable) -> None:
    limits = {"max_queued": 3, "max_owner": 2, "per_minute": 3}
    for _ in range(2):
        table.accept(new_job(), **limits)
    for call in (lambda: table.accept(new_job(), **limits), lambda: table.check("anna", **limits)):
        with pytest.raises(Refused, match="2 of your edits wait, 2 may") as refused:
            call()
        assert refused.value.reason == Reason.KEY_LIMIT
    table.accept(new_job(owner="bert"), **limits)
    with pytest.raises(Refused, match="3 edits wait, 3 may") as refused:
        table.accept(new_job(owner="carl"), **limits)
    assert (refused.value.reason, refused.value.retry_after_s >= 1) == (Reason.QUEUE_FULL, True)
    for job in table.waiting(9):
        table.cancel(job.id)
    table.accept(new_job(), **limits)
    with pytest.raises(Refused, match="3 edits asked within a minute, 3 may be") as refused:
        table.accept(new_job(), **limits)
    assert (refused.value.reason, 55 <= refused.value.retry_after_s <= 60) == (Reason.KEY_LIMIT, True)
    table.check("bert", **limits)


def test_two_hundred_at_once_do_not_pass_the_bound(database: str) -> None:
    tables = [JobTable(database) for _ in range(4)]  # four doors

    def ask(number: int) -> str:
        try:
            table = tables[number % 4]
            return table.accept(new_job(owner=f"owner {number % 2}"), max_queued=50, max_owner=30)[0].id
        except Refused as error:
            return error.reason

    with ThreadPoolExecutor(64) as pool:
        answers = Counter(pool.map(ask, range(200)))
    refused = {reason: answers.pop(reason, 0) for reason in (Reason.QUEUE_FULL, Reason.KEY_LIMIT)}
    assert len(answers) == tables[0].counts().queued == 50
    assert sum(refused.values()) == 150
    assert all(sum(job.state == State.QUEUED for job in tables[0].list(owner, 99)) <= 30 for owner in ("owner 0", "owner 1"))


def test_equal_keys_at_once_are_one_job(database: str) -> None:
    tables = [JobTable(database) for _ in range(4)]

    def ask(number: int) -> tuple[str, bool]:
        job, is_new = tables[number % 4].accept(new_job(key=f"k{number % 5}"), max_queued=1000)
        return job.id, is_new

    with ThreadPoolExecutor(40) as pool:
        answers = list(pool.map(ask, range(100)))
    assert len({id for id, _ in answers}) == sum(is_new for _, is_new in answers) == tables[0].counts().queued == 5


def test_one_of_many_workers_gets_it(database: str) -> None:
    tables = [JobTable(database) for _ in range(4)]
    ids = [tables[0].accept(new_job(), max_queued=99)[0].id for _ in range(5)]
    with ThreadPoolExecutor(20) as pool:
        taken = list(pool.map(lambda number: tables[number % 4].start(ids[number // 4 % 5], "w", 60), range(100)))
    assert Counter(lease for lease, _ in filter(None, taken)) == {Lease(id, 1): 1 for id in ids}


def over(database: str, what: str, *ids: str) -> None:
    """As if the time had passed until these jobs' `due` or `deadline`: however slow the machine, it has not before."""
    engine = sa.create_engine(database)
    with engine.begin() as connection:
        connection.execute(sa.text(f"UPDATE jobs SET {what} = {what} - 600 WHERE id = :id"), [{"id": id} for id in ids])
    engine.dispose()


def test_a_lapsed_lease_is_taken_up_and_the_old_holder_can_do_nothing(database: str, table: JobTable, accept: Accept) -> None:
    job = accept()
    old = started(table, job, lease_s=600)
    assert table.start(job, "other", 60) is None
    over(database, "due", job)
    assert [one.id for one in table.waiting(5)] == [job]
    new = started(table, job)
    assert new == Lease(job, 2)
    assert not table.holds(old)
    assert not table.beat(old, {"step": 9}, 60)
    assert not table.give_back(old)
    assert not table.retry(old, "late")
    assert not table.fail(old, Reason.NO_FACE, "late")
    assert not table.succeed(old, "edit-1.mp4", {})
    assert table.holds(new)
    assert (got(table, job).state, got(table, job).progress, got(table, job).starts) == (State.RUNNING, None, 2)
    assert table.succeed(new, "edit-2.mp4", {})
    assert not table.succeed(new, "edit-2.mp4", {})


def test_a_lapsed_lease_that_nobody_took_goes_on(table: JobTable, accept: Accept) -> None:
    lease = started(table, accept(), lease_s=0.0)
    assert table.beat(lease, None, 60)
    assert table.waiting(5) == []
    assert table.beat(lease, None, 0)  # its dispatcher saw the worker die
    assert table.start(lease.job, "other", 60) is not None


def test_starts_are_counted_and_the_last_one_fails(table: JobTable, accept: Accept) -> None:
    job = accept()
    for number in (1, 2):
        assert started(table, job, lease_s=0, max_starts=2).start == number
    assert [one.id for one in table.waiting(5)] == [job]
    assert table.start(job, "w", 60, max_starts=2) is None
    assert got(table, job).error == ("crashed", "its worker was lost with it 2 times")
    assert table.waiting(5) == []


def test_a_replica_that_drains_costs_no_start(table: JobTable, accept: Accept) -> None:
    job = accept()
    for number in range(1, 6):
        lease = started(table, job, max_starts=1)
        assert lease.start == number  # the lease is another one all the same
        assert table.give_back(lease)
        assert not table.beat(lease, None, 60)
    assert (got(table, job).state, got(table, job).progress) == (State.QUEUED, None)


def test_an_exception_waits_for_another_try_and_fails_after_the_last(
    database: str, table: JobTable, accept: Accept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serve.jobs._PAUSES_S", (600.0, 1200.0))
    job = accept()
    assert table.retry(started(table, job, max_starts=2), "first", max_starts=2)
    assert (got(table, job).state, table.waiting(5), table.start(job, "w", 60)) == (State.QUEUED, [], None)
    over(database, "due", job)
    assert table.retry(started(table, job, max_starts=2), "ValueError:\nsecond\0", max_starts=2)
    assert got(table, job).error == ("crashed", "ValueError: second")


def test_cancel(table: JobTable, accept: Accept) -> None:
    waiting, running, done = accept(), accept(), accept()
    lease, finished = started(table, running), started(table, done)
    table.succeed(finished, "v", {})
    assert [table.cancel(job).state for job in (waiting, running, done)] == ["cancelled", "cancelled", "succeeded"]  # type: ignore[union-attr]
    assert not table.holds(lease)
    assert not table.beat(lease, None, 60)
    assert not table.succeed(lease, "v", {})
    assert table.cancel(waiting) == table.get(waiting)
    assert table.cancel(make_id()) is None


def test_deadlines(database: str, table: JobTable, accept: Accept) -> None:
    beating, resting, waiting, finished = jobs = [accept(deadline_s=600) for _ in range(4)]
    leases = [started(table, job) for job in (beating, resting, finished)]
    late = accept(deadline_s=0)
    assert table.start(late, "w", 60) is None
    assert table.overdue() == []
    assert table.holds(leases[0])
    over(database, "deadline", *jobs)
    assert not table.holds(leases[0])
    assert not table.beat(leases[0], {"step": 1}, 60)
    assert table.succeed(leases[2], "v", {})  # what is done is done
    assert set(table.overdue()) == {resting, waiting}
    assert table.overdue() == []
    assert not table.succeed(leases[1], "v", {})
    for job in (beating, resting, waiting, late):
        assert (got(table, job).state, (got(table, job).error or ("",))[0]) == (State.FAILED, "deadline")


def test_ended_jobs_are_tidied_expire_and_are_forgotten(table: JobTable, accept: Accept) -> None:
    jobs = [accept() for _ in range(3)]
    for job in jobs[:2]:
        table.cancel(job)
    assert table.expired(60) == []
    assert table.expired(0) == jobs[:2]
    assert [job.id for job in table.untidy(0)] == jobs[:2]
    table.tidied(jobs[0])
    table.tidied(jobs[2])  # lives
    assert [job.id for job in table.untidy(0)] == jobs[1:2]
    for job in jobs:
        table.forget(job)
    assert [table.get(job) is None for job in jobs] == [True, True, False]


def test_counts(table: JobTable, accept: Accept) -> None:
    assert (table.counts().queued, table.counts().oldest_s) == (0, None)
    jobs = [accept() for _ in range(5)]
    table.fail(started(table, jobs[0]), Reason.NO_FACE, "none")
    table.cancel(jobs[1])
    started(table, jobs[2])
    counts = table.counts()
    assert counts.states == {State.QUEUED: 2, State.RUNNING: 1, State.SUCCEEDED: 0, State.FAILED: 1, State.CANCELLED: 1}
    assert counts.failures == {"no_face": 1}
    assert 0 <= (counts.oldest_s or -1) < 60


@pytest.mark.parametrize("seed", range(5))
def test_however_they_race_each_job_ends_once(database: str, seed: int) -> None:
    table = JobTable(database)
    engine = watch(database)
    max_starts = 12
    ids = [table.accept(new_job(), max_queued=99)[0].id for _ in range(10)]
    ids.append(table.accept(new_job(deadline_s=0.7), max_queued=99)[0].id)
    command = [sys.executable, "-m", "tests.serve.audit", database]
    racers = [
        subprocess.Popen([*command, str(seed * 10 + number), "0.8", str(max_starts), *ids], stdout=subprocess.PIPE, cwd=ROOT)
        for number in range(2)
    ]
    told = Counter(tuple(deed) for racer in racers for deed in json.loads(racer.communicate(timeout=60)[0]))
    assert all(racer.returncode == 0 for racer in racers)
    for id in ids:  # what is left over
        while got(table, id).state not in ENDS:
            table.beat(Lease(id, got(table, id).starts), None, 0)
            if (taken := table.start(id, "last", 60, max_starts)) is not None:
                told["start", id, taken[0].start] += 1
                told["succeed", id, taken[0].start] += table.succeed(
                    taken[0], f"edit-{taken[0].start}.mp4", {"start": taken[0].start}
                )
    audit = transitions(engine)
    engine.dispose()
    for id in ids:
        check_story(got(table, id), audit[id], told, max_starts)
    assert sum(told.values()) > 50


def check_story(job: Job, story: list[sa.Row], told: Counter, max_starts: int) -> None:  # type: ignore[type-arg]
    moves = [(row.before, row.after) for row in story]
    assert moves[0][0] == "queued"
    assert all(earlier[1] == later[0] for earlier, later in pairwise(moves))
    assert [move[1] in ENDS for move in moves] == [False] * (len(moves) - 1) + [True]  # it ended, once, and nothing came after
    assert all(move != ("queued", "queued") for move in moves)
    for row in story:
        begins = row.after == "running"
        assert row.starts == row.starts_before + begins
        if begins:
            assert row.due_before <= row.at + 0.001  # nobody was robbed of a lease
    starts = [row.starts for row in story if row.after == "running"]
    assert starts == list(range(1, len(starts) + 1))
    for number in starts:
        assert told["start", job.id, number] == 1  # one worker each, and each start somebody's
    for deed, state in (("succeed", "succeeded"), ("give_back", "queued")):
        assert all(told[deed, job.id, number] <= 1 for number in starts)
        if deed == "succeed":
            assert sum(told[deed, job.id, number] for number in starts) == (job.state == state)
    excused = sum(told["give_back", job.id, number] for number in starts)
    assert len(starts) - excused <= max_starts
    last = story[-1]
    assert (job.video is not None) == (job.result is not None) == (last.after == "succeeded")
    assert job.video in (None, f"edit-{last.starts}.mp4")
    assert (job.error is not None) == (last.after == "failed")


def test_many_processes_make_the_schema_at_once(database: str) -> None:
    program = f"from serve.jobs import JobTable; print(JobTable({database!r}).counts().queued)"
    made = [
        subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT)
        for _ in range(6)
    ]
    for process in made:
        out, err = process.communicate(timeout=60)
        assert (out, err) == (b"0\n", b"")


def test_a_table_of_another_version_is_refused(database: str) -> None:
    JobTable(database).close()
    engine = sa.create_engine(database)
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE jobs_schema SET version = 99"))
    engine.dispose()
    with pytest.raises(TableError, match="version 99, this program knows 1"):
        JobTable(database)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("nonsense", "not a URL"),
        ("sqlite://", "give a file"),
        ("mysql://x/y", "not SQLite or PostgreSQL"),
        ("sqlite:////proc/nothing/jobs.sqlite", "local disk"),
        ("postgresql+psycopg://me:secret@127.0.0.1:9/none", "is the database running"),
    ],
)
def test_a_database_that_cannot_be_used_is_said_on_one_line(url: str, said: str) -> None:
    with pytest.raises(TableError, match=said) as error:
        JobTable(url, patience_s=0.2)
    assert "\n" not in str(error.value)
    assert "secret" not in str(error.value)


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "jobs.sqlite").write_bytes(b"hello, this is no database" * 100)
    with pytest.raises(TableError, match="not a database"):
        JobTable(f"sqlite:///{tmp_path / 'jobs.sqlite'}")


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT], ids=["closed", "crashed"])
def test_postgresql_may_restart_in_the_middle(postgres: Postgres, how: signal.Signals) -> None:
    table = JobTable(postgres.database(), patience_s=20)
    accepted, worked, over = [], [], threading.Event()

    def door() -> None:
        while not over.is_set():
            accepted.append(table.accept(new_job(), max_queued=100_000)[0].id)

    def worker() -> None:
        while not over.is_set():
            for waiting in table.waiting(5):
                taken = table.start(waiting.id, "w", 60)
                if taken is not None and table.beat(taken[0], {"step": 1}, 60) and table.succeed(taken[0], "v", {}):
                    worked.append(waiting.id)

    with ThreadPoolExecutor(6) as pool:
        doings = [pool.submit(do) for do in (door, door, door, worker, worker, worker)]
        for _ in range(3):
            time.sleep(0.4)
            postgres.stop(how)
            time.sleep(0.3)
            postgres.start()
        time.sleep(0.4)
        over.set()
        for doing in doings:
            doing.result(60)
    states = Counter(job.state for job in table.many(accepted).values())
    assert len(set(accepted)) == len(accepted) == sum(states.values()) == sum(table.counts().states.values())
    assert len(worked) == len(set(worked)) == states[State.SUCCEEDED] > 0
    assert states[State.RUNNING] == 0


def test_a_commit_whose_answer_is_lost_is_recognised(postgres: Postgres) -> None:
    deaf = Deaf(postgres.database())
    table = JobTable(deaf.url)

    def lossy(call: Callable[[], Any]) -> Any:
        before, deaf.armed = deaf.lost, True
        answer = call()
        assert deaf.lost == before + 1
        return answer

    job, is_new = lossy(lambda: table.accept(new_job(key="k"), max_queued=1))
    assert (is_new, table.counts().queued) == (True, 1)
    lease, _ = lossy(lambda: table.start(job.id, "w", 60))
    assert lossy(lambda: table.beat(lease, {"step": 1}, 60))
    assert lossy(lambda: table.give_back(lease))
    assert not table.give_back(lease)
    lease, _ = lossy(lambda: table.start(job.id, "w", 60))
    assert lease.start == 2
    assert lossy(lambda: table.succeed(lease, "edit-2.mp4", {}))
    assert not table.succeed(lease, "edit-2.mp4", {})
    other, _ = table.accept(new_job(), max_queued=1)
    assert lossy(lambda: table.cancel(other.id)).state == State.CANCELLED
    assert [table.get(id).state for id in (job.id, other.id)] == ["succeeded", "cancelled"]  # type: ignore[union-attr]
    table.close()
    deaf.close()


def test_a_database_that_stays_away_is_one_clear_error(postgres: Postgres) -> None:
    table = JobTable(postgres.database(), patience_s=0.5)
    postgres.stop()
    began = time.monotonic()
    with pytest.raises(TableError, match="is the database running") as error:
        table.counts()
    assert time.monotonic() - began < 3
    assert "\n" not in str(error.value)
    postgres.start()
    assert table.counts().queued == 0


def test_a_full_disk_under_sqlite_is_no_space_and_loses_nothing(small_disk: Path) -> None:
    table, accepted = JobTable(f"sqlite:///{small_disk / 'jobs.sqlite'}"), []
    filler = fill(small_disk, 100_000)

    def accept_many() -> None:
        accepted.extend(table.accept(new_job(prompt="x" * 5000), max_queued=999)[0].id for _ in range(99))

    with pytest.raises(OSError, match="no space left") as error:
        accept_many()
    assert error.value.errno == errno.ENOSPC
    with pytest.raises(OSError, match="no space left"):
        accept_many()
    assert table.counts().queued == len(accepted) > 0
    filler.unlink()
    assert table.accept(new_job(), max_queued=999)[1]
    assert table.counts().queued == len(accepted) + 1
    table.close()
