"""The stub editor, which also notes when it leaves an edit, and on demand dies between artefact and commit.

backbone=stub:marks=FOLDER,steps=4,pause_s=0.1
FOLDER/left             a line for each edit that was left: JOB-START SECONDS, seconds since 1970
FOLDER/die_at_commit    while it is there, the next process that is about to commit removes it and kills itself
"""

import os
import signal
import time
from pathlib import Path
from typing import Any

from serve.jobs import JobTable
from synclora.edit.progress import OnProgress, ignore
from synclora.edit.request import EditRequest
from synclora.edit.result import EditResult
from tests.serve.stub import StubEditor


class MarkedEditor(StubEditor):
    def __init__(self, backbone: str, *args: Any, **options: Any) -> None:
        super().__init__(backbone, *args, **options)
        self.marks = Path(self.words["marks"])
        succeed = JobTable.succeed

        def committing(table: JobTable, *what: Any) -> bool:
            if taken(self.marks / "die_at_commit"):
                os.kill(os.getpid(), signal.SIGKILL)
            return succeed(table, *what)

        JobTable.succeed = committing  # type: ignore[method-assign]  # of this process

    def edit(self, request: EditRequest, out: Path, on_progress: OnProgress = ignore) -> EditResult:
        try:
            return super().edit(request, out, on_progress)
        finally:
            with (self.marks / "left").open("a") as file:
                file.write(f"{out.parent.name} {time.time()}\n")


def taken(mark: Path) -> bool:
    """Of all who ask, one is told yes."""
    try:
        mark.unlink()
    except FileNotFoundError:
        return False
    return True
