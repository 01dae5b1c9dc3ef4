"""The addresses under /v1/edits, but for the files (`artefacts.py`)."""

from typing import Annotated

import anyio
from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from serve.desk import At, Who, look, root_of
from serve.events import event_id, said, stream
from serve.job import ID, State
from serve.openapi import EVENTS, body_and_key, failures, shows
from serve.schema import EditList, EditView, brief, view
from synclora.errors import MediaError

router = APIRouter(prefix="/v1/edits", tags=["edits"])


@router.post(
    "",
    status_code=202,
    summary="Ask for an edit",
    responses={
        202: shows(EditView, "Accepted; `Location` is its address."),
        200: shows(EditView, "A repetition: the edit that this Idempotency-Key made."),
        **failures(400, 408, 409, 413, 415, 422, 429, 507),
    },
    openapi_extra=body_and_key(),
)
async def submit(request: Request, desk: At, who: Who) -> JSONResponse:
    """Send text fields before files: what is wrong with them is then said before the files are read."""
    try:
        job, new = await desk.intake.accept(request, who)
    except MediaError as error:
        desk.metrics.refused(error.reason)
        raise
    shown = view(job, await anyio.to_thread.run_sync(desk.door.table.position, job.id), root_of(request))
    return JSONResponse(shown, 202 if new else 200, {"location": shown["links"]["self"]})


@router.get("", summary="Own edits, newest first", responses={200: shows(EditList, "One page."), **failures(400)})
def mine(
    request: Request,
    desk: At,
    who: Who,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    before: Annotated[str | None, Query(pattern=f"^{ID.pattern}$", description="Id of the last one of the page before.")] = None,
) -> JSONResponse:
    """`next` is the address of the page after. Reports are without their tracks here."""
    root = root_of(request)
    jobs = desk.door.table.list(who.name, limit + 1, before)
    more, jobs = len(jobs) > limit, jobs[:limit]
    seen = look(desk.door, [job.id for job in jobs if job.state is State.QUEUED])
    shown = [brief(view(job, at.position if (at := seen.get(job.id)) else None, root)) for job in jobs]
    return JSONResponse({"edits": shown, "next": f"{root}/v1/edits?limit={limit}&before={jobs[-1].id}" if more else None})


@router.get("/{id}", summary="One edit", responses={200: shows(EditView, "As it is now."), **failures(404)})
def one(request: Request, id: str, desk: At, who: Who) -> JSONResponse:
    """State, progress, place in the queue, error, sync report."""
    seen = desk.seen(id, who)
    assert seen.job is not None
    return JSONResponse(view(seen.job, seen.position, root_of(request)), headers={"cache-control": "no-store"})


@router.delete(
    "/{id}",
    summary="Cancel it, or remove it",
    responses={
        200: shows(EditView, "It was under way, and is cancelled; a replica is free within one step."),
        204: {"description": "It had ended, and is removed with its files."},
        **failures(404),
    },
)
def remove(request: Request, id: str, desk: At, who: Who) -> Response:
    """One that waits or runs is cancelled. One that has ended is removed, with source, pictures and video: they show people."""
    job = desk.remove(id, who)
    return Response(status_code=204) if job is None else JSONResponse(view(job, None, root_of(request)))


@router.get(
    "/{id}/events",
    summary="Progress as it happens",
    response_class=StreamingResponse,
    responses={
        200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}, "description": EVENTS},
        204: {"description": "It has ended, and Last-Event-ID says that you know."},
        **failures(404),
    },
)
async def events(request: Request, id: str, desk: At, who: Who) -> Response:
    """Server-sent events."""
    root, known = root_of(request), request.headers.get("last-event-id")
    first = await anyio.to_thread.run_sync(desk.seen, id, who)
    if first.ended and known == event_id(said(first, root)):
        return Response(status_code=204)  # ends an EventSource's coming back
    changes = desk.watch.follow(id, first, desk.door.settings.keep_alive_s)
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    return StreamingResponse(stream(changes, known, root), 200, headers, "text/event-stream")
