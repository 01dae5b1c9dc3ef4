"""The one thing that FFmpeg's writer of MP4 cannot say: that a sound begins late *and* that its decoder's first samples are to be thrown away.

A track's edit list says when it begins (an empty edit) and where in its media it begins (the next edit). FFmpeg writes the second for a
sound that begins at 0 and leaves it at 0 for one that begins later; it is put right here, in place.
"""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from synclora.media.container import boxes, size_of

_ENTRY = struct.Struct(">IiI"), struct.Struct(">QqI")  # duration, media time, rate; by the box's version


def discard(path: Path, samples: int) -> None:
    """Let the sound of an MP4 begin so many samples into its media, at the same time as before. The movie's clock counts samples.

    Raises:
        ValueError: it has no sound that begins late.
    """
    with path.open("r+b") as file:
        for elst in _sound_edits(file):
            file.seek(elst)
            version, count = file.read(1)[0], struct.unpack(">I", file.read(7)[3:])[0]
            entry, place = _ENTRY[version], elst + 8
            for _ in range(count):
                file.seek(place)
                duration, media_time, rate = entry.unpack(file.read(entry.size))
                if media_time >= 0:
                    file.seek(place)
                    file.write(entry.pack(max(0, duration - samples), media_time + samples, rate))
                    return
                place += entry.size
    raise ValueError(f"{path}: no edit list of a sound track")


def _sound_edits(file: BinaryIO) -> Iterator[int]:
    """Where the bodies of the sound tracks' edit lists begin."""
    for kind, body, end in boxes(file, 0, size_of(file)):
        if kind != b"moov":
            continue
        for track, inside, stop in list(boxes(file, body, end)):
            if track == b"trak" and _found(file, inside, stop, b"mdia", b"hdlr", b"soun"):
                yield from _bodies(file, inside, stop, b"edts", b"elst")


def _bodies(file: BinaryIO, start: int, stop: int, *path: bytes) -> Iterator[int]:
    for kind, body, end in list(boxes(file, start, stop)):
        if kind == path[0]:
            if len(path) == 1:
                yield body
            else:
                yield from _bodies(file, body, end, *path[1:])


def _found(file: BinaryIO, start: int, stop: int, parent: bytes, child: bytes, handler: bytes) -> bool:
    for body in _bodies(file, start, stop, parent, child):
        file.seek(body + 8)
        if file.read(4) == handler:
            return True
    return False
