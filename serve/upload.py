"""A multipart body to files, as it arrives: every limit holds while bytes come in, and nothing but the last piece is in memory.

    async with scratch(incoming) as folder:
        upload = await receive(request.stream(), request.headers, folder, limits, check)
        upload.files["source"].path, upload.fields["seed"]

A part is a file or a text by its name alone, as the API says (`form.py`), and the file's own name is never looked at: what is stored is called
as the part. A refusal is raised at the byte that breaks a rule. Whoever made the folder removes it, whatever happened; `scratch` does.
"""

import asyncio
import contextlib
import shutil
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import anyio
from python_multipart.multipart import parse_options_header

from serve.form import Check, Form, Upload, UploadLimits
from serve.problems import Refusal, bad_request, no_space
from synclora.errors import Reason

PIECE = 256 * 1024  # bytes handed to a thread at once: not a hop per packet, and 200 uploads hold 100 MB


@contextlib.asynccontextmanager
async def scratch(incoming: Path) -> AsyncIterator[Path]:
    """A folder of one's own within `incoming`, removed at the end, also when the request is cancelled, and again while that is waited for.

    Serve cancels tasks where they stand: what must happen is given to a thread before anything is awaited.
    """
    folder = incoming / uuid.uuid4().hex
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        removal = asyncio.get_running_loop().run_in_executor(None, _remove, folder)
        with anyio.CancelScope(shield=True):
            await asyncio.shield(removal)


def _remove(folder: Path) -> None:
    """A cancelled request's thread may still be writing its last piece."""
    for _ in range(250):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(0.02)


def boundary_of(headers: Mapping[str, str], limits: UploadLimits) -> bytes:
    """The boundary; everything that the request's head can be refused for is refused here, before a byte of the body.

    Raises:
        Refusal: no multipart body, no boundary, or one that says to be too long.
    """
    kind, options = parse_options_header(headers.get("content-type", ""))
    if kind != b"multipart/form-data":
        raise Refusal(
            Reason.BAD_REQUEST, f"Content-Type is {kind[:80].decode('latin-1')!r}; send multipart/form-data", status=415
        )
    boundary = options.get(b"boundary", b"")
    if not 1 <= len(boundary) <= 70:  # RFC 2046
        raise bad_request(f"the boundary has {len(boundary)} bytes; 1 to 70 are allowed")
    length = headers.get("content-length", "")
    if length.isascii() and length.isdigit() and (len(length) > 18 or int(length) > limits.total):
        raise Refusal(Reason.TOO_LARGE, f"the body has {length[:40]} bytes, an upload may have {limits.total}")
    return boundary


async def receive(
    chunks: AsyncIterator[bytes], headers: Mapping[str, str], folder: Path, limits: UploadLimits, check: Check
) -> Upload:
    """Take in a whole body.

    Raises:
        Refusal: it breaks a limit or a rule, comes too slowly, or the disk is full.
    """
    form = Form(boundary_of(headers, limits), folder, limits, check)
    try:
        with anyio.fail_after(limits.seconds):
            await _feed(chunks, form, limits)
            return await anyio.to_thread.run_sync(form.finish)
    except TimeoutError as error:
        raise Refusal(Reason.TIMED_OUT, f"the upload took more than {limits.seconds:g} s", status=408) from error
    except OSError as error:
        raise no_space(error) from error
    finally:
        with contextlib.suppress(OSError):  # what is still in its buffer goes with it
            form.close()


async def _feed(chunks: AsyncIterator[bytes], form: Form, limits: UploadLimits) -> None:
    pending = bytearray()
    over = False
    while not over:
        chunk = b""
        with anyio.move_on_after(limits.idle_seconds) as idle:
            try:
                chunk = await anext(chunks)
            except StopAsyncIteration:
                over = True
        if idle.cancelled_caught:
            raise Refusal(Reason.TIMED_OUT, f"the upload was silent for {limits.idle_seconds:g} s", status=408)
        pending += chunk
        if len(pending) >= PIECE or (over and pending):
            piece, pending = bytes(pending), bytearray()
            await anyio.to_thread.run_sync(form.write, piece)
