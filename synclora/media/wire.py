"""What parent and child say to each other: requests are JSON lines, replies are a nine-byte header and a payload.

A reply to `frames` is INFO, then one FRAME per frame, then DONE; a reply to `probe` is INFO, DONE; to `sound` INFO, BLOB, DONE.
ERROR (JSON: reason, detail) may come instead of any of them and ends the reply. Nothing is pickled.
"""

import json
import os
import struct
from collections.abc import Sequence
from typing import Any

HEADER = struct.Struct("<cQ")
INFO, FRAME, BLOB, DONE, ERROR = b"I", b"F", b"B", b"D", b"E"
KINDS = frozenset((INFO, FRAME, BLOB, DONE, ERROR))

MAX_PAYLOAD = 256 * 1024**2  # a 4096 x 4096 picture is 48 MiB; a decoder gone wrong must not fill the parent's memory
PIPE_BYTES = 1024**2  # what Linux grants an ordinary user (pipe-max-size); holds a 640 x 480 frame, so the child works ahead
_BATCH = 1000  # Linux takes at most 1024 pieces in one writev


def send(fd: int, kind: bytes, pieces: Sequence[memoryview | bytes] = ()) -> None:
    """Write one reply without joining its pieces."""
    length = sum(len(piece) for piece in pieces)
    waiting: list[memoryview | bytes] = [HEADER.pack(kind, length), *pieces]
    for start in range(0, len(waiting), _BATCH):
        _write_all(fd, waiting[start : start + _BATCH])


def send_json(fd: int, kind: bytes, value: dict[str, Any]) -> None:
    """Write one reply whose payload is JSON."""
    send(fd, kind, [json.dumps(value).encode()])


def _write_all(fd: int, pieces: list[memoryview | bytes]) -> None:
    expected = sum(len(piece) for piece in pieces)
    written = os.writev(fd, pieces)
    if written < expected:  # a signal came in between
        rest = memoryview(b"".join(pieces))[written:]
        while rest:
            rest = rest[os.write(fd, rest) :]
