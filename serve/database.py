"""The database under the job table: SQLite or PostgreSQL, made to behave alike.

    base = Database("sqlite:////data/jobs.sqlite")          # or postgresql+psycopg://user@host/name
    base.write(lambda connection: connection.execute(...))  # one transaction, tried again when the connection is lost

SQLite has one writer at a time: a transaction that writes takes the lock at its beginning, so that what it reads stays true. PostgreSQL
locks rows; what must be counted and then inserted takes `alone`. A function given to `read` or `write` may run more than once.
"""

import contextlib
import errno
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.engine import URL, make_url

from serve.rows import metadata
from serve.rows import version as _version
from synclora.errors import SyncLoraError

T = TypeVar("T")

VERSION = 1
"""Of the schema below. Another one in a database is refused."""

_ALONE = 0x53796E634C  # "SyncL": the advisory lock of this program in a PostgreSQL database
_BUSY_S = 30.0  # SQLite's lock is waited for so long; transactions take milliseconds
_FULL = {"SQLITE_FULL", "53100"}
_PASSING = {
    "SQLITE_BUSY",
    "SQLITE_LOCKED",
    "SQLITE_BUSY_SNAPSHOT",
    "SQLITE_BUSY_RECOVERY",
    "40001",
    "40P01",
}  # another transaction's fault


class TableError(SyncLoraError):
    """The job table cannot be used: unreachable for longer than a restart takes, of another version, or no such database."""


class Database:
    """One per process; its methods may be called from any thread."""

    def __init__(self, url: str, *, patience_s: float = 10.0) -> None:
        """Connect, and make the schema if it is not there.

        Args:
            url: sqlite:///FILE, or postgresql+psycopg://…
            patience_s: a lost connection is tried again for so long: a restart of PostgreSQL takes two to five seconds.

        Raises:
            TableError: it cannot be reached or is not ours.
        """
        try:
            parsed = make_url(url)
        except exc.ArgumentError as error:
            raise TableError(
                f"database {url!r}: not a URL; give sqlite:///FILE or postgresql+psycopg://USER@HOST/NAME"
            ) from error
        self.name = parsed.render_as_string(hide_password=True)
        self.sqlite = parsed.get_backend_name() == "sqlite"
        self._patience_s = patience_s
        self._engine = _sqlite(parsed) if self.sqlite else _postgresql(parsed, self.name)
        # threads queue here instead of polling SQLite's file lock, which is unfair and slow
        self._writer: contextlib.AbstractContextManager[Any] = threading.Lock() if self.sqlite else contextlib.nullcontext()
        self._prepare()

    def read(self, work: Callable[[sa.Connection], T]) -> T:
        """Run a function in a transaction that only reads.

        Raises:
            TableError: the database stayed away.
        """
        return self._patiently(lambda: self._transaction(work, "BEGIN"))

    def write(self, work: Callable[[sa.Connection], T]) -> T:
        """Run a function in a transaction; it is committed, or did not happen.

        When the answer to a commit is lost, the function runs again on what it has done: it must recognise that.

        Raises:
            TableError: the database stayed away.
            OSError: its disk is full.
        """

        def once() -> T:
            with self._writer:
                return self._transaction(work, "BEGIN IMMEDIATE")

        return self._patiently(once)

    def alone(self, connection: sa.Connection) -> None:
        """Within `write`: nobody else is between here and the end of the transaction."""
        if not self.sqlite:
            connection.execute(sa.text("SELECT pg_advisory_xact_lock(:number)"), {"number": _ALONE})

    def close(self) -> None:
        """Close the pool's connections."""
        self._engine.dispose()

    def _transaction(self, work: Callable[[sa.Connection], T], begin: str) -> T:
        with self._engine.connect().execution_options(begin=begin) as connection, connection.begin():
            return work(connection)

    def _patiently(self, once: Callable[[], T]) -> T:
        give_up = time.monotonic() + self._patience_s
        pause = 0.05
        while True:
            try:
                return once()
            except (exc.OperationalError, exc.InterfaceError, exc.InternalError, exc.TimeoutError) as error:
                problem = self._problem(error)
                if problem is not None or time.monotonic() + pause > give_up:
                    raise problem or TableError(f"job table {self.name}: {_line(error)}; is the database running?") from error
            time.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(pause * 2, 1.0)

    def _problem(self, error: Exception) -> Exception | None:
        """What no second try can mend; else None."""
        code = _code(error)
        if code in _FULL:
            return OSError(errno.ENOSPC, f"job table {self.name}: no space left on its disk")
        if self.sqlite and isinstance(error, exc.OperationalError) and code not in _PASSING:
            return TableError(f"job table {self.name}: {_line(error)}; give a file on a local disk that can be written")
        return None

    def _prepare(self) -> None:
        def work(connection: sa.Connection) -> None:
            self.alone(connection)
            metadata.create_all(connection)
            version = connection.scalar(sa.select(_version.c.version))
            if version is None:
                connection.execute(sa.insert(_version).values(version=VERSION))
            elif version != VERSION:
                raise TableError(f"job table {self.name}: version {version}, this program knows {VERSION}; give another database")

        try:
            self.write(work)
        except exc.SQLAlchemyError as error:
            raise TableError(f"job table {self.name}: {_line(error)}; give a database of its own") from error


