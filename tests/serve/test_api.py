"""The addresses, over HTTP: a real server, a real table and store, and a worker with a stub for an editor."""

import errno
import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import anyio
import httpx
import pytest

from serve.database import TableError
from serve.job import State
from serve.schema import EditList, EditView, Failure, brief
from tests.serve.local import Form, Local, events, http, ring_of, until, write_adapter
from tests.serve.stub import video


@pytest.fixture(scope="module")
def form(tmp_path_factory: pytest.TempPathFactory) -> Form:
    return Form(tmp_path_factory.mktemp("form"))


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Local]:
    """One that works."""
    folder = tmp_path_factory.mktemp("working")
    write_adapter(folder / "data" / "adapters", "hair")
    with Local(folder) as one:
        one.work()
        yield one


@pytest.fixture
def idle(tmp_path: Path) -> Iterator[Local]:
    """One where jobs wait."""
    with Local(tmp_path) as one:
        yield one


@pytest.fixture(scope="module")
def done(service: Local, form: Form) -> str:
    """Address of an edit that succeeded."""
    address = service.url + form.post(service, seed="5", steps="2").headers["location"]
    until(lambda: http.get(address).json()["state"] == "succeeded")
    return address


def test_an_edit_from_the_form_to_the_video(service, form):
    sent = {
        "prompt": "a red hat",
        "adapter": "hair",
        "seed": "7",
        "steps": "3",
        "guidance_text": "2.5",
        "size": "64x64",
        "min_sync": "",
    }
    answer = form.post(service, files={"key_frame_4": ("x", form.first.read_bytes())}, **sent)
    assert answer.status_code == 202
    accepted = EditView.model_validate(answer.json())
    assert answer.headers["location"] == accepted.links.self == f"/v1/edits/{accepted.id}"
    assert accepted.request.model_dump(exclude={"consent"}) == {
        "prompt": "a red hat",
        "adapter": "hair",
        "seed": 7,
        "steps": 3,
        "guidance_text": 2.5,
        "guidance_source": None,
        "guidance_first_frame": None,
        "size": "64x64",
        "min_sync": None,
        "attempts": 1,
        "key_frames": [4],
    }
    assert accepted.request.consent.by == ""
    assert abs(accepted.request.consent.at.timestamp() - time.time()) < 60
    assert accepted.source.model_dump() == {
        "frames": 9,
        "fps": "25",
        "width": 64,
        "height": 64,
        "seconds": 0.36,
        "has_audio": False,
    }
    assert service.woken.is_set()
    address = service.url + accepted.links.self
    until(lambda: http.get(address).json()["state"] == "succeeded")
    ended = EditView.model_validate(http.get(address).json())
    assert ended.result is not None
    assert (ended.result.seed, ended.result.adapter, ended.result.report.score) == (7, "hair", 0.9)
    assert ended.created_at <= ended.started_at <= ended.ended_at <= ended.deadline_at
    assert ended.error is None
    assert http.get(service.url + ended.links.video).content == video(7, 3)
    assert http.get(service.url + ended.links.source).content == form.source.read_bytes()
    assert http.get(service.url + ended.links.first_frame).content == form.first.read_bytes()
    assert f"jobs/{accepted.id}/key_frame_4" in service.stored()
    assert not service.leftovers()


def test_nothing_is_made_without_consent(idle, form):
    for consent in ("", "false", "yes", "TRUE"):
        answer = form.post(idle, consent=consent)
        assert (answer.status_code, answer.json()["error"]["reason"]) == (422, "no_consent")
    assert (idle.stored(), idle.leftovers()) == ([], [])


