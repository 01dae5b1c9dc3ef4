"""Worker processes that say where they are and dawdle there, to be killed.

    python -m tests.serve.work URL FILES SCRATCH WINDOW PAUSE_S JOB...      # one child for each job; prints `PID JOB EVENT`

WINDOW is where they dawdle: `step`, `storing`, `stored` (the artefact is there, the commit not yet) or `committed` (before tidying).
"""

import os
import sys
import time
from pathlib import Path
from typing import Any

from serve.files import FileStore
from serve.jobs import JobTable, Lease
from serve.settings import ServiceSettings
from serve.worker import run_job
from synclora.edit.progress import OnProgress
from synclora.edit.request import EditRequest
from synclora.edit.result import EditResult
from tests.serve.stub import StubEditor, video

SETTINGS = ServiceSettings(lease_s=0.6, default_adapter="none")


class Dawdler:
    """Table, files and editor of one process that stops for a while at its window."""

    def __init__(self, window: str, pause_s: float) -> None:
        self.window, self.pause_s = window, pause_s

    def at(self, place: str, job: str) -> None:
        os.write(1, f"{os.getpid()} {job} {place}\n".encode())
        if place == self.window:
            time.sleep(self.pause_s)


def child(url: str, root: str, scratch: str, window: str, pause_s: float, job: str) -> None:
    dawdler = Dawdler(window, pause_s)

    class Files(FileStore):
        def put(self, local: Path, job: str, name: str, *, move: bool = False) -> None:
            dawdler.at("storing", job)
            super().put(local, job, name, move=move)
            dawdler.at("stored", job)

    class Table(JobTable):
        def succeed(self, lease: Lease, video: str, result: dict[str, Any]) -> bool:
            done = super().succeed(lease, video, result)
            dawdler.at("committed", lease.job)
            return done

    class Editor(StubEditor):
        def edit(self, request: EditRequest, out: Path, on_progress: OnProgress = lambda _: None) -> EditResult:
            dawdler.at("begun", job)
            return super().edit(request, out, on_progress)

    pace = pause_s if window == "step" else 0.01
    editor = Editor(f"stub:steps=8,pause_s={pace}")
    outcome = run_job(Table(url), Files(root), editor, job, f"child {os.getpid()}", SETTINGS, lambda: False, Path(scratch))
    dawdler.at(outcome, job)


def main() -> None:
    url, root, scratch, window, pause_s, *jobs = sys.argv[1:]
    video(1, 8)  # made once, before the children
    for job in jobs:
        if os.fork() == 0:
            try:
                child(url, root, scratch, window, float(pause_s), job)
                os._exit(0)
            except BaseException as error:  # a child must not go on as its parent
                os.write(2, f"{error!r}\n".encode())
                os._exit(1)
    for _ in jobs:
        os.wait()


if __name__ == "__main__":
    main()
