"""The editor as a Serve deployment: one process, one edit at a time, as many of them as there is work.

`run(job_id)` claims the job by its lease and edits it in a thread, so that the process answers health checks meanwhile. What the process knows
is worth nothing: killed, its job is a row whose lease runs out.

- **Adapters** are Serve's multiplexed models: Serve sends a job where its adapter is, and of more than `adapters_per_replica` the one unused
  for longest is forgotten. The base weights stay.
- **Draining** (an update, a scale-down): the edit goes on for `drain_s`, then is given back at its next step and does not count as a start.
- **Stuck**: an edit that reports nothing for `stuck_s` fails the health check, and Serve starts the process anew.
"""

import asyncio
import contextlib
import inspect
import logging
import shutil
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psutil
from ray import serve
from ray._common.utils import import_attr
from ray.serve.handle import DeploymentHandle
from ray.util import metrics

from serve.files import FileStore
from serve.jobs import JobTable
from serve.settings import ServiceSettings
from serve.worker import run_job
from synclora.edit.progress import OnProgress, Progress, ignore
from synclora.edit.request import EditRequest
from synclora.edit.result import EditResult
from synclora.errors import SyncLoraError

log = logging.getLogger("ray.serve")

DRAIN_POLL_S = 1.0
LEAVING = "leaving"
"""Answer of a replica that takes no more jobs."""


class Editor:
    """One replica."""

    def __init__(self, settings: str, captions: "DeploymentHandle[Any] | None" = None) -> None:
        self._settings = ServiceSettings.model_validate_json(settings)
        self._table = JobTable(self._settings.database_url)
        self._files = FileStore(self._settings.files_root)
        self._scratch = own_scratch(self._settings.data / "scratch")
        self._watch = Watch()
        self._editor = WatchedEditor(make_editor(self._settings, captions), self._watch)
        self._name = f"{socket.gethostname()}/{serve.get_replica_context().replica_tag}"
        self._one = ThreadPoolExecutor(
            max_workers=1, thread_name_prefix="edit"
        )  # a cancelled call's edit ends before the next begins

        async def load(adapter: str) -> Loaded:  # Serve writes its cache on the function, which a bound method does not allow
            return await self._load(adapter)

        self._adapter = serve.multiplexed(load, max_num_models_per_replica=self._settings.adapters_per_replica)

    async def run(self, job_id: str) -> str:
        """Do one job to its end, or to the point where somebody else has to. Returns how it went: an `Outcome`, or `LEAVING`."""
        if shutting_down():  # by a caller that had not heard of it: this drain is not of this job's length
            return LEAVING
        if name := serve.get_multiplexed_model_id():
            await self._prepare(name)
        stop = Drain(self._settings.drain_s)
        work = partial(run_job, self._table, self._files, self._editor, job_id, self._name, self._settings, stop, self._scratch)
        with self._watch:
            outcome = await self._in_thread(work)
        return str(outcome)

    async def check_health(self) -> None:
        """Called by Serve.

        Raises:
            RuntimeError: an edit is under way and has said nothing for too long.
        """
        quiet_s = self._watch.quiet_s()
        if quiet_s > self._settings.stuck_s:
            raise RuntimeError(f"the edit has not moved for {quiet_s:.0f} s (stuck_s = {self._settings.stuck_s:g})")

    def __del__(self) -> None:
        editor = getattr(self, "_editor", None)
        if editor is not None:
            editor.close()

    async def _prepare(self, adapter: str) -> None:
        """Have the adapter in memory. That it cannot be loaded is for the job to say: the edit meets the same error and the job fails by it."""
        try:
            await self._adapter(adapter)
        except SyncLoraError as error:
            log.warning("adapter %s: %s", adapter, error)

    async def _load(self, adapter: str) -> "Loaded":
        await self._in_thread(partial(self._editor.load_adapter, adapter))
        return Loaded(partial(self._forget, adapter))

    def _forget(self, adapter: str) -> None:
        """In the edit's thread: never under an edit that uses it, which a call that was cancelled may have left there."""
        self._one.submit(self._editor.forget_adapter, adapter).result()

    async def _in_thread(self, work: "partial[Any]") -> Any:
        return await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._one, work))


class Loaded:
    """What Serve keeps of an adapter in memory, and deletes when another needs the room."""

    def __init__(self, forget: Callable[[], None]) -> None:
        self._forget: Callable[[], None] | None = forget

    def __del__(self) -> None:
        # Serve calls this by hand, Python once more: by then the name may have been loaded again
        forget, self._forget = self._forget, None
        if forget is not None:
            with contextlib.suppress(RuntimeError):  # the process ends
                forget()