@pytest.mark.parametrize(
    ("field", "value", "status", "word"),
    [
        ("seed", "-1", 400, "seed = '-1'"),
        ("seed", "1.5", 400, "seed"),
        ("seed", str(2**63), 400, "seed"),
        ("guidance_text", "NaN", 400, "guidance_text = 'NaN'"),
        ("guidance_source", "inf", 400, "guidance_source"),
        ("guidance_first_frame", "-0.1", 400, "guidance_first_frame"),
        ("steps", "0", 400, "steps"),
        ("size", "64", 400, "size"),
        ("size", "64x64\n", 400, "size"),
        ("min_sync", "1.1", 400, "min_sync"),
        ("attempts", "9", 400, "attempts"),
        ("prompt", "x" * 2001, 400, "prompt"),
        ("adapter", "../../etc/passwd", 422, "adapter"),
        ("adapter", "a/b", 422, "adapter"),
        ("adapter", "nobody", 422, "nobody"),
        ("source", "http://169.254.169.254/latest", 400, "not fetched"),
        ("first_frame", "/etc/passwd", 400, "not fetched"),
        ("key_frames", "1", 400, "key_frames"),
    ],
)
def test_a_bad_field_names_itself(service, form, field, value, status, word):
    before = service.stored()
    files = {name: file for name, file in form.files().items() if name != field}
    answer = http.post(f"{service.url}/v1/edits", data={"consent": "true", field: value}, files=files)
    said = Failure.model_validate(answer.json()).error
    assert (answer.status_code, said.reason) == (status, "unknown_adapter" if status == 422 else "bad_request")
    assert word in said.detail
    assert (service.stored(), service.leftovers()) == (before, [])


def test_files_must_be_there_and_key_frames_within(service, form):
    for missing in ("source", "first_frame"):
        files = {name: file for name, file in form.files().items() if name != missing}
        answer = http.post(f"{service.url}/v1/edits", data={"consent": "true"}, files=files)
        assert (answer.status_code, answer.json()["error"]["detail"]) == (400, f"{missing} is missing; send it as a file")
    answer = form.post(service, files={"key_frame_9": ("x", form.first.read_bytes())})
    assert (answer.status_code, answer.json()["error"]["detail"]) == (400, "key_frame_9: the source has 9 frames, the last is 8")


def test_a_repetition_is_the_same_edit_and_another_request_is_none(idle, form):
    key = {"idempotency-key": "once"}
    first, again = form.post(idle, headers=key, seed="1"), form.post(idle, headers=key, seed="1")
    assert (first.status_code, again.status_code) == (202, 200)
    assert first.json()["id"] == again.json()["id"]
    other = form.post(idle, headers=key, seed="2")
    assert (other.status_code, other.json()["error"]["reason"]) == (409, "conflict")
    assert len({name.split("/")[1] for name in idle.stored()}) == 1
    for bad in ("", "x" * 201, "caf\xe9"):
        answer = form.post(idle, headers={"idempotency-key": bad.encode("latin-1")})  # type: ignore[dict-item]
        assert (answer.status_code, answer.json()["error"]["reason"]) == (400, "bad_request")


def test_twenty_at_once_with_one_key_make_one_edit(idle, form):
    answers: list[httpx.Response] = []
    threads = [
        threading.Thread(target=lambda: answers.append(form.post(idle, headers={"idempotency-key": "race"}))) for _ in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answer.status_code for answer in answers) == [200] * 19 + [202]
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert len({name.split("/")[1] for name in idle.stored()}) == 1
    assert not idle.leftovers()


def test_a_full_queue_says_when_to_come_again_before_the_body_is_sent(tmp_path, form):
    with Local(tmp_path, max_queued=1) as service:
        assert form.post(service, headers={"idempotency-key": "in"}).status_code == 202
        answer = form.post(service)
        assert (answer.status_code, answer.json()["error"]["reason"]) == (429, "queue_full")
        assert int(answer.headers["retry-after"]) >= 1
        assert form.post(service, headers={"idempotency-key": "in"}).status_code == 200
        head = b"POST /v1/edits HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=b\r\n"
        with socket.create_connection(("127.0.0.1", service.port), 5) as wire:
            wire.sendall(head + b"Content-Length: 300000000\r\n\r\n")
            assert wire.recv(12) == b"HTTP/1.1 429"


