"""A stored file as an HTTP answer: whole, or the one range that was asked for.

    return await send(request, lambda: files.open(job, "edit-1.mp4"), size, etag, "video/mp4", "edit.mp4")

RFC 9110, as far as players and downloads need it: GET and HEAD, 206 for one range, 416 beyond the end, If-Range, If-None-Match. Several ranges
in one request may be answered with the whole, and are. The store may be remote, so that files are read in threads, a piece at a time.
"""

import re
from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio
from fastapi import Request
from starlette.responses import Response, StreamingResponse

from serve.problems import answer
from synclora.errors import Reason

PIECE = 256 * 1024  # bytes read at once; 200 readers hold 50 MB
CONTENT_POLICY = "default-src 'none'; media-src 'self'; img-src 'self'; style-src 'unsafe-inline'; sandbox"
"""What a stranger sent must not run here. A browser's own player, in a tab of its own, needs the rest."""

_RANGE = re.compile(r"\s*bytes\s*=\s*(?:(\d{1,19})\s*-\s*(\d{1,19})?|-\s*(\d{1,19}))\s*", re.IGNORECASE | re.ASCII)


class BadRange(ValueError):
    """The range is no range, or lies beyond the end."""


def parse_range(text: str, size: int) -> tuple[int, int] | None:
    """First byte and the one after the last; None when the whole is to be sent.

    Raises:
        BadRange: it says bytes and is no range, or the range has none of the file's bytes.
    """
    unit, _, ranges = text.partition("=")
    if unit.strip().lower() != "bytes" or "," in ranges:
        return None  # unknown units must be ignored, several ranges may be
    found = _RANGE.fullmatch(text)
    if found is None:
        raise BadRange(f"Range {text[:60]!r} is no range; send bytes=FIRST-LAST")
    first, last, tail = found.groups()
    if tail is not None:
        start, stop = max(0, size - int(tail)), size
    else:
        start, stop = int(first), min(size, int(last) + 1) if last is not None else size
        if last is not None and int(last) < int(first):
            raise BadRange(f"Range {text[:60]!r} ends before it begins")
    if start >= stop:
        raise BadRange(f"Range {text[:60]!r} lies beyond the file's {size} bytes")
    return start, stop


def send(request: Request, open_: Callable[[], Any], size: int, etag: str, kind: str, name: str) -> Response:
    """The answer to GET or HEAD. `open_` returns a seekable binary file and is called in a thread; `name` is for the one who downloads."""
    how = "attachment" if request.query_params.get("download") in ("1", "true") else "inline"
    headers = {
        "accept-ranges": "bytes",
        "etag": f'"{etag}"',
        "cache-control": "private, no-cache",  # kept, and asked for again: a removed edit is gone
        "content-disposition": f'{how}; filename="{name}"',
        "content-security-policy": CONTENT_POLICY,
    }
    if _names(request.headers.get("if-none-match", ""), etag):
        return Response(status_code=304, headers=headers)
    start, stop, status = 0, size, 200
    wanted = request.headers.get("range") if request.method == "GET" else None  # ranges are of GET alone
    if wanted is not None and request.headers.get("if-range", f'"{etag}"').strip() == f'"{etag}"':
        try:
            part = parse_range(wanted, size)
        except BadRange as error:
            return answer(Reason.BAD_REQUEST, str(error), 416, {**headers, "content-range": f"bytes */{size}"})
        if part is not None:
            (start, stop), status = part, 206
            headers["content-range"] = f"bytes {start}-{stop - 1}/{size}"
    headers["content-length"] = str(stop - start)
    if request.method == "HEAD":
        return Response(status_code=200, headers=headers, media_type=kind)
    return StreamingResponse(_pieces(open_, start, stop), status, headers, kind)


async def _pieces(open_: Callable[[], Any], start: int, stop: int) -> AsyncIterator[bytes]:
    file = await anyio.to_thread.run_sync(open_)
    try:
        await anyio.to_thread.run_sync(file.seek, start)
        while start < stop:
            piece = bytes(await anyio.to_thread.run_sync(file.read, min(PIECE, stop - start)))
            if not piece:
                raise OSError("the stored file is shorter than it was")  # the connection breaks: a short answer would look whole
            start += len(piece)
            yield piece
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(file.close)


def _names(header: str, etag: str) -> bool:
    return header.strip() == "*" or f'"{etag}"' in {one.strip().removeprefix("W/") for one in header.split(",")}
