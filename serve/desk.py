"""What the addresses share: the door, its intake and its watch, and the questions about jobs that several of them ask. All of it blocks."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from serve.door import Caller, Door, caller_of
from serve.events import Seen, Watch
from serve.intake import Intake
from serve.job import ENDS, ID, Job, State
from serve.metrics import Metrics
from serve.problems import not_found


@dataclass(frozen=True)
class Desk:
    """What the addresses share."""

    door: Door
    intake: Intake
    watch: Watch
    metrics: Metrics

    def find(self, id: str, caller: Caller) -> Job:
        """A job of the caller's own.

        Raises:
            Refusal: 404, for everybody else's too.
        """
        job = self.door.table.get(id) if ID.fullmatch(id) else None
        if job is None or job.owner != caller.name:
            raise not_found(f"no edit {id[:40]!r}")
        return job

    def seen(self, id: str, caller: Caller) -> Seen:
        """The same, with its place in the queue."""
        job = self.find(id, caller)
        return Seen(job, self.door.table.position(id) if job.state is State.QUEUED else None)

    def remove(self, id: str, caller: Caller) -> Job | None:
        """Cancel it; remove one that has ended, and return None."""
        job = self.find(id, caller)
        if job.state not in ENDS:
            return self.door.table.cancel(id)
        self.door.files.delete_job(id)
        self.door.table.forget(id)
        return None


async def _desk(request: Request) -> Desk:
    desk: Desk = request.app.state.desk
    return desk


At = Annotated[Desk, Depends(_desk)]
"""Of an endpoint: the desk of the application that it is in."""


def _caller(request: Request, desk: At) -> Caller:
    return caller_of(request, desk.door.ring)


Who = Annotated[Caller, Depends(_caller)]
"""Of an endpoint: who asks; whoever may not, comes no further."""


def root_of(request: Request) -> str:
    """Path below which the service is mounted."""
    return str(request.scope.get("root_path", "")).rstrip("/")


def look(door: Door, ids: Sequence[str]) -> dict[str, Seen]:
    """Many jobs at once with their places, in two questions to the table however many wait."""
    found = door.table.many(ids)
    places: dict[str, int] = {}
    if any(job.state is State.QUEUED for job in found.values()):
        places = {one.id: place for place, one in enumerate(door.table.waiting(door.settings.max_queued))}
    return {id: Seen(job, _place(door, job, places)) for id, job in found.items()}


def _place(door: Door, job: Job, places: dict[str, int]) -> int | None:
    if job.state is not State.QUEUED:
        return None
    place = places.get(job.id)
    return door.table.position(job.id) if place is None else place  # one that rests after a failed start is not handed out now
