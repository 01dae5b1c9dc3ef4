"""The job table: what was accepted, who works on it, how it ended. The one place where a job's state changes.

SQLAlchemy over SQLite (one machine) or PostgreSQL. Every change is one conditional UPDATE, so that of two who try, one succeeds:

    queued -> running -> succeeded | failed | cancelled
       ^---------'        (a lease that ran out, a replica that drains)

A worker holds a job by a lease: the job's id and the number of its start. Whatever it writes is written only while the row is running and has
that number, so that a worker that was given up for dead cannot commit. Clocks of different nodes differ: all times are the database's.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class State(StrEnum):
    """Of a job. The last three are ends."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


ENDS = frozenset({State.SUCCEEDED, State.FAILED, State.CANCELLED})


@dataclass(frozen=True)
class Lease:
    """The right to work on a job.

    Attributes:
        job: its id.
        start: how often it was started, this time included.
    """

    job: str
    start: int


@dataclass(frozen=True)
class Job:
    """One row. Times are seconds since 1970, by the database's clock.

    Attributes:
        id: 26 characters, sortable by time; made here.
        owner: name of the key that asked; "" without keys.
        state: see `State`.
        request: an `EditRequest` without its paths, plus `consent` and the names of the key frames' files.
        source: facts of the source (`VideoInfo.to_json`).
        progress: a `Progress` as a dict; None before the first.
        starts: how often a worker took it up.
        error: reason (a word of `synclora.errors`) and detail; None but for a failed one.
        result: an `EditResult` as plain values; None but for a succeeded one.
        video: name of the artefact within the job's folder; None but for a succeeded one.
    """

    id: str
    owner: str
    state: State
    request: dict[str, Any]
    source: dict[str, Any]
    created: float
    deadline: float
    started: float | None
    ended: float | None
    starts: int
    progress: dict[str, Any] | None
    error: tuple[str, str] | None
    result: dict[str, Any] | None
    video: str | None
