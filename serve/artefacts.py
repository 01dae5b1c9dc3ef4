"""The files of an edit: /v1/edits/{id}/video, /source and /first_frame."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from serve.desk import At, Desk, Who
from serve.job import ENDS, Job
from serve.openapi import binary
from serve.problems import not_found
from serve.ranges import send
from synclora.errors import MediaError, Reason

router = APIRouter(prefix="/v1/edits", tags=["edits"])

CONTAINERS = {"mov": ("video/mp4", "mp4"), "avi": ("video/x-msvideo", "avi"), "mpegts": ("video/mp2t", "ts")}
PICTURES = {
    b"\xff\xd8": ("image/jpeg", "jpg"),
    b"\x89P": ("image/png", "png"),
    b"RI": ("image/webp", "webp"),
    b"BM": ("image/bmp", "bmp"),
}
WEB_CODECS = frozenset({"vp8", "vp9", "av1"})
VIDEO = ("video/mp4",)
SOURCE = ("video/mp4", "video/webm", "video/x-matroska", "video/x-msvideo", "video/mp2t")
PICTURE = tuple(kind for kind, _ in PICTURES.values())


@router.head("/{id}/video", include_in_schema=False, response_class=Response)
@router.get("/{id}/video", summary="The edited video", response_class=Response, responses=binary(VIDEO))
def video(request: Request, id: str, desk: At, who: Who) -> Response:
    """The edited video; `?download=1` for a file."""
    job = desk.find(id, who)
    if job.video is None:
        raise not_found(f"edit {id} is {job.state.value} and has no video") if job.state in ENDS else _not_yet(job)
    return _file(desk, request, job, job.video, ("video/mp4", "mp4"), "edit")


@router.head("/{id}/source", include_in_schema=False, response_class=Response)
@router.get("/{id}/source", summary="The source", response_class=Response, responses=binary(SOURCE))
def source(request: Request, id: str, desk: At, who: Who) -> Response:
    """The source video as it was sent."""
    job = desk.find(id, who)
    return _file(desk, request, job, "source", source_kind(job.source), "source")


@router.head("/{id}/first_frame", include_in_schema=False, response_class=Response)
@router.get("/{id}/first_frame", summary="The edited first frame", response_class=Response, responses=binary(PICTURE))
def first_frame(request: Request, id: str, desk: At, who: Who) -> Response:
    """The edited first frame as it was sent."""
    job = desk.find(id, who)
    return _file(desk, request, job, "first_frame", None, "first_frame")


def source_kind(facts: dict[str, Any]) -> tuple[str, str]:
    """Content type and suffix of a source, by what was found in it."""
    container = facts.get("container", "")
    if container == "matroska" and facts.get("codec") in WEB_CODECS:
        return "video/webm", "webm"
    return CONTAINERS.get(container, ("video/x-matroska", "mkv"))


def picture_kind(head: bytes) -> tuple[str, str]:
    """Content type and suffix of a picture that was opened as one, by its first bytes."""
    return PICTURES.get(head[:2], ("application/octet-stream", "bin"))


def _file(desk: Desk, request: Request, job: Job, name: str, kind: tuple[str, str] | None, called: str) -> Response:
    files = desk.door.files
    try:
        size = files.size(job.id, name)
        if kind is None:
            with files.open(job.id, name) as file:
                kind = picture_kind(bytes(file.read(2)))
    except FileNotFoundError as error:
        raise not_found(f"edit {job.id} has no {called}") from error
    return send(
        request, lambda: files.open(job.id, name), size, f"{job.id}-{name}-{size}", kind[0], f"{called}-{job.id}.{kind[1]}"
    )


def _not_yet(job: Job) -> MediaError:
    return MediaError(Reason.NOT_FOUND, f"edit {job.id} is {job.state.value}; its video is there when it has succeeded")
