"""Asks the service for edits, from Python or from a shell.

    with Client("http://127.0.0.1:8000", key="slk_...") as client:
        result = client.edit("source.mp4", "first.png", "edited.mp4", consent=True, adapter="may-lora", seed=1)
        print(result.report.score)

    python -m serve.client source.mp4 first.png --out edited.mp4 --consent --url http://127.0.0.1:8000 --key slk_...

What breaks on the way is tried again: an upload with the same Idempotency-Key, so that it makes one edit; an event stream from where it
broke, and by asking now and then where streams do not come through. What the service refuses is raised at once, as `EditFailed` with its reason.
"""

import argparse
import contextlib
import json
import os
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
from pydantic import ValidationError

from serve.job import ENDS, State
from serve.patience import BUSY, STREAM_TIMEOUT, EditFailed, Patient, failure_of, line_of, parse_events
from serve.schema import AdapterList, AdapterView, EditView
from synclora.edit.result import EditResult
from synclora.errors import SyncLoraError

POLL_S = 1.0

OnEdit = Callable[[EditView], None]


class Client:
    """Of one service. Its methods block; use one client per thread.

    Args:
        base_url: where the service is, such as http://127.0.0.1:8000.
        key: the bearer key; None: SYNCLORA_KEY of the environment, else none.
        patience_s: how long a call goes on while the service is busy or away.
    """

    def __init__(self, base_url: str = "http://127.0.0.1:8000", key: str | None = None, *, patience_s: float = 60.0) -> None:
        key = key if key is not None else os.environ.get("SYNCLORA_KEY")
        self._patient = Patient(base_url, key, patience_s)
        self._http = self._patient.http

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close its connections."""
        self._http.close()

    def submit(
        self,
        source: str | Path,
        first_frame: str | Path,
        *,
        consent: bool,
        key_frames: Mapping[int, str | Path] | None = None,
        idempotency_key: str | None = None,
        **fields: str | float | None,
    ) -> str:
        """Ask for an edit; its id.

        Args:
            source: the video.
            first_frame: its first frame, edited.
            consent: the people shown agree to this edit.
            key_frames: other edited frames, by their number.
            idempotency_key: asked again with it, the same request makes no second edit; None: a new one.
            fields: prompt, adapter, seed, steps, guidance_text, guidance_source, guidance_first_frame, size, min_sync, attempts.

        Raises:
            EditFailed: it was refused, or nobody answers.
            OSError: a file cannot be read.
        """
        files = {"source": Path(source), "first_frame": Path(first_frame)}
        files |= {f"key_frame_{frame}": Path(picture) for frame, picture in (key_frames or {}).items()}
        texts = {name: str(value) for name, value in fields.items() if value is not None}
        headers = {"idempotency-key": idempotency_key or uuid.uuid4().hex}

        def post() -> httpx.Response:
            with contextlib.ExitStack() as stack:
                opened = {name: (name, stack.enter_context(path.open("rb"))) for name, path in files.items()}
                data = {"consent": "true" if consent else "false", **texts}
                return self._http.post("v1/edits", data=data, files=opened, headers=headers)

        return str(self._patient.ask(post).json()["id"])

    def get(self, id: str) -> EditView:
        """An edit as it is now.

        Raises:
            EditFailed: there is none of that id, or nobody answers.
        """
        return self._view(self._patient.ask(lambda: self._http.get(f"v1/edits/{id}")).json())

    def cancel(self, id: str) -> EditView | None:
        """Cancel it; one that has ended is removed, with its files, and None is returned."""
        answer = self._patient.ask(lambda: self._http.delete(f"v1/edits/{id}"))
        return None if answer.status_code == 204 else self._view(answer.json())

    def adapters(self) -> list[AdapterView]:
        """What `adapter` may be."""
        return AdapterList.model_validate(self._patient.ask(lambda: self._http.get("v1/adapters")).json()).adapters

    def events(self, id: str) -> Iterator[EditView]:
        """The edit as it is, and again at each change, until its end. Goes on over broken connections.

        Raises:
            EditFailed: there is none of that id, or nobody answers for as long as this client's patience lasts.
        """
        last_id, give_up, empty = "", self._patient.deadline(), 0
        while True:
            came = False
            try:
                for name, ident, data in self._stream(id, last_id):
                    came, last_id, give_up, empty = True, ident, self._patient.deadline(), 0
                    if "error" in (said := json.loads(data)) and "id" not in said:
                        raise EditFailed(said["error"]["reason"], said["error"]["detail"], 404)
                    yield self._view(said)
                    if name == "end":
                        return
            except httpx.TransportError as error:
                self._patient.wait(give_up, EditFailed("unreachable", line_of(error)))
            empty += not came
            if empty >= 3:  # no stream comes through here
                view = self.get(id)
                yield view
                if view.state in ENDS:
                    return
            if empty:
                time.sleep(POLL_S)

    def wait(self, id: str, on_progress: OnEdit | None = None) -> EditResult:
        """Wait for its end.

        Raises:
            EditFailed: it failed (with its reason) or was cancelled.
        """
        view = None
        for view in self.events(id):
            if on_progress is not None:
                on_progress(view)
        assert view is not None
        if view.state is State.SUCCEEDED and view.result is not None:
            return view.result
        if view.error is not None:
            raise EditFailed(view.error.reason, view.error.detail)
        raise EditFailed(view.state.value, f"edit {id} was {view.state.value}")

    def video(self, id: str, to: str | Path) -> Path:
        """Bring the edited video to a file, which appears whole or not at all. A connection that breaks is taken up where it broke.

        Raises:
            EditFailed: there is no video, or nobody answers.
            OSError: the file cannot be written.
        """
        target = Path(to)
        part = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.part")
        try:
            with part.open("wb") as file:
                whole, give_up = _Whole(), self._patient.deadline()
                while whole.bytes < 0 or file.tell() < whole.bytes:
                    here = file.tell()
                    try:
                        self._piece(id, file, whole)
                    except httpx.TransportError as error:
                        give_up = self._patient.deadline() if file.tell() > here else give_up
                        self._patient.wait(give_up, EditFailed("unreachable", line_of(error)))
                file.flush()
                os.fsync(file.fileno())
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
        return target

    def edit(
        self,
        source: str | Path,
        first_frame: str | Path,
        out: str | Path,
        *,
        consent: bool,
        on_progress: OnEdit | None = None,
        **fields: Any,
    ) -> EditResult:
        """Ask, wait, bring the video to `out`. Arguments and errors are those of `submit`, `wait` and `video`."""
        id = self.submit(source, first_frame, consent=consent, **fields)
        result = self.wait(id, on_progress)
        self.video(id, out)
        return result

    def _piece(self, id: str, file: Any, whole: "_Whole") -> None:
        """Append what is missing, as much as comes."""
        start = file.tell()
        headers = {"accept-encoding": "identity"} | ({"range": f"bytes={start}-", "if-range": whole.etag} if start else {})
        with self._http.stream("GET", f"v1/edits/{id}/video", headers=headers) as answer:
            if answer.status_code >= 400:
                answer.read()
                raise failure_of(answer)
            if answer.status_code != 206:
                file.seek(0)
                file.truncate()
            whole.etag, whole.bytes = answer.headers.get("etag", ""), file.tell() + int(answer.headers["content-length"])
            for data in answer.iter_raw():  # as it comes: what is gathered to pieces first is lost when the connection breaks
                file.write(data)

    def _stream(self, id: str, last_id: str) -> Iterator[tuple[str, str, str]]:
        """Name, id and data of the events of one connection."""
        headers = {"accept": "text/event-stream"} | ({"last-event-id": last_id} if last_id else {})
        with self._http.stream("GET", f"v1/edits/{id}/events", headers=headers, timeout=STREAM_TIMEOUT) as answer:
            if answer.status_code in BUSY:
                return
            if answer.status_code >= 400:
                answer.read()
                raise failure_of(answer)
            yield from parse_events(answer.iter_lines())

    @staticmethod
    def _view(values: Any) -> EditView:
        try:
            return EditView.model_validate(values)
        except ValidationError as error:
            raise EditFailed("unexpected", f"the answer is no edit of this version: {line_of(error)[:300]}") from error


@dataclass
class _Whole:
    """What is known of the file that is fetched: its ETag, and its bytes (-1: not yet)."""

    etag: str = ""
    bytes: int = -1


def main(arguments: list[str] | None = None) -> int:
    """The command; its exit status."""
    asked = _parser().parse_args(arguments)
    names = ("prompt", "adapter", "seed", "steps", "guidance_text", "guidance_source", "guidance_first_frame", "size")
    fields = {name: getattr(asked, name) for name in (*names, "min_sync", "attempts")}
    frames = {int(frame): path for frame, _, path in (one.partition("=") for one in asked.key_frame)}
    try:
        with Client(asked.url, asked.key) as client:
            result = client.edit(
                asked.source, asked.first_frame, asked.out, consent=asked.consent, on_progress=_show, key_frames=frames, **fields
            )
    except (SyncLoraError, OSError) as error:
        print(f"\nerror: {error}", file=sys.stderr)
        return 2
    score = "none" if result.report.score is None else f"{result.report.score:.3f}"
    print(f"\n{asked.out}: {result.frames} frames, sync {score} ({result.report.verdict}), edit strength {result.edit_strength}")
    return 0


def _show(view: EditView) -> None:
    place = f", {view.queue_position} before it" if view.queue_position else ""
    done = f": {view.progress.stage} {view.progress.step}/{view.progress.steps}" if view.progress else ""
    print(f"\r{view.id} {view.state.value}{place}{done}".ljust(78), end="", file=sys.stderr, flush=True)


def _frame(text: str) -> str:
    frame, mark, path = text.partition("=")
    if not (frame.isdigit() and mark and path):
        raise argparse.ArgumentTypeError(f"{text!r} is not FRAME=PICTURE, such as 40=frame40.png")
    return text


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m serve.client", description="One edit over HTTP.")
    parser.add_argument("source", type=Path)
    parser.add_argument("first_frame", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--key", help="default: SYNCLORA_KEY of the environment")
    parser.add_argument("--consent", action="store_true", help="the people shown agree to this edit; required by the service")
    parser.add_argument("--key-frame", action="append", default=[], type=_frame, metavar="FRAME=PICTURE", help="again for more")
    for name in ("prompt", "adapter", "size"):
        parser.add_argument(f"--{name}")
    for name in ("seed", "steps", "attempts"):
        parser.add_argument(f"--{name}", type=int)
    for name in ("guidance-text", "guidance-source", "guidance-first-frame", "min-sync"):
        parser.add_argument(f"--{name}", type=float)
    return parser


if __name__ == "__main__":
    sys.exit(main())
