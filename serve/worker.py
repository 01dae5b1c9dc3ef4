"""The whole life of one start of a job: claim it, fetch its files, edit, store the artefact, commit, tidy. Knows no Ray.

    outcome = run_job(table, files, editor, job_id, "replica-1", settings, stop=lambda: False, scratch=Path("/tmp/edits"))

The artefact is stored under the number of the start, and only then named by the row: a worker that dies between the two leaves a file that the
next one removes, and one that was given up for dead finds that the row is no longer its own. While the database is away the edit goes on; what
it may commit in the end, the row decides.
"""

import errno
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol, TypeVar

from serve.database import TableError
from serve.files import FileStore
from serve.jobs import Job, JobTable, Lease
from serve.settings import ServiceSettings
from synclora.command import one_line
from synclora.edit.progress import OnProgress, Progress, Stopped
from synclora.edit.request import EditRequest, KeyFrame
from synclora.edit.result import EditResult
from synclora.errors import MediaError, Reason

T = TypeVar("T")

WRITE_S = 0.1
"""Between two writes of the progress: nobody reads it faster. Whether the job is still wanted is read at every step."""
COMMIT_PATIENCE_S = 60.0
"""An end is told to a database that is away for so long; after that the job is somebody else's."""
_NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class Editor(Protocol):
    """What is needed of `synclora.edit.editor.Editor`."""

    def edit(self, request: EditRequest, out: Path, on_progress: OnProgress = ...) -> EditResult:
        """Write the edited video to `out`, whole or not at all."""


class Outcome(StrEnum):
    """How a start ended."""

    NOT_STARTED = "not_started"
    """It ended before, somebody else has it, or it had its starts."""
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    STOPPED = "stopped"
    """It was cancelled, taken over, or its deadline passed."""
    GIVEN_BACK = "given_back"
    """This replica goes; the job waits for another."""
    RETRIED = "retried"
    """An exception; the job waits for another try, or failed as crashed after the last."""


def run_job(
    table: JobTable,
    files: FileStore,
    editor: Editor,
    job_id: str,
    worker: str,
    settings: ServiceSettings,
    stop: Callable[[], bool],
    scratch: Path,
) -> Outcome:
    """Start a job and bring it as far as it goes.

    Args:
        worker: name of this worker, for people.
        stop: asked at every step; true: give the job back.
        scratch: folder on a local disk; a folder within it is made, and is gone at the end.

    Raises:
        TableError: the database stayed away; the lease runs out and the job is taken up again.
    """
    taken = table.start(job_id, worker, settings.lease_s, settings.max_starts)
    if taken is None:
        return Outcome.NOT_STARTED
    lease, job = taken
    folder = scratch / f"{lease.job}-{lease.start}"
    with Pulse(table, lease, settings.lease_s, stop) as pulse:
        try:
            return _work(table, files, editor, job, lease, pulse, settings, folder)
        except TableError:
            raise
        except Stopped:
            gave_back = not pulse.lost and _insist(lambda: table.give_back(lease))
            return Outcome.GIVEN_BACK if gave_back else Outcome.STOPPED
        except Exception as error:
            return _end(table, lease, error, settings)
        except BaseException:  # this process is told to go
            table.give_back(lease)
            raise
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _work(
    table: JobTable,
    files: FileStore,
    editor: Editor,
    job: Job,
    lease: Lease,
    pulse: "Pulse",
    settings: ServiceSettings,
    folder: Path,
) -> Outcome:
    folder.mkdir(parents=True)
    request = fetch(files, job, folder, settings.usual_adapter)
    out = folder / "edit.mp4"
    result = editor.edit(request, out, pulse.report)
    pulse.check(replace(pulse.last, stage="storing"))
    video = f"edit-{lease.start}.mp4"
    files.put(out, lease.job, video, move=True)
    if not _insist(lambda: table.succeed(lease, video, result.model_dump(mode="json"))):
        files.delete(lease.job, video)
        return Outcome.STOPPED
    tidy(table, files, lease.job, video)
    return Outcome.SUCCEEDED