def test_the_queue_shows_who_is_next(idle, form):
    ids = [form.post(idle, seed=str(seed)).json()["id"] for seed in range(3)]
    assert [http.get(f"{idle.url}/v1/edits/{id}").json()["queue_position"] for id in ids] == [0, 1, 2]
    assert http.delete(f"{idle.url}/v1/edits/{ids[0]}").json()["state"] == "cancelled"
    page = EditList.model_validate(http.get(f"{idle.url}/v1/edits?limit=2").json())
    assert [(one.id, one.queue_position) for one in page.edits] == [(ids[2], 1), (ids[1], 0)]
    rest = EditList.model_validate(http.get(idle.url + page.next).json())
    assert [(one.id, one.state) for one in rest.edits] == [(ids[0], State.CANCELLED)]
    assert rest.next is None


def test_delete_cancels_and_then_removes(idle, form):
    address = f"{idle.url}/v1/edits/{form.post(idle).json()['id']}"
    assert http.get(f"{address}/video").json()["error"]["reason"] == "not_found"
    first = http.delete(address)
    assert (first.status_code, first.json()["state"]) == (200, "cancelled")
    assert http.get(f"{address}/source").status_code == 200
    assert http.delete(address).status_code == 204
    assert idle.stored() == []
    assert http.get(address).status_code == 404
    assert http.delete(address).status_code == 404


def test_a_running_edit_is_cancelled(tmp_path, form):
    with Local(tmp_path) as service:
        service.work("stub:steps=1000,pause_s=0.02")
        address = f"{service.url}/v1/edits/{form.post(service).json()['id']}"
        until(lambda: (http.get(address).json()["progress"] or {}).get("step", 0) > 1)
        assert http.delete(address).json()["state"] == "cancelled"
        name, _, data = list(events(f"{address}/events"))[-1]
        assert (name, json.loads(data)["state"]) == ("end", "cancelled")


def test_a_failure_shows_its_reason(service, form):
    address = f"{service.url}/v1/edits/{form.post(service, prompt='stub raise=MediaError').json()['id']}"
    *_, (name, _, data) = events(f"{address}/events")
    view = EditView.model_validate(json.loads(data))
    assert (name, view.state, view.error.reason) == ("end", State.FAILED, "misaligned")


# Ranges


def test_ranges_as_players_ask_for_them(done):
    whole = http.get(f"{done}/video")
    data, size = whole.content, len(whole.content)
    assert (whole.status_code, whole.headers["accept-ranges"], whole.headers["content-type"]) == (200, "bytes", "video/mp4")
    assert data == video(5, 2)
    for text, start, stop in (
        ("bytes=0-", 0, size),
        ("bytes=0-0", 0, 1),
        ("bytes=10-19", 10, 20),
        (f"bytes=5-{10**15}", 5, size),
        ("bytes=-7", size - 7, size),
        (f"bytes=-{10**15}", 0, size),
        ("BYTES = 3 - 4", 3, 5),
    ):
        part = http.get(f"{done}/video", headers={"range": text})
        assert (part.status_code, part.content) == (206, data[start:stop]), text
        assert part.headers["content-range"] == f"bytes {start}-{stop - 1}/{size}"
    head = http.head(f"{done}/video", headers={"range": "bytes=0-0"})
    assert (head.status_code, head.headers["content-length"], head.content) == (200, str(size), b"")


NO_RANGES = ["bytes=9999999-", "bytes=5-4", "bytes=", "bytes=-", "bytes=-0", "bytes=x-y", "bytes=1-2-3", f"bytes={'9' * 400}-"]


@pytest.mark.parametrize("text", NO_RANGES)
def test_ranges_of_nothing_are_416(done, text):
    answer = http.get(f"{done}/video", headers={"range": text})
    assert (answer.status_code, answer.json()["error"]["reason"]) == (416, "bad_request")
    assert answer.headers["content-range"] == f"bytes */{len(video(5, 2))}"


@pytest.mark.parametrize("text", ["", "lines=1-2", "bytes=0-1,3-4", "garbage"])
def test_ranges_that_may_be_ignored_are(done, text):
    answer = http.get(f"{done}/video", headers={"range": text})
    assert (answer.status_code, len(answer.content)) == (200, len(video(5, 2)))


