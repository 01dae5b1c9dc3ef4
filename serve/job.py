"""What is said of a job: its row as a value, its states, its id. Imports no database."""

import re
import secrets
import time
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from synclora.errors import MediaError, Reason


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
        started: when a worker took it up first.
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


@dataclass(frozen=True)
class NewJob:
    """A job to be accepted.

    Attributes:
        id: of `make_id`, made when all of it has arrived and before its files are stored.
        key: the Idempotency-Key; one owner's keys are unique among the jobs that are kept.
        digest: SHA-256 of what was sent.
        deadline_s: seconds from acceptance in which it must end.
    """

    id: str
    owner: str
    key: str | None
    digest: str
    request: dict[str, Any]
    source: dict[str, Any]
    deadline_s: float


@dataclass(frozen=True)
class Waiting:
    """A job that may be started."""

    id: str
    adapter: str | None


@dataclass(frozen=True)
class Counts:
    """What is in the table.

    Attributes:
        states: jobs by state; every state is there.
        failures: failed jobs by reason.
        oldest_s: how long the first of the queue has waited; None when it is empty.
    """

    states: dict[State, int]
    failures: dict[str, int]
    oldest_s: float | None

    @property
    def queued(self) -> int:
        """Length of the queue."""
        return self.states[State.QUEUED]


class Refused(MediaError):
    """No room now: QUEUE_FULL or KEY_LIMIT.

    Attributes:
        retry_after_s: when it is worth another try.
    """

    def __init__(self, reason: Reason, detail: str, retry_after_s: int = 5) -> None:
        super().__init__(reason, detail)
        self.retry_after_s = retry_after_s

    def __reduce__(self) -> tuple[type["Refused"], tuple[Reason, str, int]]:  # type: ignore[override]
        return Refused, (self.reason, self.detail, self.retry_after_s)


_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's: none is taken for another when read aloud
ID = re.compile(rf"[{_ALPHABET}]{{26}}")


def make_id() -> str:
    """A new job's id: milliseconds since 1970 in 10 characters, then 80 random bits."""
    number = (time.time_ns() // 1_000_000 << 80) | secrets.randbits(80)
    return "".join(_ALPHABET[number >> shift & 31] for shift in range(125, -1, -5))


def made_at(job: str) -> float:
    """Seconds since 1970, by the clock of the machine that made the id."""
    milliseconds = 0
    for letter in job[:10]:
        milliseconds = milliseconds << 5 | _ALPHABET.index(letter)
    return milliseconds / 1000
