"""Who watches what: one look into the table per door, however many clients watch, and server-sent events from it.

    watch = Watch(look, poll_s=0.2)
    async for seen in watch.follow("job id", Seen(job, position), keep_alive_s=15.0):     # None: time for a sign of life

The table is asked while somebody watches, for the watched jobs only. A stream starts with the job as it is, goes on with every change that
a look finds, and ends with the job's end. Nothing is owed to a client that goes away: its place is given up when its stream is closed.
"""

import asyncio
import contextlib
import hashlib
import json
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field

import anyio
from fastapi.sse import format_sse_event

from serve.job import ENDS, Job
from serve.schema import view

log = logging.getLogger("synclora.serve")

STREAM_S = 600.0
"""A stream is ended after so long and the client comes back by itself: a door that drains is not held for hours."""


@dataclass(frozen=True)
class Seen:
    """A job and its place in the queue; a job of None was removed."""

    job: Job | None
    position: int | None = None

    @property
    def ended(self) -> bool:
        """Nothing more will change."""
        return self.job is None or self.job.state in ENDS


Look = Callable[[Sequence[str]], dict[str, Seen]]
"""Asks the table for some jobs; it blocks and runs in a thread. A job that is not in the answer was removed."""


@dataclass
class _Sight:
    watchers: int = 0
    seen: Seen | None = None
    looked: float = 0.0  # the loop's time before that look: what was read elsewhere later is newer
    changed: asyncio.Event = field(default_factory=asyncio.Event)


class Watch:
    """One per door and event loop."""

    def __init__(self, look: Look, poll_s: float) -> None:
        self._look, self._poll_s = look, poll_s
        self._sights: dict[str, _Sight] = {}
        self._task: asyncio.Task[None] | None = None

    @property
    def watchers(self) -> int:
        """Open streams."""
        return sum(sight.watchers for sight in self._sights.values())

    async def follow(
        self, job_id: str, first: Seen, keep_alive_s: float, stream_s: float = STREAM_S
    ) -> AsyncIterator[Seen | None]:
        """`first`, then each change; None after `keep_alive_s` without any. Ends after the end, or after `stream_s`."""
        yield first
        if first.ended:
            return
        loop = asyncio.get_running_loop()
        since, last, stop = loop.time(), first, loop.time() + stream_s
        sight = self._sights.setdefault(job_id, _Sight())
        sight.watchers += 1
        try:
            self._start()
            while not last.ended and loop.time() < stop:
                changed = sight.changed
                if sight.seen is not None and sight.looked >= since and sight.seen != last:
                    last = sight.seen
                    yield last
                    continue
                try:
                    await asyncio.wait_for(changed.wait(), min(keep_alive_s, max(0.01, stop - loop.time())))
                except TimeoutError:
                    yield None
        finally:
            sight.watchers -= 1
            if not sight.watchers:
                self._sights.pop(job_id, None)

    def _start(self) -> None:
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while self._sights:
            begin, names = loop.time(), list(self._sights)
            try:
                found = await anyio.to_thread.run_sync(self._look, names)
            except Exception as error:  # the table is away: those who watch wait, and are kept alive
                log.warning("watching %d edits: %s: %s", len(names), type(error).__name__, error)
                await asyncio.sleep(1.0)
                continue
            for name in names:
                sight = self._sights.get(name)
                if sight is not None:
                    self._tell(sight, found.get(name, Seen(None)), begin)
            await asyncio.sleep(self._poll_s)

    @staticmethod
    def _tell(sight: _Sight, seen: Seen, looked: float) -> None:
        sight.looked = looked
        if seen != sight.seen or seen.ended:
            sight.seen = seen
            changed, sight.changed = sight.changed, asyncio.Event()
            changed.set()


async def stream(changes: AsyncIterator[Seen | None], last_id: str | None, root: str = "") -> AsyncIterator[bytes]:
    """Server-sent events: `progress` with the job's JSON for each change, `end` for its end, comments in between.

    An event's id is a digest of what it says, so that it is the same from every door; a client that comes back with the id of what still
    holds is told nothing twice.
    """
    yield format_sse_event(retry=1000)  # milliseconds until a browser comes back
    async with contextlib.aclosing(changes) as ordered:  # type: ignore[type-var]
        async for seen in ordered:
            if seen is None:
                yield format_sse_event(comment="still here")
                continue
            data = said(seen, root)
            name = event_id(data)
            if name != last_id:
                last_id = name
                yield format_sse_event(event="end" if seen.ended else "progress", id=name, data_str=data)


def said(seen: Seen, root: str = "") -> str:
    """The data of an event."""
    if seen.job is None:
        return json.dumps({"error": {"reason": "not_found", "detail": "the edit was removed"}})
    return json.dumps(view(seen.job, seen.position, root), separators=(",", ":"), allow_nan=False)


def event_id(data: str) -> str:
    """Sixteen hex digits that change when the data does."""
    return hashlib.sha256(data.encode()).hexdigest()[:16]