def test_etags_and_names(done):
    whole = http.get(f"{done}/video")
    etag = whole.headers["etag"]
    assert http.get(f"{done}/video", headers={"if-none-match": etag}).status_code == 304
    assert http.get(f"{done}/video", headers={"range": "bytes=0-1", "if-range": etag}).status_code == 206
    assert http.get(f"{done}/video", headers={"range": "bytes=0-1", "if-range": '"older"'}).status_code == 200
    id = done.rpartition("/")[2]
    assert whole.headers["content-disposition"] == f'inline; filename="edit-{id}.mp4"'
    assert http.get(f"{done}/video?download=1").headers["content-disposition"] == f'attachment; filename="edit-{id}.mp4"'
    first = http.head(f"{done}/first_frame")
    assert (first.status_code, first.headers["content-type"]) == (200, "image/png")
    assert http.head(f"{done}/source").headers["content-type"] == "video/mp4"
    assert "sandbox" in first.headers["content-security-policy"]


# Events


def test_events_tell_every_step_and_end(tmp_path, form):
    with Local(tmp_path, poll_s=0.02) as service:
        address = f"{service.url}/v1/edits/{form.post(service).json()['id']}/events"
        seen: list[tuple[str, str, str]] = []
        reader = threading.Thread(target=lambda: seen.extend(events(address)))
        reader.start()
        until(lambda: service.watch.watchers == 1)
        service.work("stub:steps=4,pause_s=0.3")
        reader.join(20)
    views = [EditView.model_validate(json.loads(data)) for _, _, data in seen]
    assert [view.state for view in views][:2] == [State.QUEUED, State.RUNNING]
    assert [name for name, _, _ in seen] == ["progress"] * (len(seen) - 1) + ["end"]
    assert {1, 2, 3, 4} <= {view.progress.step for view in views if view.progress}
    assert views[-1].state is State.SUCCEEDED
    ids = [ident for _, ident, _ in seen]
    assert len(set(ids)) == len(ids)


def test_a_watcher_that_comes_back_is_told_nothing_twice(done, idle, form):
    ((name, ident, _),) = events(f"{done}/events")
    assert name == "end"
    assert http.get(f"{done}/events", headers={"last-event-id": ident}).status_code == 204
    ((again, same, _),) = events(f"{done}/events", {"last-event-id": "garbage \xff".encode("latin-1")})  # type: ignore[dict-item]
    assert (again, same) == ("end", ident)
    address = f"{idle.url}/v1/edits/{form.post(idle).json()['id']}"
    stream = events(f"{address}/events")
    _, known, _ = next(stream)
    stream.close()
    resumed = events(f"{address}/events", {"last-event-id": known})
    threading.Timer(0.3, lambda: http.delete(address)).start()
    assert [name for name, _, _ in resumed] == ["end"]


def test_silence_is_filled_and_a_gone_client_is_noticed(tmp_path, form):
    with Local(tmp_path, keep_alive_s=0.1) as service:
        address = f"{service.url}/v1/edits/{form.post(service).json()['id']}/events"
        stream = events(address)
        assert [next(stream)[0] for _ in range(3)] == ["progress", ":", ":"]
        assert service.watch.watchers == 1
        stream.close()
        until(lambda: service.watch.watchers == 0)


def test_removing_a_watched_edit_ends_the_stream(idle, form):
    address = f"{idle.url}/v1/edits/{form.post(idle).json()['id']}"
    stream = events(f"{address}/events")
    assert next(stream)[0] == "progress"
    idle.table.cancel(address.rpartition("/")[2])
    http.delete(address)
    name, _, data = list(stream)[-1]
    assert name == "end"
    assert json.loads(data).get("state", "removed") in ("cancelled", "removed")


def test_two_hundred_watchers_cost_one_look(idle, form, monkeypatch):
    ids = [form.post(idle, seed=str(seed)).json()["id"] for seed in range(4)]
    looks: list[int] = []
    real = idle.table.many
    monkeypatch.setattr(idle.table, "many", lambda ids: looks.append(len(list(ids))) or real(ids))
    monkeypatch.setattr(idle.table, "get", lambda id: real([id]).get(id))
    streams = [events(f"{idle.url}/v1/edits/{ids[one % 4]}/events") for one in range(200)]
    for stream in streams:
        assert next(stream)[0] == "progress"
    looks.clear()
    began = time.monotonic()
    time.sleep(1.0)
    assert 1 <= len(looks) <= (time.monotonic() - began) / idle.settings.poll_s + 1
    assert set(looks) == {4}
    for id in ids:
        http.delete(f"{idle.url}/v1/edits/{id}")
    assert {list(stream)[-1][0] for stream in streams} == {"end"}
    until(lambda: idle.watch.watchers == 0)


