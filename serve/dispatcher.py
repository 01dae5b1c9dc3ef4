"""Hands waiting jobs to editors, and keeps house. One small process without a state of its own: killed, it starts again and reads the table.

**Why a job table, and not Serve's task consumers.** Serve's asynchronous inference (`ray.serve.task_consumer`, alpha in 2.60; its TaskIQ
adapter is a stub) is a Celery worker in a thread of each replica. Read against what is promised here:

- *SIGKILL in mid-step*: tasks are acknowledged late, so a broker with a visibility timeout (Redis: an hour by default) gives the task out
  again only after that, and one shorter than an edit gives a living task out twice. Nothing renews it. A lease with heartbeats is seconds.
- *Exactly one end*: delivery is at least once; who finishes last writes the result. Here a commit is one UPDATE that names the start it is of.
- *Cancel within a step*: `cancel_task_sync` is Celery's `revoke`, which reaches tasks that have not begun: the pool is of threads.
- *Draining and scaling*: the policy for consumers adds the broker's queue length to Serve's calls; a task under way is in neither, so a busy
  replica with an empty queue counts as idle, and `stop_consumer` waits ten seconds for it.
- *Bounded queue, place in it, progress, limits per key, deadlines*: a broker has none. They need a table; then two places know a job's state.
- *Adapters*: consumers pull; nothing sends a job to the replica that holds its adapter. And a broker is one more service to run.

So the table is the queue. What Serve does better stays Serve's: the hand-out is an ordinary call of a deployment, of `2 * max_replicas` jobs at
a time, which its autoscaler counts (from zero too), its router sends to a free editor that has the adapter, and its controller replaces when
it dies.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Any

from ray.exceptions import ActorDiedError
from ray.serve.handle import DeploymentHandle

from serve.files import FileStore
from serve.jobs import JobTable, Lease, Waiting
from serve.replica import LEAVING
from serve.settings import ServiceSettings
from synclora.command import one_line
from synclora.edit.request import NO_ADAPTER

log = logging.getLogger("ray.serve")

Start = tuple[str, int]
"""A job, and how often it was started when it was handed out: one hand-out for each lease that runs out, were its editor only frozen."""

IDLE_S = 1.0
"""A job is seen so late at most, when the door's word about it is lost."""
HOUSEKEEPING_S = 10.0
RETRY_S = 2.0
"""Before a job is handed out again whose call failed for a reason that is not its editor's death: none can be started, say."""
BACKOFF_S = (0.5, 15.0)
"""First and longest pause while the database is down."""


class Dispatcher:
    """The replica; `wake` is all that others call."""

    def __init__(self, settings: str, editors: "DeploymentHandle[Any]") -> None:
        self._settings = ServiceSettings.model_validate_json(settings)
        self._window = 2 * self._settings.max_replicas
        self._editors = editors.run
        self._out: dict[Start, asyncio.Task[None]] = {}
        self._work = asyncio.Event()
        self._table: JobTable | None = None
        self._files: FileStore | None = None
        loop = asyncio.get_running_loop()
        self._loops = [loop.create_task(self._hand_out()), loop.create_task(self._keep_house())]

    async def wake(self) -> None:
        """There may be work."""
        self._work.set()

    async def check_health(self) -> None:
        """Called by Serve.

        Raises:
            RuntimeError: a loop has ended.
        """
        for one in self._loops:
            if one.done():
                raise RuntimeError(f"a loop of the dispatcher has ended: {one.exception()!r}")

    async def _hand_out(self) -> None:
        pause = Backoff()
        while True:
            self._work.clear()
            try:
                for job, starts in await asyncio.to_thread(self._waiting):
                    if len(self._out) < self._window and (job.id, starts) not in self._out:
                        follow = self._follow(job, starts)
                        self._out[job.id, starts] = asyncio.get_running_loop().create_task(follow)
                pause.reset()
            except Exception as error:
                log.warning("jobs cannot be handed out, trying again: %s", one_line(error))
                await pause()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._work.wait(), IDLE_S)

    def _waiting(self) -> list[tuple[Waiting, int]]:
        """The oldest that wait, with the number of their starts. Those handed out are among them until an editor has claimed them."""
        waiting = self._tables().waiting(self._window + len(self._out))
        jobs = self._tables().many(job.id for job in waiting)
        return [(job, jobs[job.id].starts) for job in waiting if job.id in jobs]

    async def _follow(self, job: Waiting, starts: int) -> None:
        """Call an editor, and see the call to its end; by then the table knows how the job went, or that it waits again."""
        name = job.adapter or self._settings.usual_adapter
        editors = self._editors if name == NO_ADAPTER else self._editors.options(multiplexed_model_id=name)
        try:
            if await editors.remote(job.id) == LEAVING:
                await asyncio.sleep(BACKOFF_S[0])
        except ActorDiedError:
            log.warning("job %s: its editor died", job.id)
            await self._lapse(Lease(job.id, starts + 1))
        except Exception as error:
            log.warning("job %s: the call of an editor failed, trying again: %s", job.id, one_line(error))
            await asyncio.sleep(RETRY_S)
        finally:
            self._out.pop((job.id, starts), None)
            self._work.set()

    async def _lapse(self, lease: Lease) -> None:
        """The editor that took this lease is dead: let it run out now. The start counts, so that a job that kills its editors ends."""
        with contextlib.suppress(Exception):  # it runs out by itself as well
            await asyncio.to_thread(self._tables().beat, lease, None, 0.0)

    async def _keep_house(self) -> None:
        pause = Backoff()
        while True:
            try:
                await asyncio.to_thread(self._clean)
                pause.reset()
            except Exception as error:
                log.warning("housekeeping failed, trying again: %s", one_line(error))
                await pause()
            await asyncio.sleep(HOUSEKEEPING_S)

    def _clean(self) -> None:
        from serve.housekeeping import keep_house

        self._files = self._files or FileStore(self._settings.files_root)
        keep_house(self._tables(), self._files, self._settings)

    def _tables(self) -> JobTable:
        """Opened late and again: a database that is down when this process starts is only late."""
        if self._table is None:
            self._table = JobTable(self._settings.database_url)
        return self._table


class Backoff:
    """Pauses that double."""

    def __init__(self, sleep: Callable[[float], "asyncio.Future[None]"] = asyncio.sleep) -> None:  # type: ignore[assignment]
        self._sleep, self._next_s = sleep, BACKOFF_S[0]

    def reset(self) -> None:
        """It works again."""
        self._next_s = BACKOFF_S[0]

    async def __call__(self) -> None:
        """Wait, longer each time."""
        pause_s, self._next_s = self._next_s, min(2 * self._next_s, BACKOFF_S[1])
        await self._sleep(pause_s)
