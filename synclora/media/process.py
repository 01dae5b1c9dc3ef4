"""The parent's end of the confined child: start it, ask, read the reply with a deadline, end it."""

import json
import os
import select
import signal
import subprocess
import sys
import time
from fcntl import F_SETPIPE_SZ, fcntl
from io import FileIO
from pathlib import Path
from typing import IO, Any, NoReturn, cast

import synclora
from synclora.errors import MediaError, Reason
from synclora.media import wire
from synclora.media.settings import MediaLimits


class Child:
    """One process of `synclora.media.child`.

    Attributes:
        asked: how many requests it has had; the number of the present one.
        busy: a reply has begun and not ended.
    """

    def __init__(self, limits: MediaLimits) -> None:
        self._limits = limits
        self._process = _start(limits)
        self._requests = cast("IO[bytes]", self._process.stdin)
        self._replies = cast("FileIO", self._process.stdout)
        self._poll = select.poll()
        self._poll.register(self._replies.fileno(), select.POLLIN)
        self._wait_left = limits.wall_seconds
        self.asked = 0
        self.busy = False

    @property
    def alive(self) -> bool:
        """Whether it can take a request."""
        return self._process.poll() is None

    def ask(self, request: dict[str, Any]) -> None:
        """Send one request; its allowance of waiting starts anew."""
        self._wait_left = self._limits.wall_seconds
        self.asked += 1
        self.busy = True
        try:
            self._requests.write(json.dumps(request).encode() + b"\n")
        except BrokenPipeError:
            self._died()

    def header(self) -> tuple[bytes, int]:
        """Kind and length of the next part of the reply.

        Raises:
            MediaError: the reply is an error, late, or cut off by the child's death.
        """
        kind, length = wire.HEADER.unpack(self.payload(wire.HEADER.size))
        if kind not in wire.KINDS or length > wire.MAX_PAYLOAD:
            self.kill()
            raise MediaError(Reason.CRASHED, "the decoder's reply made no sense")
        if kind == wire.ERROR:
            values = json.loads(self.payload(length))
            self.busy = False
            raise MediaError(Reason(values["reason"]), values["detail"])
        if kind == wire.DONE:
            self.busy = False
        return kind, length

    def payload(self, length: int) -> bytearray:
        """The next bytes of the reply."""
        target = bytearray(length)
        self.fill(memoryview(target))
        return target

    def fill(self, target: memoryview) -> None:
        """The next bytes of the reply, straight into their place."""
        while target:
            self._wait()
            count = self._replies.readinto(target)
            if not count:
                self._died()
            target = target[count:]

    def kill(self) -> None:
        """End it and wait for its end."""
        self.busy = False
        self._process.kill()
        self._process.wait()
        self._requests.close()
        self._replies.close()

    def _wait(self) -> None:
        """Only waiting counts, so a slow reader does not use up the child's time."""
        begin = time.monotonic()
        ready = self._poll.poll(max(0.0, self._wait_left) * 1000)
        self._wait_left -= time.monotonic() - begin
        if not ready:
            self.kill()
            raise MediaError(Reason.TIMED_OUT, f"no answer within wall_seconds = {self._limits.wall_seconds:g}")

    def _died(self) -> NoReturn:
        code = self._process.wait()
        self.kill()
        if -code == signal.SIGXCPU:
            raise MediaError(Reason.TIMED_OUT, f"decoding took more than cpu_seconds = {self._limits.cpu_seconds}")
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        raise MediaError(Reason.CRASHED, f"the decoder ended with {how}")


_CHILD_ENV = ("PATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "TMPDIR")
"""All that the child is told: tokens and keys of the environment are none of its business."""


def _start(limits: MediaLimits) -> "subprocess.Popen[bytes]":
    root = str(Path(synclora.__file__).parent.parent)  # a notebook may have found the package by sys.path alone
    search = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "synclora.media.child", limits.model_dump_json()],  # -P: nothing from the folder we stand in
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        bufsize=0,
        env={name: os.environ[name] for name in _CHILD_ENV if name in os.environ} | {"PYTHONPATH": search},
    )
    fcntl(cast("IO[bytes]", process.stdout).fileno(), F_SETPIPE_SZ, wire.PIPE_BYTES)
    return process