def _sqlite(url: URL) -> sa.Engine:
    if not url.database or url.database == ":memory:":
        raise TableError(f"database {url}: jobs would not outlive the process; give a file, sqlite:///FILE")
    with contextlib.suppress(OSError):  # SQLite says it better
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    engine = sa.create_engine(url, pool_size=8, max_overflow=32, pool_timeout=60)

    @sa.event.listens_for(engine, "connect")
    def connect(raw: Any, _: Any) -> None:
        raw.isolation_level = None  # the driver begins no transactions: `begin` below does
        raw.execute("PRAGMA busy_timeout=2")
        _use_wal(raw)
        raw.execute("PRAGMA synchronous=FULL")  # an accepted job outlives the machine's power, too

    @sa.event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        """SQLite waits by looking every 100 ms: of three busy processes, one got half as much done and waited up to 1.8 s; so, 0.2 to 0.5 s."""
        give_up = time.monotonic() + _BUSY_S
        while True:
            try:
                connection.exec_driver_sql(connection.get_execution_options().get("begin", "BEGIN"))
            except exc.OperationalError as error:
                if _code(error) not in _PASSING or time.monotonic() > give_up:
                    raise
                time.sleep(random.uniform(0.0002, 0.002))
            else:
                return

    return engine


def _use_wal(raw: Any) -> None:
    """Readers beside a writer. Changing over asks for the file alone and does not wait for it: so we do."""
    import sqlite3

    for attempt in range(200):
        try:
            raw.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorname not in _PASSING or attempt == 199:
                raise
            time.sleep(0.01 * random.uniform(1, 3))
        else:
            return


def _postgresql(url: URL, name: str) -> sa.Engine:
    if url.get_backend_name() != "postgresql" or url.get_driver_name() not in ("psycopg", "psycopg2"):
        raise TableError(f"database {name}: not SQLite or PostgreSQL; give sqlite:///FILE or postgresql+psycopg://USER@HOST/NAME")
    # a node that vanishes answers nothing: notice it in 15 s, not in TCP's two hours
    alive = {"keepalives_idle": 5, "keepalives_interval": 5, "keepalives_count": 2, "tcp_user_timeout": 15_000}
    return sa.create_engine(
        url.set(drivername="postgresql+psycopg"), pool_size=8, max_overflow=16, connect_args={"connect_timeout": 5, **alive}
    )


def _code(error: Exception) -> str:
    """SQLite's name or PostgreSQL's five characters of an error; "" for others."""
    cause = getattr(error, "orig", None)
    return getattr(cause, "sqlite_errorname", None) or getattr(cause, "sqlstate", None) or ""


def _line(error: Exception) -> str:
    return " ".join(str(getattr(error, "orig", None) or error).split())
