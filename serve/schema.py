"""What the API says, as types: the bodies of `/docs`, and what the client parses. Imports no torch and no server."""

from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel, Field

from serve.job import Job, State
from synclora.edit.progress import Progress
from synclora.edit.result import EditResult
from synclora.errors import Reason

SOURCE_FACTS = ("frames", "fps", "width", "height", "seconds", "has_audio")


class Problem(BaseModel):
    """Why something did not work."""

    reason: str = Field(description="One word of the service's vocabulary.", examples=[Reason.QUEUE_FULL.value])
    detail: str = Field(description="One line: what, which value, what would do.")


class Failure(BaseModel):
    """Body of every answer with a status of 400 and above."""

    error: Problem


class SourceFacts(BaseModel):
    """The source as it was opened at the door."""

    frames: int
    fps: str = Field(description="A fraction.", examples=["30000/1001"])
    width: int
    height: int
    seconds: float
    has_audio: bool


class Consent(BaseModel):
    """Who said, and when, that the people shown agree."""

    by: str = Field(description='Name of the key; "" on a service without keys.')
    at: datetime


class Asked(BaseModel):
    """What was asked for; None is left to the adapter or to the service."""

    prompt: str | None
    adapter: str
    seed: int
    steps: int | None
    guidance_text: float | None
    guidance_source: float | None
    guidance_first_frame: float | None
    size: str | None
    min_sync: float | None
    attempts: int
    key_frames: list[int] = Field(description="Frame numbers, counted from 0.")
    consent: Consent


class Reached(BaseModel):
    """How far the edit is."""

    stage: Literal["preparing", "encoding", "sampling", "decoding", "measuring", "storing"]
    step: int = Field(description="Sampling steps done, over all windows of this attempt.")
    steps: int = Field(description="Of how many; 0 while that is not known.")
    window: int
    windows: int
    attempt: int = Field(description="Seed under way, counted from 1.")


class Links(BaseModel):
    """Addresses on this service. `video` is there from the start and answers once the edit succeeded."""

    self: str
    events: str
    video: str
    source: str
    first_frame: str


class EditView(BaseModel):
    """One edit."""

    id: str
    state: State
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    deadline_at: datetime
    request: Asked
    source: SourceFacts
    progress: Reached | None
    queue_position: int | None = Field(description="0 is next; None when it does not wait.")
    error: Problem | None
    result: EditResult | None
    links: Links


class EditList(BaseModel):
    """The caller's edits, newest first."""

    edits: list[EditView]
    next: str | None = Field(description="Address of the next page; None on the last.")


class AdapterView(BaseModel):
    """One adapter of the library."""

    name: str = Field(description="`none` is the bare model.")
    default: bool
    kind: str | None = None
    attention_mode: str | None = None
    caption: str | None = None
    rank: int | None = None
    frames: int | None = Field(default=None, description="Frames of the clips that it was trained on.")
    width: int | None = None
    height: int | None = None
    face_share: float | None = Field(
        default=None,
        description="It edits the part of the picture in which the face has this share of the width; null: all of it.",
    )
    base_model: str | None = None
    random_base: bool = Field(default=False, description="Trained on random weights: it proves plumbing only.")


class AdapterList(BaseModel):
    """What `adapter` may be."""

    adapters: list[AdapterView]


class Health(BaseModel):
    """Of `/healthz` and `/readyz`."""

    status: str
    table: str | None = None
    files: str | None = None


def view(job: Job, position: int | None = None, root: str = "") -> dict[str, Any]:
    """The JSON of a job, of the form of `EditView`.

    Plain values and no model: a row that an older version wrote is shown as it is.

    Args:
        position: in the queue; looked at only while it waits.
        root: path below which the service is mounted.
    """
    address = f"{root}/v1/edits/{job.id}"
    return {
        "id": job.id,
        "state": job.state.value,
        "created_at": _utc(job.created),
        "started_at": _utc(job.started),
        "ended_at": _utc(job.ended),
        "deadline_at": _utc(job.deadline),
        "request": asked(job.request),
        "source": {name: job.source.get(name) for name in SOURCE_FACTS},
        "progress": {**Progress("preparing").__dict__, **job.progress} if job.progress else None,
        "queue_position": position if job.state is State.QUEUED else None,
        "error": {"reason": job.error[0], "detail": job.error[1]} if job.error else None,
        "result": job.result,
        "links": {"self": address, **{name: f"{address}/{name}" for name in ("events", "video", "source", "first_frame")}},
    }


def brief(shown: dict[str, Any]) -> dict[str, Any]:
    """A job's JSON without the tracks of its report: a hundred edits of a minute would be twenty megabytes."""
    result = shown["result"]
    if result is None or not result.get("report"):
        return shown
    return {**shown, "result": {**result, "report": {**result["report"], "parts": []}}}


def asked(request: dict[str, Any]) -> dict[str, Any]:
    """A row's request without the names of its files."""
    return {**request, "key_frames": [one["frame"] for one in request.get("key_frames", ())]}


def _utc(seconds: float | None) -> str | None:
    return (
        None
        if seconds is None
        else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    )
