"""The job table: what was accepted, who works on it, how it ended. The one place where a job's state changes.

SQLAlchemy over SQLite (one machine) or PostgreSQL. Every change is one conditional UPDATE, so that of two who try, one succeeds:

    queued -> running -> succeeded | failed | cancelled
       ^---------'        (a lease that ran out, a replica that drains)

A worker holds a job by a lease: the job's id and the number of its start. Whatever it writes is written only while the row is running and has
that number, so that a worker that was given up for dead cannot commit. Clocks of different nodes differ: all times are the database's.

    table = JobTable("sqlite:////data/jobs.sqlite")
    job, new = table.accept(NewJob(make_id(), "anna", None, digest, request, source, deadline_s=3600), max_queued=1000)
    lease, job = table.start(job.id, "replica-1", lease_s=15) or leave()
    table.beat(lease, {"stage": "sampling", "step": 1}, lease_s=15) or stop()
    table.succeed(lease, "edit-1.mp4", result)
"""

import json
import secrets
from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa

from serve.admission import admit
from serve.database import Database
from serve.job import ENDS, ID, Counts, Job, Lease, NewJob, Refused, State, Waiting, made_at, make_id
from serve.rows import COLUMNS, LATE, LIVE, TRIES, change, clean, dumps, held, insertion, job_of, jobs, keyed, now
from synclora.errors import MediaError, Reason

__all__ = ["ENDS", "ID", "Counts", "Job", "JobTable", "Lease", "NewJob", "Refused", "State", "Waiting", "made_at", "make_id"]

_PAUSES_S = (1.0, 2.0, 4.0, 8.0, 16.0)  # after an exception: what is short now (memory, a file server) may be back then


