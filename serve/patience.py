"""What a client needs of HTTP: asking again while the service is busy or away, server-sent events, errors as one type."""

import time
from collections.abc import Callable, Iterator

import httpx

from synclora.errors import SyncLoraError

TIMEOUT = httpx.Timeout(60.0, connect=10.0)  # of silence: probing a source may take half a minute
STREAM_TIMEOUT = httpx.Timeout(45.0, connect=10.0)  # the service says something every 15 s
BUSY = frozenset({429, 502, 503, 504})


class EditFailed(SyncLoraError):
    """The service refused, or the edit failed.

    Attributes:
        reason: a word of `synclora.errors.Reason`, or `unreachable`, `cancelled`, `unexpected`.
        detail: one line.
        status: of the answer; 0 when there was none, or the edit failed later.
    """

    def __init__(self, reason: str, detail: str, status: int = 0) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail, self.status = reason, detail, status


class Patient:
    """Asks one service, for `patience_s` at most each time."""

    def __init__(self, base_url: str, key: str | None, patience_s: float) -> None:
        headers = {"authorization": f"Bearer {key}"} if key else {}
        self.http = httpx.Client(base_url=base_url.rstrip("/") + "/", headers=headers, timeout=TIMEOUT)
        self._patience_s = patience_s

    def ask(self, send: Callable[[], httpx.Response]) -> httpx.Response:
        """Send until there is an answer that is worth something.

        Raises:
            EditFailed: it is a refusal, or there was none in time.
        """
        give_up, pause = self.deadline(), 0.5
        while True:
            asked_to_wait = 0.0
            try:
                answer = send()
                if answer.status_code < 400:
                    return answer
                failure = failure_of(answer)
                if answer.status_code not in BUSY:
                    raise failure
                asked_to_wait = _seconds(answer.headers.get("retry-after"))
            except httpx.TransportError as error:
                failure = EditFailed("unreachable", line_of(error))
            self.wait(give_up, failure, max(pause, asked_to_wait))
            pause = min(2 * pause, 8.0)

    def deadline(self) -> float:
        """When patience ends that begins now."""
        return time.monotonic() + self._patience_s

    @staticmethod
    def wait(give_up: float, failure: EditFailed, pause: float = 0.5) -> None:
        """Sleep, or raise when that would be too long."""
        if time.monotonic() + pause > give_up:
            raise failure
        time.sleep(pause)


def parse_events(lines: Iterator[str]) -> Iterator[tuple[str, str, str]]:
    """Name, id and data of server-sent events that have data; an event that is cut off is dropped."""
    name, ident, data = "message", "", list[str]()
    for line in lines:
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            if data:
                yield name, ident, "\n".join(data)
            name, data = "message", []
        elif field == "event":
            name = value
        elif field == "id":
            ident = value
        elif field == "data":
            data.append(value)


def failure_of(answer: httpx.Response) -> EditFailed:
    """What an answer of 400 and above says."""
    try:
        error = answer.json()["error"]
        return EditFailed(str(error["reason"]), str(error["detail"]), answer.status_code)
    except (ValueError, KeyError, TypeError):
        return EditFailed(
            "unexpected", f"HTTP {answer.status_code}: {answer.text[:200]!r}; is this the service?", answer.status_code
        )


def _seconds(header: str | None) -> float:
    return float(header) if header is not None and header.isdigit() else 0.0


def line_of(error: Exception) -> str:
    """An error on one line."""
    return " ".join(str(error).split()) or type(error).__name__