class Watch:
    """When the edit under way last said something. Quiet without an edit."""

    def __init__(self) -> None:
        self._last: float | None = None

    def __enter__(self) -> "Watch":
        self.touch()
        return self

    def __exit__(self, *_: object) -> None:
        self._last = None

    def touch(self) -> None:
        """The edit has moved."""
        self._last = time.monotonic()

    def quiet_s(self) -> float:
        """Seconds since then; 0 without an edit."""
        return 0.0 if self._last is None else time.monotonic() - self._last


class WatchedEditor:
    """An editor whose steps are timed and whose results are counted. Ray exports these with `ray_` before their names."""

    def __init__(self, editor: Any, watch: Watch) -> None:
        self._editor, self._watch = editor, watch
        self.load_adapter, self.forget_adapter, self.close = editor.load_adapter, editor.forget_adapter, editor.close
        self._step_s = metrics.Histogram(
            "synclora_step_seconds", "Time of one sampling step.", boundaries=[0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100]
        )
        self._edit_s = metrics.Histogram(
            "synclora_edit_seconds",
            "Time of one edit, from its start to its file.",
            boundaries=[1, 3, 10, 30, 100, 300, 1000, 3000],
        )
        self._score = metrics.Histogram(
            "synclora_sync_score", "Sync score of finished edits.", boundaries=[0.2, 0.4, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0]
        )
        self._edits = metrics.Counter(
            "synclora_edits", "Edits by how they went: done, stopped, or the reason.", tag_keys=("outcome",)
        )

    def edit(self, request: EditRequest, out: Path, on_progress: OnProgress = ignore) -> EditResult:
        """As the editor's own."""
        steps, started = Steps(self._step_s, self._watch, on_progress), time.monotonic()
        try:
            result: EditResult = self._editor.edit(request, out, steps)
        except BaseException as error:
            self._edits.inc(tags={"outcome": outcome_word(error)})
            raise
        self._edits.inc(tags={"outcome": "done"})
        self._edit_s.observe(time.monotonic() - started)
        if result.report.score is not None:
            self._score.observe(result.report.score)
        return result


@dataclass
class Steps:
    """An `OnProgress` that times the steps on their way."""

    histogram: metrics.Histogram
    watch: Watch
    on_progress: OnProgress
    last: tuple[Progress, float] | None = None

    def __call__(self, progress: Progress) -> None:
        """Pass one report on."""
        self.watch.touch()
        now = time.monotonic()
        if (
            self.last is not None
            and progress.step == self.last[0].step + 1
            and self.last[0].stage == progress.stage == "sampling"
        ):
            self.histogram.observe(now - self.last[1])
        self.last = (progress, now)
        self.on_progress(progress)


class Drain:
    """Says when an edit has to be given back: `drain_s` after Serve began to take this replica down."""

    def __init__(self, drain_s: float) -> None:
        self._drain_s = drain_s
        self._asked = self._since = 0.0

    def __call__(self) -> bool:
        """Whether it is time. Cheap: asked at every step."""
        now = time.monotonic()
        if not self._since and now - self._asked >= DRAIN_POLL_S:
            self._asked = now
            self._since = now if shutting_down() else 0.0
        return bool(self._since) and now - self._since > self._drain_s


def shutting_down() -> bool:
    """Whether Serve has told this replica to go. Serve tells its own object, and the class that it serves only when the last call has ended;
    without this the edit would be killed and taken up again by its lease."""
    from ray._private.worker import global_worker

    actors = getattr(global_worker, "actors", {}).values()
    return any(getattr(getattr(actor, "_replica_impl", None), "_shutting_down", False) for actor in actors)


def make_editor(settings: ServiceSettings, captions: "DeploymentHandle[Any] | None") -> Any:
    """The editor that the settings name, with the service's adapters and captions."""
    from serve.captions import ask

    editor = import_attr(settings.editor)
    options: dict[str, Any] = {
        "library": settings.library,
        "settings": settings.edit,
        "media": settings.media,
        "captions": None if captions is None else ask(captions, settings),
    }
    if "adapters_kept" in inspect.signature(editor).parameters:
        options["adapters_kept"] = settings.adapters_per_replica  # Serve forgets first
    return editor(settings.backbone, settings.revision, **options)


def own_scratch(folder: Path) -> Path:
    """A folder for this process alone; those of processes that died on this machine are removed."""
    host = socket.gethostname()
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob(f"{host}.*"):
        pid = old.name.rpartition(".")[2]
        if pid.isdigit() and not psutil.pid_exists(int(pid)):
            shutil.rmtree(old, ignore_errors=True)
    mine = folder / f"{host}.{psutil.Process().pid}"
    mine.mkdir(exist_ok=True)
    return mine


def outcome_word(error: BaseException) -> str:
    """A label for metrics: the reason, or the error's class."""
    return getattr(getattr(error, "reason", None), "value", type(error).__name__.lower())
