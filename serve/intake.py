"""POST /v1/edits: from a body to an accepted job. Cheap refusals first, then bytes, then decoding, then files, then the row.

A row never lacks its files: they are stored under a new id before the table accepts it, and removed when it does not. That last step is one
blocking function in a thread: a client that goes away in the middle of it cannot leave the one without the other.
"""

import contextlib
import logging
import string
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
from fastapi import Request
from pydantic import ValidationError

from serve.database import TableError
from serve.door import Caller, Door
from serve.form import KEY_FRAME, Check, Upload, UploadLimits
from serve.job import Job, NewJob, make_id
from serve.probe import Probe
from serve.problems import bad_request, no_space
from serve.upload import receive, scratch
from synclora.edit.request import NO_ADAPTER, EditRequest
from synclora.errors import MediaError, Reason
from synclora.media.probe import VideoInfo

PLAIN = (
    "prompt",
    "adapter",
    "seed",
    "steps",
    "guidance_text",
    "guidance_source",
    "guidance_first_frame",
    "size",
    "min_sync",
    "attempts",
)
"""Text fields that are fields of `EditRequest`."""
FIELDS = frozenset({*PLAIN, "consent"})
KEY_CHARACTERS = frozenset(string.ascii_letters + string.digits + string.punctuation + " ")
MAX_KEY_FRAMES = 16

log = logging.getLogger("synclora.serve")


class Intake:
    """Takes in edits for one door."""

    def __init__(self, door: Door, incoming: Path, probe: Probe) -> None:
        self._door, self._incoming, self._probe = door, incoming, probe
        settings = door.settings
        self.limits = UploadLimits(
            video=settings.media.max_bytes,
            picture=settings.max_picture_bytes,
            pictures=1 + MAX_KEY_FRAMES,
            fields=FIELDS,
            seconds=settings.upload_s,
            idle_seconds=settings.upload_idle_s,
        )

    async def accept(self, request: Request, caller: Caller) -> tuple[Job, bool]:
        """The job of this request, and whether it is new.

        Raises:
            MediaError: the request is refused; nothing of it is left.
        """
        key = idempotency_key(request.headers.get("idempotency-key"))
        await anyio.to_thread.run_sync(self._room, caller, key)
        async with scratch(self._incoming) as folder:
            upload = await receive(request.stream(), request.headers, folder, self.limits, self._check(caller))
            asked = self._read(upload)
            info = await self._probe.source(upload.files["source"].path)
            for name in upload.files.keys() - {"source"}:
                await self._probe.picture(upload.files[name].path, name)
            for frame in asked.key_frames:
                if frame.frame >= info.frames:
                    raise bad_request(
                        f"key_frame_{frame.frame}: the source has {info.frames} frames, the last is {info.frames - 1}"
                    )
            row = await anyio.to_thread.run_sync(self._row, asked, caller)
            job, new = await anyio.to_thread.run_sync(self._keep, upload, row, info, caller, key)
        if new:
            await anyio.to_thread.run_sync(self._wake)
        return job, new

    def _wake(self) -> None:
        try:
            self._door.wake()
        except Exception as error:  # the job is accepted, and the dispatcher looks by itself
            log.warning("the dispatcher was not woken: %s: %s", type(error).__name__, error)

    def _room(self, caller: Caller, key: str | None) -> None:
        """Refuse before the body is read what would be refused after it."""
        self._door.table.check(caller.name, key, max_queued=self._door.settings.max_queued, **caller.limits)

    def _check(self, caller: Caller) -> Check:
        def check(name: str, value: str) -> None:
            if name == "consent":
                if value != "true":
                    raise MediaError(
                        Reason.NO_CONSENT, f"consent is {value[:40]!r}; send true when the people shown agree to this edit"
                    )
            elif value:
                read_request({name: value})
                if name == "adapter":
                    self._adapter(value, caller)

        return check

    def _adapter(self, name: str, caller: Caller) -> str:
        """The name as the library has it."""
        known = name if name == NO_ADAPTER else self._door.library.info(name).name
        if caller.key is not None and not caller.key.may_use(known):
            allowed = ", ".join(caller.key.adapters or ())
            raise MediaError(
                Reason.UNKNOWN_ADAPTER, f"adapter {known}: not one of key {caller.name}, which may use {allowed or 'none'}"
            )
        return known

    def _read(self, upload: Upload) -> EditRequest:
        for name in ("source", "first_frame"):
            if name not in upload.files:
                raise bad_request(f"{name} is missing; send it as a file")
        if "consent" not in upload.fields:
            raise MediaError(Reason.NO_CONSENT, "consent is missing; send consent=true when the people shown agree to this edit")
        given = {name: value for name, value in upload.fields.items() if value and name != "consent"}
        frames = sorted(int(found[1]) for name in upload.files if (found := KEY_FRAME.fullmatch(name)))
        pictures = [{"frame": frame, "picture": f"key_frame_{frame}"} for frame in frames]
        return read_request({**given, "key_frames": pictures})

    def _row(self, asked: EditRequest, caller: Caller) -> dict[str, Any]:
        """What the table keeps of a request."""
        values = asked.model_dump(mode="json", exclude={"source", "first_frame"})
        values["adapter"] = self._adapter(values["adapter"] or self._door.settings.usual_adapter, caller)
        now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        return {**values, "consent": {"by": caller.name, "at": now}}

    def _keep(self, upload: Upload, row: dict[str, Any], info: VideoInfo, caller: Caller, key: str | None) -> tuple[Job, bool]:
        door, name = self._door, make_id()
        try:
            for part, file in upload.files.items():
                door.files.put(file.path, name, part, move=True)
            job, new = door.table.accept(
                NewJob(
                    id=name,
                    owner=caller.name,
                    key=key,
                    digest=upload.digest,
                    request=row,
                    source=info.to_json(),
                    deadline_s=door.settings.deadline_s,
                ),
                max_queued=door.settings.max_queued,
                **caller.limits,
            )
        except TableError:  # nobody knows whether the row is there: housekeeping removes files that have none
            raise
        except Exception as error:
            with contextlib.suppress(OSError):
                door.files.delete_job(name)
            if isinstance(error, OSError):
                raise no_space(error) from error
            raise
        if not new:
            door.files.delete_job(name)
        return job, new


def read_request(values: dict[str, Any]) -> EditRequest:
    """Form fields as a request; files are named as their parts.

    Raises:
        Refusal: 400 that names the field, the value and the rule.
    """
    try:
        return EditRequest.model_validate({"source": "source", "first_frame": "first_frame", **values})
    except ValidationError as error:
        found = [f"{'.'.join(map(str, one['loc']))} = {str(one['input'])[:60]!r}: {one['msg'].lower()}" for one in error.errors()]
        raise bad_request("; ".join(found)) from error


def idempotency_key(header: str | None) -> str | None:
    """The header, if it is one.

    Raises:
        Refusal: 400, it is empty, too long or holds other than printable ASCII.
    """
    if header is None:
        return None
    if not 1 <= len(header) <= 200 or not KEY_CHARACTERS.issuperset(header):
        raise bad_request(f"Idempotency-Key has {len(header)} characters; send 1 to 200 printable ASCII ones")
    return header