# Who may come in


def test_keys_have_owners_limits_and_adapters(tmp_path, form):
    write_adapter(tmp_path / "data" / "adapters", "hair")
    write_adapter(tmp_path / "data" / "adapters", "beard")
    limits = {"anna": {"max_queued": 2, "adapters": ("none", "hair")}, "bert": {"per_minute": 1}}
    ring, who = ring_of(tmp_path, **limits)
    with Local(tmp_path, ring) as service:
        mine = form.post(service, headers=who["anna"])
        address = f"{service.url}/v1/edits/{mine.json()['id']}"
        assert mine.json()["request"]["consent"]["by"] == "anna"
        assert http.get(address, headers=who["anna"]).status_code == 200
        for path in ("", "/events", "/video", "/source", "/first_frame"):
            assert http.get(address + path, headers=who["bert"]).status_code == 404
        assert http.delete(address, headers=who["bert"]).status_code == 404
        assert http.get(f"{service.url}/v1/edits", headers=who["bert"]).json()["edits"] == []
        names = [one["name"] for one in http.get(f"{service.url}/v1/adapters", headers=who["anna"]).json()["adapters"]]
        assert names == ["none", "hair"]
        refused = form.post(service, headers=who["anna"], adapter="beard")
        assert (refused.status_code, refused.json()["error"]["reason"]) == (422, "unknown_adapter")
        assert form.post(service, headers=who["anna"]).status_code == 202
        full = form.post(service, headers=who["anna"])
        assert (full.status_code, full.json()["error"]["reason"]) == (429, "key_limit")
        assert int(full.headers["retry-after"]) >= 1
        assert [form.post(service, headers=who["bert"]).status_code for _ in range(2)] == [202, 429]
        for header in ({}, {"authorization": "Bearer wrong"}, {"authorization": "Basic eDp5"}):
            for path in ("/v1/edits", "/v1/adapters", "/metrics", "/v1/edits/x"):
                answer = http.get(service.url + path, headers=header)
                assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
            assert form.post(service, headers=header).status_code == 401
        assert {http.get(service.url + path).status_code for path in ("/healthz", "/readyz", "/docs", "/openapi.json")} == {200}


@pytest.mark.parametrize(
    "headers",
    [
        {"x-forwarded-for": "203.0.113.9"},
        {"forwarded": "for=203.0.113.9"},
        {"host": "evil.example"},
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
    ],
)
def test_without_keys_only_this_machine_itself_is_answered(idle, headers):
    for path in ("/v1/edits", "/v1/adapters", "/metrics", "/", "/docs"):
        answer = http.get(idle.url + path, headers=headers)
        assert (answer.status_code, answer.json()["error"]["reason"]) == (401, "unauthorized"), path
        assert "keys" in answer.json()["error"]["detail"]
    for good in ({"host": "localhost:9"}, {"host": "[::1]:8000"}, {"origin": idle.url}, {"sec-fetch-site": "same-origin"}):
        assert http.get(f"{idle.url}/v1/edits", headers=good).status_code == 200


@pytest.mark.parametrize(
    ("host", "status"),
    [("192.0.2.7", 401), ("::ffff:192.0.2.7", 401), ("127.9.9.9", 200), ("::1", 200), ("::ffff:127.0.0.1", 200)],
)
def test_another_machine_is_not_answered_without_keys(idle, host, status):
    async def main() -> httpx.Response:
        transport = httpx.ASGITransport(idle.app, client=(host, 4711))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.get("/v1/edits")

    answer = anyio.run(main)
    assert answer.status_code == status
    assert status == 200 or answer.json()["error"]["reason"] == "unauthorized"


# What is shown


