"""An editor that does what it is told, in no time: the service's tests and load need work whose length and end they choose.

    StubEditor("stub:steps=4,pause_s=0.05")     # as `backbone=…` with `editor=tests.serve.stub:StubEditor`

The backbone's words are defaults for all jobs; a request's `steps` goes before them. A prompt can ask for more:

    stub pause_s=0.5 steps=3        another pace for this job
    stub hurry=FILE                 no pauses as soon as FILE is there
    stub raise=ValueError           an exception in the middle: ValueError, MemoryError, OSError, ENOSPC, MediaError, or exit (the process ends)
    stub fail_until=FILE            raises ValueError while FILE is not there

Its video is true MP4, the same for the same seed and steps.
"""

import errno
import os
import threading
import time
from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from synclora.edit.progress import OnProgress, Progress, ignore
from synclora.edit.request import NO_ADAPTER, EditRequest
from synclora.edit.result import Attempt, EditResult, Fit, SyncReport
from synclora.edit.settings import EditSettings
from synclora.errors import MediaError, Reason
from synclora.media.encode import write_video
from synclora.media.settings import MediaLimits

FRAMES, SIDE, FPS = 9, 64, Fraction(25)


class StubEditor:
    """With the interface of `synclora.edit.editor.Editor`."""

    def __init__(
        self,
        backbone: str = "stub",
        revision: str | None = None,
        *,
        library: Any = None,
        settings: EditSettings | None = None,
        media: MediaLimits | None = None,
        captions: Callable[[str], Any] | None = None,
        device: str | None = None,
    ) -> None:
        self.backbone = backbone
        self.library, self.captions = library, captions
        self.words = {"steps": str((settings or EditSettings(steps=4)).steps), "pause_s": "0.01"} | _words(
            backbone.partition(":")[2].replace(",", " ")
        )
        self.loaded: set[str] = set()
        self.edits = 0
        self._one = threading.Lock()  # an editor does one edit at a time; two are the caller's fault

    def adapters(self) -> list[Any]:
        return [] if self.library is None else self.library.all()

    def load_adapter(self, name: str) -> str:
        if self.library is not None and name != NO_ADAPTER:
            self.library.info(name)
        self.loaded.add(name)
        return name

    def forget_adapter(self, name: str) -> None:
        self.loaded.discard(name)

    def edit(self, request: EditRequest, out: Path, on_progress: OnProgress = ignore) -> EditResult:
        if not self._one.acquire(blocking=False):
            raise AssertionError("two edits at once in one editor")
        try:
            return self._edit(request, out, on_progress)
        finally:
            self._one.release()

    def close(self) -> None:
        self.loaded.clear()

    def _edit(self, request: EditRequest, out: Path, on_progress: OnProgress) -> EditResult:
        self.edits += 1
        began = time.monotonic()
        prompt = request.prompt or ""
        words = self.words | _words(prompt.removeprefix("stub ") if prompt.startswith("stub ") else "")
        steps = int(words["steps"] if request.steps is None else request.steps)
        assert request.source.is_file()
        assert request.first_frame.is_file()
        assert all(key.picture.is_file() for key in request.key_frames)
        on_progress(Progress("preparing"))
        if request.adapter not in (None, NO_ADAPTER):
            self.load_adapter(request.adapter)
        for step in range(steps):
            if not ("hurry" in words and Path(words["hurry"]).exists()):
                time.sleep(float(words["pause_s"]))
            if step == steps // 2:
                _trouble(words)
            on_progress(Progress("sampling", step + 1, steps))
        on_progress(Progress("decoding", steps, steps))
        part = out.with_name(f".{out.name}.part")
        part.write_bytes(video(request.seed, steps))
        part.replace(out)
        return _result(self.backbone, request, steps, time.monotonic() - began)


def _words(text: str) -> dict[str, str]:
    return {name: value for name, _, value in (word.partition("=") for word in text.split()) if value}


def _trouble(words: dict[str, str]) -> None:
    if "fail_until" in words and not Path(words["fail_until"]).exists():
        raise ValueError("not yet")
    match words.get("raise"):
        case None:
            return
        case "exit":
            os._exit(9)
        case "ENOSPC":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        case "MediaError":
            raise MediaError(Reason.MISALIGNED, "the faces are 0.9 face widths apart, 0.35 may be")
        case "MemoryError":
            raise MemoryError
        case name:
            raise {"ValueError": ValueError, "OSError": OSError}[name](f"the stub was asked\nto raise {name}")


@lru_cache(maxsize=64)
def video(seed: int, steps: int) -> bytes:
    """The artefact: a true MP4 of 9 frames of 64 x 64."""
    generator = np.random.default_rng([seed, steps])
    base = generator.integers(0, 255, (SIDE // 8, SIDE // 8, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
    frames = [np.roll(base, index, axis=1) for index in range(FRAMES)]
    with TemporaryDirectory() as folder:
        path = Path(folder) / "stub.mp4"
        write_video(path, frames, FPS)
        return path.read_bytes()


def _result(backbone: str, request: EditRequest, steps: int, seconds: float) -> EditResult:
    return EditResult(
        frames=FRAMES,
        fps=str(FPS),
        width=SIDE,
        height=SIDE,
        seconds=float(FRAMES / FPS),
        has_audio=False,
        adapter=request.adapter or NO_ADAPTER,
        backbone=backbone,
        prompt=request.prompt or "",
        seed=request.seed,
        steps=steps,
        random_base=True,
        report=SyncReport(
            score=0.9,
            low=0.8,
            high=0.95,
            lag_frames=0.0,
            verdict="kept",
            cues={"speech": 0.9, "gaze": 0.9, "blink": 0.9, "pose": None},
        ),
        edit_strength=0.2,
        first_frame_distance=0.01,
        fit=Fit(kind="none"),
        attempts=(Attempt(seed=request.seed, score=0.9),),
        took_seconds={"sampling": seconds},
    )
