"""Frames of a video, decoded in a confined child process that serves many videos.

    with Decoder() as decoder:
        frames = decoder.frames("clip.mp4")
        print(frames.info)
        for picture in frames:          # (height, width, 3) uint8 RGB, upright
            ...

One decoder serves one video at a time: asking for the next closes the one before.
"""

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from fcntl import F_SETPIPE_SZ, fcntl
from pathlib import Path
from types import TracebackType
from typing import IO, Any, NoReturn, Self, cast

import numpy as np
import numpy.typing as npt

import synclora
from synclora.errors import MediaError, Reason
from synclora.media import wire
from synclora.media.probe import VideoInfo
from synclora.media.settings import MediaLimits
from synclora.pairs.base import Half, View

Picture = npt.NDArray[np.uint8]
"""(height, width, 3) RGB."""


class Decoder:
    """Owns the child. Give each worker its own; it is cheap until the first video (then about 0.2 s)."""

    def __init__(self, limits: MediaLimits | None = None) -> None:
        self.limits = limits or MediaLimits()
        self._child: subprocess.Popen[bytes] | None = None
        self._served = 0
        self._current: Frames | None = None

    def frames(self, view: View | str | Path, half: Half = "whole", *, analysis: bool = True) -> "Frames":
        """Open a video and return its frames, the facts first.

        Every decodable frame comes in presentation order, turned upright, cut to its half (the width exactly in two; the
        last column of an odd width is dropped). A constant-rate file gives each frame exactly once; an uneven one is
        put on a constant grid (`timing.py` states the rule).

        Args:
            view: a file, or a view that names a file and its half (then `half` is not looked at).
            half: which half of a file.
            analysis: scale down to `analysis_side`, as the landmarkers want; else the full size, for training pairs.

        Raises:
            MediaError: the video cannot be used. Frames may raise it later, too.
        """
        path, half = (view.path, view.half) if isinstance(view, View) else (str(view), half)
        side = self.limits.analysis_side if analysis else None
        return self._ask({"ask": "frames", "path": path, "half": half, "side": side})

    def probe(self, path: View | str | Path) -> VideoInfo:
        """The facts alone: header and timestamps are read, one frame is decoded."""
        name = path.path if isinstance(path, View) else str(path)
        with self._ask({"ask": "probe", "path": name}) as reply:
            list(reply)
            return reply.info

    def close(self) -> None:
        """End the child."""
        if self._current is not None:
            self._current.close()
        self._end_child()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __del__(self) -> None:
        self._end_child()

    def _ask(self, request: dict[str, Any]) -> "Frames":
        if self._current is not None:
            self._current.close()
        if self._served >= self.limits.videos_per_child:
            self._end_child()
        if self._child is None or self._child.poll() is not None:
            self._end_child()
            self._child = _start_child(self.limits)
            self._served = 0
        self._served += 1
        self._current = Frames(self, self._child, request, self.limits)
        self._current.start()
        return self._current

    def _end_child(self) -> None:
        child, self._child = getattr(self, "_child", None), None
        if child is not None:
            child.kill()
            child.wait()
            for pipe in (child.stdin, child.stdout):
                if pipe is not None:
                    pipe.close()


class Frames(Iterator[Picture]):
    """The frames of one video as they arrive; a context manager, closed by itself after the last.

    Attributes:
        info: what is known of the video.
        width: pixels of the delivered pictures.
        height: pixels of the delivered pictures.
    """

    info: VideoInfo
    width: int
    height: int

    def __init__(self, decoder: Decoder, child: subprocess.Popen[bytes], request: dict[str, Any], limits: MediaLimits) -> None:
        self._decoder, self._child, self._request = decoder, child, request
        self._wait_left = self._wait_allowed = limits.wall_seconds
        self._open = True
        self._poll = select.poll()
        self._pipe = cast("IO[bytes]", child.stdout)
        self._poll.register(self._pipe.fileno(), select.POLLIN)

    def start(self) -> None:
        """Send the request and wait for the facts."""
        try:
            stdin = cast("IO[bytes]", self._child.stdin)
            stdin.write(json.dumps(self._request).encode() + b"\n")
            stdin.flush()
        except BrokenPipeError:
            self._fail_dead()
        _, length = self._header()
        facts = json.loads(self._exactly(bytearray(length)))
        self.info = VideoInfo.from_json(facts["info"])
        self.width, self.height = facts.get("width", 0), facts.get("height", 0)

    def __next__(self) -> Picture:
        if not self._open:
            raise StopIteration
        kind, _ = self._header()
        if kind == wire.DONE:
            self._open = False
            raise StopIteration
        picture = np.empty((self.height, self.width, 3), np.uint8)
        self._exactly(picture.data.cast("B"))
        return picture

    def close(self) -> None:
        """Stop here. Leaving early costs a fresh child for the next video."""
        if self._open:
            self._open = False
            self._decoder._end_child()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _header(self) -> tuple[bytes, int]:
        kind, length = wire.HEADER.unpack(self._exactly(bytearray(wire.HEADER.size)))
        if kind == wire.ERROR:
            values = json.loads(self._exactly(bytearray(length)))
            self._open = False
            raise MediaError(Reason(values["reason"]), values["detail"])
        return kind, length

    def _exactly(self, target: Any) -> Any:
        rest = memoryview(target)
        while rest:
            self._wait()
            count = cast("Any", self._pipe).readinto(rest)
            if not count:
                self._fail_dead()
            rest = rest[count:]
        return target

    def _wait(self) -> None:
        """Only waiting counts, so a slow reader does not use up the child's time."""
        begin = time.monotonic()
        ready = self._poll.poll(max(0.0, self._wait_left) * 1000)
        self._wait_left -= time.monotonic() - begin
        if not ready:
            self.close()
            raise MediaError(Reason.TIMED_OUT, f"no answer within wall_seconds = {self._wait_allowed:g}")

    def _fail_dead(self) -> NoReturn:
        code = self._child.wait()
        self.close()
        if -code == signal.SIGXCPU:
            raise MediaError(Reason.TIMED_OUT, f"decoding took more than cpu_seconds = {self._decoder.limits.cpu_seconds}")
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        raise MediaError(Reason.CRASHED, f"the decoder ended with {how}")


def _start_child(limits: MediaLimits) -> subprocess.Popen[bytes]:
    root = str(Path(synclora.__file__).parent.parent)  # a notebook may have found the package by sys.path alone
    search = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    child = subprocess.Popen(
        [sys.executable, "-m", "synclora.media.child", limits.model_dump_json()],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        bufsize=0,
        env={**os.environ, "PYTHONPATH": search},
    )
    fcntl(cast("IO[bytes]", child.stdout).fileno(), F_SETPIPE_SZ, wire.PIPE_BYTES)
    return child