def test_every_answer_has_the_headers_of_a_careful_service(service, done):
    for address in (
        f"{service.url}/",
        f"{service.url}/docs",
        f"{service.url}/nope",
        done,
        f"{done}/video",
        f"{service.url}/healthz",
    ):
        headers = http.get(address).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["x-frame-options"] == "DENY"
        assert "default-src 'none'" in headers["content-security-policy"]


class Addresses(HTMLParser):
    """What a page would fetch or run."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.ids: set[str] = set()
        self.links: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        assert tag not in ("script", "iframe", "object", "embed")
        assert not [name for name in values if name.startswith("on")]
        self.found += [str(values[name]) for name in ("src", "srcset", "data", "action") if name in values]
        if tag == "link":
            self.found.append(str(values.get("href")))
        if "id" in values:
            self.ids.add(str(values["id"]))
        if tag == "a":
            self.links.add(str(values["href"]))


def test_docs_work_offline_and_say_everything(service):
    answer = http.get(f"{service.url}/docs")
    page = Addresses()
    page.feed(answer.text)
    assert page.found == []
    assert "'unsafe-inline'" not in answer.headers["content-security-policy"]
    assert {link.removeprefix("#") for link in page.links if link.startswith("#")} <= page.ids
    for word in (
        "Idempotency-Key",
        "key_frame_",
        "first_frame",
        "text/event-stream",
        "guidance_source",
        "consent",
        "Retry-After",
    ):
        assert word in answer.text
    schema = http.get(f"{service.url}/openapi.json").json()
    assert set(schema["paths"]) == {
        "/v1/edits",
        "/v1/edits/{id}",
        "/v1/edits/{id}/events",
        "/v1/edits/{id}/video",
        "/v1/edits/{id}/source",
        "/v1/edits/{id}/first_frame",
        "/v1/adapters",
        "/healthz",
        "/readyz",
        "/metrics",
    }
    body = schema["paths"]["/v1/edits"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    from serve.intake import FIELDS

    assert set(body["properties"]) == {"source", "first_frame", *FIELDS}
    for path, ways in schema["paths"].items():
        for way in ways.values():
            for status, answer in way["responses"].items():
                assert int(status) < 400 or path == "/readyz" or "Failure" in str(answer)
            assert ("security" in way) == (path.startswith("/v1") or path == "/metrics")
    names = [way["operationId"] for ways in schema["paths"].values() for way in ways.values()]
    assert len(set(names)) == len(names)


def test_the_page_is_served_with_types_and_etags(service):
    front = http.get(f"{service.url}/")
    assert front.headers["content-type"] == "text/html; charset=utf-8"
    assert http.get(f"{service.url}/", headers={"if-none-match": front.headers["etag"]}).status_code == 304
    name = re.search(r'src="(page/[a-z]+\.js)"', front.text)
    assert name is not None
    script = http.get(f"{service.url}/{name[1]}")
    assert (script.status_code, script.headers["content-type"]) == (200, "text/javascript; charset=utf-8")
    for path in ("../api.py", "..%2fapi.py", "%2e%2e/keys.py", "nothing.js", "", "page.js%00"):
        assert http.get(f"{service.url}/page/{path}").status_code == 404


def test_ready_says_what_is_not(idle, monkeypatch):
    assert http.get(f"{idle.url}/readyz").json() == {"status": "ok", "table": "ok", "files": "ok"}

    def away() -> None:
        raise ConnectionError

    monkeypatch.setattr(idle.table, "counts", away)
    answer = http.get(f"{idle.url}/readyz")
    assert (answer.status_code, answer.json()["table"], answer.json()["files"]) == (503, "failed: ConnectionError", "ok")
    assert http.get(f"{idle.url}/healthz").status_code == 200


def test_a_surprise_is_500_without_its_secrets(idle, monkeypatch):
    def surprise(*_: object, **__: object) -> None:
        raise RuntimeError("password=hunter2")

    monkeypatch.setattr(idle.table, "list", surprise)
    answer = http.get(f"{idle.url}/v1/edits")
    assert answer.status_code == 500
    assert answer.json() == {"error": {"reason": "crashed", "detail": "the service failed at this; its log says why"}}
    assert http.get(f"{idle.url}/healthz").status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("PUT", "/v1/edits", 405),
        ("GET", "/v2/edits", 404),
        ("GET", "/v1/edits?limit=0", 400),
        ("GET", "/v1/edits/x", 404),
        ("GET", "/v1/edits/%2e%2e%2f%2e%2e/video", 404),
        ("DELETE", "/v1/edits/" + "9" * 26, 404),
    ],
)
def test_an_unknown_method_and_address_are_typed(service, method, path, status):
    answer = http.request(method, service.url + path)
    assert answer.status_code == status
    Failure.model_validate(answer.json())


# What fails below


def test_a_table_that_is_away_is_503(idle, form, monkeypatch):
    def away(*_: object, **__: object) -> None:
        raise TableError("job table postgresql://db: connection refused; is the database running?")

    monkeypatch.setattr(idle.table, "list", away)
    answer = http.get(f"{idle.url}/v1/edits")
    assert answer.status_code == 503
    assert "retry-after" in answer.headers
    assert "postgresql" not in answer.text


def test_a_full_disk_is_507_and_nothing_stays(idle, form, monkeypatch):
    real = idle.files.put

    def full(local: Path, job: str, name: str, *, move: bool = False) -> None:
        if name == "first_frame":  # the second one
            raise OSError(errno.ENOSPC, "No space left on device")
        real(local, job, name, move=move)

    monkeypatch.setattr(idle.files, "put", full)
    answer = form.post(idle)
    assert (answer.status_code, answer.json()["error"]["reason"]) == (507, "no_space")
    assert int(answer.headers["retry-after"]) > 0
    assert (idle.stored(), idle.leftovers(), idle.table.counts().queued) == ([], [], 0)


def test_what_the_table_refuses_in_the_end_is_removed_again(tmp_path, form, monkeypatch):
    with Local(tmp_path, max_queued=1) as service:
        first = form.post(service).json()["id"]
        monkeypatch.setattr(service.table, "check", lambda *_, **__: None)  # as if the queue had filled up during the upload
        answer = form.post(service)
        assert (answer.status_code, answer.json()["error"]["reason"]) == (429, "queue_full")
        assert {name.split("/")[1] for name in service.stored()} == {first}


def test_a_file_that_is_gone_is_404(idle, form):
    address = f"{idle.url}/v1/edits/{form.post(idle).json()['id']}"
    idle.files.delete(address.rpartition("/")[2], "source")
    assert http.get(f"{address}/source").status_code == 404


def test_an_accepted_edit_is_202_though_nobody_was_woken(tmp_path, form):
    def asleep() -> None:
        raise ConnectionError("no dispatcher")

    with Local(tmp_path, wake=asleep) as service:
        assert form.post(service).status_code == 202
        assert service.table.counts().queued == 1


WORDS = "caf\xe9 \U0001f469\u200d\U0001f9b0"


def test_the_same_over_postgresql(postgres, tmp_path, form):
    with Local(tmp_path, database=postgres.database()) as service:
        answer = form.post(
            service, headers={"idempotency-key": "a ~"}, prompt="caf\xe9 \U0001f469\u200d\U0001f9b0", min_sync="0.5", attempts="2"
        )
        address = f"{service.url}{answer.headers['location']}"
        service.work()
        assert list(events(f"{address}/events"))[-1][0] == "end"
        view = EditView.model_validate(http.get(address).json())
        assert (view.state, view.request.prompt) == (State.SUCCEEDED, WORDS)
        assert [one["id"] for one in http.get(f"{service.url}/v1/edits").json()["edits"]] == [view.id]
        assert 'state="succeeded"} 1.0' in http.get(f"{service.url}/metrics").text
        assert http.delete(address).status_code == 204


def test_a_list_leaves_the_tracks_out():
    parts = [{"part": "mouth", "source": [0.0] * 1000}]
    shown = {"id": "x", "result": {"seed": 1, "report": {"score": 0.9, "parts": parts}}}
    assert brief(shown)["result"] == {"seed": 1, "report": {"score": 0.9, "parts": []}}
    assert shown["result"]["report"]["parts"] == parts
    assert brief({"id": "x", "result": None})["result"] is None
