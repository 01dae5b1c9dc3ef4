"""What an HTTP answer says when something is wrong: one word of `synclora.errors`, one line, one status.

    {"error": {"reason": "queue_full", "detail": "1000 edits wait, max_queued is 1000; try again in 10 s"}}

Whatever is raised below the door, this file turns into that form: our own errors, the framework's, a full disk; `shell.py` does so with
surprises.
"""

import errno
import logging
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from serve.database import TableError
from synclora.errors import MediaError, Reason, SyncLoraError

log = logging.getLogger("synclora.serve")

STATUS: dict[Reason, int] = {
    Reason.BAD_REQUEST: 400,
    Reason.UNAUTHORIZED: 401,
    Reason.NOT_FOUND: 404,
    Reason.CONFLICT: 409,
    Reason.TOO_LARGE: 413,
    Reason.UNKNOWN_CONTAINER: 415,
    Reason.NO_VIDEO_STREAM: 415,
    Reason.KEY_LIMIT: 429,
    Reason.QUEUE_FULL: 429,
    Reason.NO_SPACE: 507,
}
"""Of a refusal; every other word is about what was sent, and is 422."""

RETRY_AFTER_S = {Reason.QUEUE_FULL: 10, Reason.KEY_LIMIT: 10}
"""Seconds; about one edit of a short clip."""

DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class Refusal(MediaError):
    """An answer other than what its reason alone would give.

    Attributes:
        status: HTTP status; None: that of the reason.
        retry_after_s: seconds to wait; None: as the reason says.
    """

    def __init__(self, reason: Reason, detail: str, *, status: int | None = None, retry_after_s: int | None = None) -> None:
        super().__init__(reason, detail)
        self.status = status
        self.retry_after_s = retry_after_s


def not_found(what: str) -> Refusal:
    """404; `what` names the thing, never whether somebody else owns it."""
    return Refusal(Reason.NOT_FOUND, f"{what}; it never was, has expired, or belongs to another key")


def bad_request(detail: str) -> Refusal:
    """400: the request itself is malformed."""
    return Refusal(Reason.BAD_REQUEST, detail)


def no_space(error: OSError) -> Refusal:
    """507 of a full disk; any other trouble with it comes back as it is."""
    if error.errno not in DISK_FULL:
        raise error
    return Refusal(Reason.NO_SPACE, "the service's disk is full; nothing was stored, try again later", retry_after_s=60)


def answer(reason: Reason, detail: str, status: int, headers: dict[str, str] | None = None) -> JSONResponse:
    """The error as JSON."""
    return JSONResponse({"error": {"reason": reason.value, "detail": detail}}, status, headers)


def answer_to(error: MediaError) -> JSONResponse:
    """The error of a request as an HTTP answer."""
    status = getattr(error, "status", None) or STATUS.get(error.reason, 422)
    wait = getattr(error, "retry_after_s", None) or RETRY_AFTER_S.get(error.reason)
    headers = {"retry-after": str(wait)} if wait else {}
    if status == 401:
        headers["www-authenticate"] = "Bearer"
    return answer(error.reason, error.detail, status, headers)


def install(app: FastAPI) -> None:
    """Make the application answer in this form whatever is raised in it."""

    @app.exception_handler(MediaError)
    async def refused(_: Request, error: MediaError) -> JSONResponse:
        return answer_to(error)

    @app.exception_handler(TableError)
    async def away(_: Request, error: TableError) -> JSONResponse:
        log.error("%s", error)
        return answer(Reason.UNAVAILABLE, "the job table cannot be reached; try again", 503, {"retry-after": "5"})

    @app.exception_handler(OSError)
    async def broken(request: Request, error: OSError) -> JSONResponse:
        return answer_to(no_space(error)) if error.errno in DISK_FULL else failed(request, error)

    @app.exception_handler(ClientDisconnect)
    async def gone(_: Request, error: ClientDisconnect) -> JSONResponse:
        return answer(Reason.TIMED_OUT, "the client went away", 499)  # nobody reads it; logs of proxies count it so

    @app.exception_handler(SyncLoraError)
    async def unusable(_: Request, error: SyncLoraError) -> JSONResponse:
        return answer(Reason.BAD_REQUEST, str(error), 400)

    @app.exception_handler(RequestValidationError)
    async def malformed(_: Request, error: RequestValidationError) -> JSONResponse:
        found = [f"{'.'.join(map(str, one['loc']))}: {one['msg'].lower()}" for one in error.errors()]
        return answer(Reason.BAD_REQUEST, "; ".join(found), 400)

    @app.exception_handler(HTTPException)
    async def unrouted(_: Request, error: HTTPException) -> JSONResponse:
        reason = Reason.NOT_FOUND if error.status_code == 404 else Reason.BAD_REQUEST
        detail = {404: "no such address; /docs lists them", 405: "this address takes other methods; /docs lists them"}
        text = detail.get(error.status_code, error.detail or HTTPStatus(error.status_code).phrase)
        return answer(reason, text, error.status_code, dict(error.headers or {}))


def failed(request: Request, error: Exception) -> JSONResponse:
    """500: the service's own fault. What it was goes to the log and not to strangers."""
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return answer(Reason.CRASHED, "the service failed at this; its log says why", 500)