class JobTable:
    """One per process. Its methods may be called from any thread; each is one transaction.

    All raise `serve.database.TableError` when the database stays away, and those that write OSError (ENOSPC) when its disk is full.
    """

    def __init__(self, url: str, *, patience_s: float = 10.0) -> None:
        """Connect, and make the schema if it is not there (any number of processes may do so at once).

        Args:
            url: sqlite:///FILE or postgresql+psycopg://USER@HOST/NAME.
            patience_s: a call meets a lost database for so long before it raises.
        """
        self._base = Database(url, patience_s=patience_s)

    def close(self) -> None:
        """Close its connections."""
        self._base.close()

    # The door

    def check(
        self, owner: str, key: str | None = None, *, max_queued: int, max_owner: int | None = None, per_minute: int | None = None
    ) -> None:
        """Before an upload is read: would it be accepted? Passes an Idempotency-Key that is known.

        Raises:
            Refused: as `accept`.
        """

        def work(connection: sa.Connection) -> None:
            if key is None or keyed(connection, owner, key) is None:
                admit(connection, owner, max_queued, max_owner, per_minute)

        self._base.read(work)

    def accept(
        self, job: NewJob, *, max_queued: int, max_owner: int | None = None, per_minute: int | None = None
    ) -> tuple[Job, bool]:
        """Take a job in; True: it is new, False: the Idempotency-Key and the digest are those of the job that is returned.

        Args:
            job: its files are stored already.
            max_queued: jobs that may wait.
            max_owner: jobs of this owner that may wait.
            per_minute: jobs of this owner that may be accepted within any minute.

        Raises:
            Refused: QUEUE_FULL or KEY_LIMIT.
            MediaError: CONFLICT: the owner used the Idempotency-Key for something else.
        """

        def work(connection: sa.Connection) -> tuple[Job, bool]:
            self._base.alone(connection)
            known = keyed(connection, job.owner, job.key) if job.key is not None else None
            if known is not None and known.id != job.id:
                if known.digest != job.digest:
                    detail = f"Idempotency-Key {job.key!r} belongs to job {known.id}, which was asked for something else; use another key"
                    raise MediaError(Reason.CONFLICT, detail)
                return job_of(known), False
            again = connection.execute(sa.select(*COLUMNS).where(jobs.c.id == job.id)).one_or_none()
            if again is not None:  # the answer to our commit was lost
                return job_of(again), True
            admit(connection, job.owner, max_queued, max_owner, per_minute)
            return job_of(connection.execute(insertion(job)).one()), True

        return self._base.write(work)

    def get(self, id: str) -> Job | None:
        """One job; None: there is no such, or it is forgotten."""
        return self.many([id]).get(id)

    def many(self, ids: Iterable[str]) -> dict[str, Job]:
        """Jobs by id; those that are not there are left out."""
        wanted = list(ids)
        found: dict[str, Job] = {}
        for begin in range(0, len(wanted), 500):  # SQLite takes 32766 values a statement
            statement = sa.select(*COLUMNS).where(jobs.c.id.in_(wanted[begin : begin + 500]))
            found |= {job.id: job for job in self._jobs(statement)}
        return found

    def list(self, owner: str, limit: int, before: str | None = None) -> Sequence[Job]:
        """One owner's jobs, newest first; `before` is the last id of the page before."""
        statement = sa.select(*COLUMNS).where(jobs.c.owner == owner).order_by(jobs.c.id.desc()).limit(limit)
        if before is not None:
            statement = statement.where(jobs.c.id < before)
        return self._jobs(statement)

    def position(self, id: str) -> int | None:
        """How many are before it in the queue; None when it does not wait."""
        mine = jobs.alias()
        earlier = sa.or_(jobs.c.created < mine.c.created, sa.and_(jobs.c.created == mine.c.created, jobs.c.id < mine.c.id))
        ahead = sa.select(sa.func.count()).select_from(jobs).where(LIVE, jobs.c.state == State.QUEUED, earlier).scalar_subquery()
        statement = sa.select(ahead).where(mine.c.id == id, mine.c.state == State.QUEUED)
        return self._base.read(lambda connection: connection.scalar(statement))

    def cancel(self, id: str) -> Job | None:
        """End a job that has not ended; the job as it is then, None if there is no such."""
        statement = change(sa.and_(jobs.c.id == id, LIVE), state=State.CANCELLED, ended=now())
        row = self._base.write(lambda connection: connection.execute(statement).one_or_none())
        return job_of(row) if row is not None else self.get(id)

    # The dispatcher

    def waiting(self, limit: int) -> Sequence[Waiting]:
        """Jobs that may be started, first come first: queued ones, and running ones whose lease ran out."""
        statement = (
            sa.select(jobs.c.id, jobs.c.request).where(LIVE, jobs.c.due <= now()).order_by(jobs.c.created, jobs.c.id).limit(limit)
        )
        rows = self._base.read(lambda connection: connection.execute(statement).all())
        return [Waiting(row.id, json.loads(row.request).get("adapter")) for row in rows]

    def overdue(self) -> Sequence[str]:
        """Fail all that are past their deadline; their ids."""
        statement = change(sa.and_(LIVE, jobs.c.deadline <= now()), **LATE)
        return [row.id for row in self._base.write(lambda connection: connection.execute(statement).all())]

    def expired(self, keep_s: float, limit: int = 100) -> Sequence[str]:
        """Jobs that ended so long ago, the oldest first."""
        statement = sa.select(jobs.c.id).where(jobs.c.ended <= now() - keep_s).order_by(jobs.c.ended).limit(limit)
        return list(self._base.read(lambda connection: connection.scalars(statement).all()))

    def forget(self, id: str) -> None:
        """Remove an ended job's row; its files first, else nobody finds them again."""
        self._base.write(lambda connection: connection.execute(sa.delete(jobs).where(jobs.c.id == id, sa.not_(LIVE))))

    def untidy(self, after_s: float, limit: int = 100) -> Sequence[Job]:
        """Jobs that ended so long ago and whose worker did not come to remove other starts' artefacts."""
        statement = sa.select(*COLUMNS).where(jobs.c.ended <= now() - after_s, sa.not_(jobs.c.tidied)).limit(limit)
        return self._jobs(statement)

    def tidied(self, id: str) -> None:
        """Note that an ended job has no artefact but its own."""
        statement = sa.update(jobs).where(jobs.c.id == id, sa.not_(LIVE)).values(tidied=True)
        self._base.write(lambda connection: connection.execute(statement))

    def counts(self) -> Counts:
        """The table in numbers, for metrics."""
        statement = sa.select(jobs.c.state, jobs.c.reason, sa.func.count().label("number")).group_by(jobs.c.state, jobs.c.reason)
        oldest = sa.select(now() - sa.func.min(jobs.c.created)).where(LIVE, jobs.c.state == State.QUEUED)
        rows, age = self._base.read(lambda connection: (connection.execute(statement).all(), connection.scalar(oldest)))
        states = dict.fromkeys(State, 0)
        for row in rows:
            states[State(row.state)] += row.number
        return Counts(
            states, {row.reason: row.number for row in rows if row.reason is not None}, None if age is None else max(0.0, age)
        )

    # The worker

    def start(self, id: str, worker: str, lease_s: float, max_starts: int = 5) -> tuple[Lease, Job] | None:
        """Take a job up. None: it is not to be started now, or it had its `max_starts` starts and fails now as crashed."""
        token = f"{worker}/{secrets.token_hex(8)}"
        ready = sa.and_(jobs.c.id == id, LIVE, jobs.c.due <= now(), jobs.c.deadline > now(), max_starts > TRIES)
        taking = change(
            ready,
            state=State.RUNNING,
            starts=jobs.c.starts + 1,
            worker=token,
            due=now() + lease_s,
            started=sa.func.coalesce(jobs.c.started, now()),
            progress=None,
        )
        ours = sa.select(*COLUMNS).where(jobs.c.id == id, jobs.c.state == State.RUNNING, jobs.c.worker == token)
        worn = sa.and_(jobs.c.id == id, LIVE, jobs.c.due <= now(), max_starts <= TRIES)
        lost = f"its worker was lost with it {max_starts} times"
        crashed = {"reason": Reason.CRASHED.value, "detail": sa.func.coalesce(jobs.c.trouble, lost)}

        def work(connection: sa.Connection) -> sa.Row[Any] | None:
            row = connection.execute(taking).one_or_none()
            if row is None:
                row = connection.execute(ours).one_or_none()  # the answer to our commit was lost
            if row is None:
                connection.execute(change(worn, state=State.FAILED, ended=now(), **crashed))
                connection.execute(change(sa.and_(jobs.c.id == id, LIVE, jobs.c.deadline <= now()), **LATE))
            return row

        row = self._base.write(work)
        return None if row is None else (Lease(id, row.starts), job_of(row))

    def holds(self, lease: Lease) -> bool:
        """Is it still yours? Only reads; a job past its deadline is nobody's."""
        statement = sa.select(jobs.c.id).where(held(lease), jobs.c.deadline > now())
        return self._base.read(lambda connection: connection.scalar(statement)) is not None

    def beat(self, lease: Lease, progress: dict[str, Any] | None, lease_s: float) -> bool:
        """Stay the holder for `lease_s` more, and say how far it is (None: as before).

        False: it is no longer yours: cancelled, taken over, or its deadline has passed, with which it fails.
        """
        values: dict[str, Any] = {"due": now() + lease_s}
        if progress is not None:
            values["progress"] = dumps(progress)
        beating = sa.update(jobs).where(held(lease), jobs.c.deadline > now()).values(**values)

        def work(connection: sa.Connection) -> bool:
            if connection.execute(beating).rowcount == 1:
                return True
            connection.execute(change(sa.and_(held(lease), jobs.c.deadline <= now()), **LATE))
            return False

        return self._base.write(work)

    def give_back(self, lease: Lease) -> bool:
        """Queue it again at its old place, as if this start had not been: a replica that drains."""
        values = {"state": State.QUEUED, "due": now(), "excused": jobs.c.excused + 1, "progress": None}
        return self._end_start(lease, (sa.true(), values))

    def retry(self, lease: Lease, detail: str, max_starts: int = 5) -> bool:
        """After an exception: queue it again, a little later, or fail it as crashed with this detail after `max_starts` starts."""
        trouble = clean(detail)
        crashed = {"state": State.FAILED, "ended": now(), "reason": Reason.CRASHED.value, "detail": trouble}
        pause = sa.case(dict(enumerate(_PAUSES_S, 1)), value=TRIES, else_=_PAUSES_S[-1])
        again = {"state": State.QUEUED, "due": now() + pause, "trouble": trouble, "progress": None}
        return self._end_start(lease, (max_starts <= TRIES, crashed), (sa.true(), again))

    def succeed(self, lease: Lease, video: str, result: dict[str, Any]) -> bool:
        """End a job with its artefact. One that is done counts as done, also when it is past its deadline."""
        values = {"state": State.SUCCEEDED, "ended": now(), "video": video, "result": dumps(result)}
        return self._end_start(lease, (sa.true(), values))

    def fail(self, lease: Lease, reason: Reason, detail: str) -> bool:
        """End a job with the reason why it cannot be done."""
        values = {"state": State.FAILED, "ended": now(), "reason": reason.value, "detail": clean(detail)}
        return self._end_start(lease, (sa.true(), values))

    def _jobs(self, statement: Any) -> Sequence[Job]:
        return [job_of(row) for row in self._base.read(lambda connection: connection.execute(statement).all())]

    def _end_start(self, lease: Lease, *ways: tuple[sa.ColumnElement[bool], dict[str, Any]]) -> bool:
        """Leave a lease by the first way whose condition is met; False: it was not held."""
        mark = f"left/{secrets.token_hex(8)}"
        endings = [change(sa.and_(held(lease), condition), worker=mark, **values) for condition, values in ways]
        ours = sa.select(jobs.c.id).where(jobs.c.id == lease.job, jobs.c.worker == mark)

        def work(connection: sa.Connection) -> bool:
            if any(connection.execute(ending).one_or_none() is not None for ending in endings):
                return True
            return connection.scalar(ours) is not None  # the answer to our commit was lost

        return self._base.write(work)
