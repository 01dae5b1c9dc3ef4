"""The table's columns, and the statements that several of `JobTable`'s methods are made of."""

import json
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from serve.job import ID, Job, Lease, NewJob, State
from synclora.errors import Reason

metadata = sa.MetaData()

jobs = sa.Table(
    "jobs",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("key", sa.Text),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("request", sa.Text, nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("created", sa.Double, nullable=False),
    sa.Column("deadline", sa.Double, nullable=False),
    sa.Column("due", sa.Double, nullable=False),  # when it may be started: a queued one's turn, the end of a running one's lease
    sa.Column("started", sa.Double),
    sa.Column("ended", sa.Double),
    sa.Column("starts", sa.Integer, nullable=False, default=0),  # only grows: it is the number of the lease
    sa.Column("excused", sa.Integer, nullable=False, default=0),  # starts that do not count: a replica that drained
    sa.Column("worker", sa.Text),
    sa.Column("progress", sa.Text),
    sa.Column("trouble", sa.Text),  # the exception of the last start
    sa.Column("reason", sa.Text),
    sa.Column("detail", sa.Text),
    sa.Column("result", sa.Text),
    sa.Column("video", sa.Text),
    sa.Column("tidied", sa.Boolean, nullable=False, default=False),  # artefacts of other starts are gone
    sa.UniqueConstraint("owner", "key"),
)
sa.Index("jobs_live", jobs.c.created, jobs.c.id, sqlite_where=jobs.c.ended.is_(None), postgresql_where=jobs.c.ended.is_(None))
sa.Index("jobs_owner", jobs.c.owner, jobs.c.id)
sa.Index("jobs_recent", jobs.c.owner, jobs.c.created)
sa.Index("jobs_ended", jobs.c.ended)
sa.Index("jobs_counts", jobs.c.state, jobs.c.reason)
_untidy = sa.and_(jobs.c.ended.is_not(None), sa.not_(jobs.c.tidied))
sa.Index("jobs_untidy", jobs.c.ended, sqlite_where=_untidy, postgresql_where=_untidy)

version = sa.Table("jobs_schema", metadata, sa.Column("version", sa.Integer, primary_key=True))


class now(FunctionElement[float]):
    """Seconds since 1970 by the database's clock, in milliseconds or finer."""

    type = sa.Double()
    inherit_cache = True


@compiles(now, "sqlite")
def _now_sqlite(element: Any, compiler: Any, **_: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(now, "postgresql")
def _now_postgresql(element: Any, compiler: Any, **_: Any) -> str:
    return "extract(epoch FROM clock_timestamp())::double precision"


COLUMNS = [column for column in jobs.c if column.name not in ("key", "digest", "due", "excused", "worker", "trouble", "tidied")]
"""What a `Job` is made of."""
LIVE = jobs.c.ended.is_(None)
TRIES = jobs.c.starts - jobs.c.excused


def held(lease: Lease) -> sa.ColumnElement[bool]:
    """A row that this lease may write to."""
    return sa.and_(jobs.c.id == lease.job, jobs.c.state == State.RUNNING, jobs.c.starts == lease.start)


def change(condition: sa.ColumnElement[bool], **values: Any) -> Any:
    """An UPDATE of the rows that meet the condition; it returns them as they are then."""
    return sa.update(jobs).where(condition).values(**values).returning(*COLUMNS)


LATE: dict[str, Any] = {
    "state": State.FAILED,
    "ended": now(),
    "reason": Reason.DEADLINE.value,
    "detail": "was not done by its deadline; ask for less, or later",
}
"""What a job becomes that is past its deadline."""


def insertion(job: NewJob) -> Any:
    """An INSERT of a job; it returns its row.

    Raises:
        ValueError: its id is none of `make_id`.
    """
    if ID.fullmatch(job.id) is None:
        raise ValueError(f"job id {job.id!r}; take one from make_id()")
    values = {
        "id": job.id,
        "owner": job.owner,
        "key": job.key,
        "digest": job.digest,
        "state": State.QUEUED,
        "request": dumps(job.request),
        "source": dumps(job.source),
        "created": now(),
        "deadline": now() + job.deadline_s,
        "due": now(),
    }
    return sa.insert(jobs).values(**values).returning(*COLUMNS)


def keyed(connection: sa.Connection, owner: str, key: str) -> Any:
    """The row that an owner's Idempotency-Key belongs to, with its digest; None: it is new."""
    statement = sa.select(*COLUMNS, jobs.c.digest).where(jobs.c.owner == owner, jobs.c.key == key)
    return connection.execute(statement).one_or_none()


def job_of(row: sa.Row[Any]) -> Job:
    """A row of `COLUMNS` as a value."""
    return Job(
        id=row.id,
        owner=row.owner,
        state=State(row.state),
        request=json.loads(row.request),
        source=json.loads(row.source),
        created=row.created,
        deadline=row.deadline,
        started=row.started,
        ended=row.ended,
        starts=row.starts,
        progress=None if row.progress is None else json.loads(row.progress),
        error=None if row.reason is None else (row.reason, row.detail or ""),
        result=None if row.result is None else json.loads(row.result),
        video=row.video,
    )


def dumps(value: dict[str, Any]) -> str:
    """JSON for a column; NaN is refused, as PostgreSQL's and browsers' JSON know none."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


def clean(detail: str) -> str:
    """One line of at most 500 characters that both databases can hold."""
    return " ".join(detail.replace("\0", " ").encode("utf-8", "replace").decode().split())[:500]
