"""The outside of a file: its container by signature, and whether the outermost parts lie inside it.

Plain reads of a few bytes, before FFmpeg sees the file. The demuxer is chosen here and not by FFmpeg's guessing, so that
text formats which name other files (playlists, concat scripts, image sequences) have no way in whatever their name says.
"""

import os
import stat
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from synclora.errors import MediaError, Reason

MOV_FIRST_BOXES = {b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"styp", b"uuid"}
PARENTS = {b"moov", b"trak", b"mdia", b"minf", b"stbl"}
EBML, SEGMENT = 0x1A45DFA3, 0x18538067
TS_PACKET = 188
MAX_BOXES = 100_000  # a fragmented file of 120 s holds a few hundred; this ends a walk through boxes of eight bytes
MAX_TRACKS = 1000  # `max_streams` refuses far fewer; this only ends the walk


def open_regular(path: str) -> BinaryIO:
    """Open a plain file, never a pipe or a device (opening those can wait for ever)."""
    try:
        if not stat.S_ISREG(Path(path).stat().st_mode):
            raise MediaError(Reason.UNREADABLE, "not a regular file")
        return Path(path).open("rb")
    except (FileNotFoundError, NotADirectoryError) as error:
        raise MediaError(Reason.MISSING, "no such file") from error
    except (OSError, ValueError) as error:
        raise MediaError(Reason.UNREADABLE, getattr(error, "strerror", None) or str(error)) from error


def size_of(file: BinaryIO) -> int:
    """Bytes in an open file."""
    return os.fstat(file.fileno()).st_size


def sniff(file: BinaryIO) -> str:
    """The FFmpeg demuxer for this file: mov, matroska, avi or mpegts.

    Raises:
        MediaError: the signature is none of these.
    """
    file.seek(0)
    head = file.read(2 * TS_PACKET + 1)
    if head[4:8] in MOV_FIRST_BOXES:
        return "mov"
    if head[:4] == b"\x1a\x45\xdf\xa3":
        return "matroska"
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return "avi"
    if head[::TS_PACKET] == b"G" * len(head[::TS_PACKET]) and len(head) > TS_PACKET:
        return "mpegts"
    raise MediaError(Reason.UNKNOWN_CONTAINER, f"the file starts with {head[:8]!r}; give MP4, MOV, WebM, MKV, AVI or MPEG-TS")


def missing_end(file: BinaryIO, demuxer: str, size: int) -> str:
    """What the file promises beyond its last byte, in words, or "" when it is whole."""
    if demuxer == "mov":
        for kind, _, end in boxes(file, 0, size):
            if end > size and kind in (b"moov", b"mdat", b"moof"):
                return f"box {kind.decode()} should end at byte {end}, the file has {size}"
    elif demuxer == "matroska":
        end = _segment_end(file)
        if end > size:
            return f"the segment should end at byte {end}, the file has {size}"
    elif demuxer == "avi":
        file.seek(4)
        end = 8 + struct.unpack("<I", file.read(4).ljust(4, b"\0"))[0]
        if end > size:
            return f"the RIFF chunk should end at byte {end}, the file has {size}"
    return ""


def declared_samples(file: BinaryIO, size: int) -> int:
    """The largest sample count that a video track of an MP4 declares: FFmpeg would reserve memory for each of them."""
    most = 0
    for track in _tracks(file, size):
        if track.get(b"hdlr", b"")[8:12] == b"vide" and len(track.get(b"stsz", b"")) >= 12:
            most = max(most, struct.unpack(">I", track[b"stsz"][8:12])[0])
    return most


def boxes(file: BinaryIO, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Kind, first byte of the body and byte after the end of each box between two places of an MP4."""
    for _ in range(MAX_BOXES):
        if start + 8 > end:  # a 64-bit length may point beyond what a seek can reach
            return
        file.seek(start)
        head = file.read(16)
        if len(head) < 8:
            return
        length, kind, body = struct.unpack(">I", head[:4])[0], head[4:8], start + 8
        if length == 1 and len(head) == 16:
            length, body = struct.unpack(">Q", head[8:16])[0], start + 16
        if length == 0:
            length = end - start
        if length < body - start:
            return
        yield kind, body, start + length
        start += length


def _tracks(file: BinaryIO, size: int) -> list[dict[bytes, bytes]]:
    """The first bytes of each box in each track, by kind."""
    tracks: list[dict[bytes, bytes]] = []
    pending: list[tuple[int, int, dict[bytes, bytes]]] = [(0, size, {})]
    while pending and len(tracks) < MAX_TRACKS:
        start, stop, track = pending.pop()
        for kind, body, end in boxes(file, start, stop):
            if kind == b"trak":
                track = {}
                tracks.append(track)
            if kind in PARENTS:
                pending.append((body, min(end, stop), track))
            elif kind in (b"hdlr", b"stsz"):
                file.seek(body)
                track[kind] = file.read(16)
    return tracks


def _segment_end(file: BinaryIO) -> int:
    """Where the Matroska segment says it ends; 0 when it does not say (a live recording)."""
    file.seek(0)
    head = file.read(4096)
    place = 0
    while place < len(head):
        kind, place = _ebml_number(head, place, keep_marker=True)
        length, place = _ebml_number(head, place, keep_marker=False)
        if kind == SEGMENT:
            return place + length if length >= 0 else 0
        if kind != EBML or length < 0:
            return 0
        place += length
    return 0


def _ebml_number(data: bytes, place: int, *, keep_marker: bool) -> tuple[int, int]:
    """One variable-length number and the place after it; -1 for "unknown" or none."""
    if place >= len(data) or not data[place]:
        return -1, len(data)
    width = 9 - data[place].bit_length()
    value = int.from_bytes(data[place : place + width], "big")
    if keep_marker:
        return value, place + width
    plain = value & ((1 << (7 * width)) - 1)
    return (-1 if plain == (1 << (7 * width)) - 1 else plain), place + width