def fetch(files: FileStore, job: Job, folder: Path, default_adapter: str) -> EditRequest:
    """Bring a job's files to a folder, and its row to a request.

    Raises:
        MediaError: MISSING: a file is not in the store.
    """
    asked = {name: value for name, value in job.request.items() if name in EditRequest.model_fields}
    frames = {int(one["frame"]): f"key_frame_{int(one['frame'])}" for one in asked.pop("key_frames", None) or ()}
    for name in ("source", "first_frame", *frames.values()):
        try:
            files.get(job.id, name, folder / name)
        except FileNotFoundError as error:
            raise MediaError(Reason.MISSING, f"{name} is not in the store any more; send it again") from error
    keys = tuple(KeyFrame(frame=frame, picture=folder / name) for frame, name in frames.items())
    adapter = asked.get("adapter") or default_adapter
    paths = {"source": folder / "source", "first_frame": folder / "first_frame", "key_frames": keys, "adapter": adapter}
    return EditRequest.from_values(asked | paths, f"of job {job.id}")


def tidy(table: JobTable, files: FileStore, job: str, video: str | None) -> None:
    """Remove the artefacts of an ended job but its own, and what was half stored. What fails here is done again by `serve.housekeeping`."""
    try:
        for name in files.names(job):
            if name.startswith("edit-") and name != video:
                files.delete(job, name)
        files.delete_parts(job)
        table.tidied(job)
    except (OSError, TableError):
        return


def _end(table: JobTable, lease: Lease, error: Exception, settings: ServiceSettings) -> Outcome:
    """An edit that raised: its fault, or worth another try?"""
    verdict = _verdict(error)
    if verdict is None:
        held = _insist(lambda: table.retry(lease, one_line(error), settings.max_starts))
        return Outcome.RETRIED if held else Outcome.STOPPED
    reason, detail = verdict
    return Outcome.FAILED if _insist(lambda: table.fail(lease, reason, detail)) else Outcome.STOPPED


def _verdict(error: Exception) -> tuple[Reason, str] | None:
    """Reason and detail of what another try would not change; None: it might."""
    if isinstance(error, MediaError):
        return error.reason, error.detail
    if isinstance(error, MemoryError):
        return Reason.OUT_OF_MEMORY, "the worker's memory is not enough for it; ask for a smaller size or a shorter clip"
    if isinstance(error, OSError) and error.errno in _NO_SPACE:
        return Reason.NO_SPACE, f"{error.strerror or 'no space left'}; try again when there is room"
    return None


def _insist(commit: Callable[[], T]) -> T:
    """Tell the table, also when it is away or its disk is full for a while."""
    give_up = time.monotonic() + COMMIT_PATIENCE_S
    while True:
        try:
            return commit()
        except TableError:
            if time.monotonic() > give_up:
                raise
        except OSError as error:
            if time.monotonic() > give_up:
                raise TableError(one_line(error)) from error
        time.sleep(0.5)


class Pulse:
    """Keeps a lease while the edit works, and ends the edit when the lease is lost."""

    def __init__(self, table: JobTable, lease: Lease, lease_s: float, stop: Callable[[], bool]) -> None:
        self.lost = False
        """The job is not ours any more: cancelled, taken over, past its deadline."""
        self.last = Progress("preparing")
        self._table, self._lease, self._lease_s, self._stop = table, lease, lease_s, stop
        self._away = False  # the database; the thread sees when it is back
        self._written_s, self._place = 0.0, ("", 0, 0)
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._keep, name=f"lease {lease.job}", daemon=True)

    def __enter__(self) -> "Pulse":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def report(self, progress: Progress) -> None:
        """The edit's `OnProgress`.

        Raises:
            Stopped: nobody wants this start any more, or this replica goes.
        """
        if self._stop():
            raise Stopped
        self.check(progress)

    def check(self, progress: Progress) -> None:
        """As `report`, but a replica that goes may finish what is nearly done."""
        self.last = progress
        place = (progress.stage, progress.window, progress.attempt)
        due = place != self._place or time.monotonic() - self._written_s >= WRITE_S
        if self._ask(lambda: (not due and self._table.holds(self._lease)) or self._beat(progress)) and due:
            self._written_s, self._place = time.monotonic(), place
        if self.lost:
            raise Stopped

    def _beat(self, progress: Progress | None) -> bool:
        return self._table.beat(self._lease, None if progress is None else asdict(progress), self._lease_s)

    def _ask(self, question: Callable[[], Any]) -> bool:
        """Whether an answer came."""
        if self._away:
            return False
        try:
            self.lost = self.lost or not question()
        except (TableError, OSError):  # away, or its disk is full: the edit goes on
            self._away = True
        return not self._away

    def _keep(self) -> None:
        while not self.lost and not self._done.wait(self._lease_s / 3):
            self._away = False
            self._ask(lambda: self._beat(None))
