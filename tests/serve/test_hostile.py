"""Bodies, media and headers of somebody who means ill. Each is answered with a typed 4xx; the service lives on; nothing is left.

All tests share one service. After each, a good request is taken, and every file below the service's folder is one that it should have made.
"""

import json
import os
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from serve.schema import Failure
from tests.media.conftest import encode, tone
from tests.media.test_images import bomb
from tests.serve.local import Form, Local, events, http, until

pytestmark = pytest.mark.timeout(60)


@pytest.fixture(scope="module")
def form(tmp_path_factory: pytest.TempPathFactory) -> Form:
    return Form(tmp_path_factory.mktemp("form"))


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Local]:
    limits = {
        "media": {"max_bytes": 2_000_000, "max_seconds": 20.0},
        "max_picture_bytes": 1_000_000,
        "upload_idle_s": 0.5,
        "upload_s": 20.0,
    }
    with Local(tmp_path_factory.mktemp("service"), **limits) as one:
        yield one


@pytest.fixture
def service(shared: Local, form: Form) -> Iterator[Local]:
    """The service; afterwards it lives, and has nothing that it should not have."""
    before = shared.stored()
    yield shared
    until(lambda: not shared.leftovers())
    assert shared.stored() == before
    answer = form.post(shared)
    assert answer.status_code == 202, answer.text
    job = answer.json()["id"]
    assert sorted(set(shared.stored()) - set(before)) == [f"jobs/{job}", f"jobs/{job}/first_frame", f"jobs/{job}/source"]
    assert shared.watch.watchers == 0
    shared.table.cancel(job)
    assert http.delete(f"{shared.url}/v1/edits/{job}").status_code == 204


def refused(answer: httpx.Response, *statuses: int) -> Failure:
    assert answer.status_code in statuses, answer.text
    said = Failure.model_validate(answer.json())
    assert "\n" not in said.error.detail
    assert len(said.error.detail) < 1000
    return said


def with_source(service: Local, form: Form, data: bytes, name: str = "clip.mp4", kind: str = "video/mp4") -> httpx.Response:
    return form.post(service, files={"source": (name, data, kind)})


# Media


NO_VIDEOS = [
    b"just words\n" * 100,
    os.urandom(5000),
    b"\x89PNG\r\n\x1a\n" + bytes(100),
    b"#EXTM3U\nfile:///etc/passwd\n",
    b"ffconcat version 1.0\nfile /etc/passwd\n",
]


@pytest.mark.parametrize("kind", ["video/mp4", "text/html", "application/x-sh"])
def test_a_source_that_is_no_video(service, form, kind):
    for data in NO_VIDEOS:
        assert refused(with_source(service, form, data, kind=kind), 415).error.reason == "unknown_container"


def test_broken_videos(service, form, tmp_path):
    whole = encode(tmp_path / "a.mp4", frames=30).read_bytes()
    endless = bytearray(whole)
    place = endless.index(b"stsz") + 8
    endless[place : place + 8] = struct.pack(">II", 100, 10**9)
    cases = {
        whole[:-300]: {"broken_media", "too_short"},
        whole[:200]: {"broken_media", "unreadable", "no_video_stream"},
        bytes(endless): {"too_long"},
        tone(tmp_path / "sound.mp4").read_bytes(): {"no_video_stream"},
        encode(tmp_path / "small.mp4", size=(32, 32)).read_bytes(): {"picture_size"},
        encode(tmp_path / "short.mp4", frames=3).read_bytes(): {"too_short"},
        encode(tmp_path / "slow.mp4", fps=2).read_bytes(): {"frame_rate"},
        b"\0\0\0\x18ftypmp42" + os.urandom(4000): {"broken_media", "unreadable", "no_video_stream"},
    }
    for data, reasons in cases.items():
        said = refused(with_source(service, form, data), 415, 422)
        assert said.error.reason in reasons, said
        assert said.error.detail.startswith("source: ")


def test_a_picture_bomb_in_a_video(service, form, tmp_path):
    avi = encode(tmp_path / "a.avi", codec="rawvideo", pix_fmt="bgr24")
    data = bytearray(avi.read_bytes())
    place = data.index(b"strf") + 12
    data[place : place + 8] = struct.pack("<ii", 16384, 16384)
    assert refused(with_source(service, form, bytes(data)), 422).error.reason == "picture_size"


def test_broken_pictures(service, form):
    cases = {
        bomb(9000): "picture_size",
        bomb(60000): "picture_size",
        form.first.read_bytes()[:60]: "broken_media",
        b"GIF89a" + bytes(100): "unknown_container",
        b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>": "unknown_container",
        form.source.read_bytes(): "unknown_container",
    }
    for data, reason in cases.items():
        for name in ("first_frame", "key_frame_3"):
            said = refused(form.post(service, files={name: ("a.png", data, "image/png")}), 415, 422)
            assert (said.error.reason, said.error.detail.split(":")[0]) == (reason, name)


def test_a_decoder_that_is_killed_costs_one_upload(service, form):
    probe = service.app.state.desk.intake._probe
    assert form.post(service, seed="x").status_code == 400
    form_ok = form.post(service)
    assert form_ok.status_code == 202
    http.delete(f"{service.url}{form_ok.headers['location']}")
    http.delete(f"{service.url}{form_ok.headers['location']}")
    for decoder in probe._idle:
        decoder._child._process.kill()
        decoder._child._process.wait()


# Bodies


def test_too_many_bytes(service, form):
    said = refused(form.post(service, files={"source": ("a", bytes(2_000_001))}), 413)
    assert (said.error.reason, "2000000" in said.error.detail) == ("too_large", True)
    refused(form.post(service, files={"first_frame": ("a", bytes(1_000_001))}), 413)
    refused(form.post(service, prompt="x" * 8193), 413)


def test_ten_thousand_parts(service):
    files = [(f"key_frame_{k}", ("a", b"x")) for k in range(1, 10_001)]
    refused(http.post(f"{service.url}/v1/edits", files=files), 400, 413)
    refused(http.post(f"{service.url}/v1/edits", files=[("source", ("a", b"x"))] * 10_000), 400, 413)


def raw(
    service: Local, body: bytes, kind: str = "multipart/form-data; boundary=b", headers: str = "", length: int | None = None
) -> bytes:
    """One request byte by byte as it is; all that is answered."""
    head = f"POST /v1/edits HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\nContent-Length: {len(body) if length is None else length}\r\n"
    with socket.create_connection(("127.0.0.1", service.port), 10) as wire:
        wire.sendall(head.encode() + headers.encode("latin-1") + b"Connection: close\r\n\r\n" + body)
        answer = b""
        try:
            while data := wire.recv(65536):
                answer += data
        except ConnectionResetError:
            pass
    return answer


def status(answer: bytes) -> int:
    if answer.startswith(b"HTTP/1.1"):
        _, _, body = answer.partition(b"\r\n\r\n")
        if b"application/json" in answer:
            Failure.model_validate(json.loads(body))
        return int(answer.split()[1])
    return 0


def part(head: bytes, body: bytes = b"x") -> bytes:
    return b"--b\r\n" + head + b"\r\n\r\n" + body + b"\r\n--b--\r\n"


@pytest.mark.parametrize(
    "head",
    [
        b'Content-Disposition: form-data; name="../../x"; filename="x"',
        b'Content-Disposition: form-data; name="/etc/cron.d/x"; filename="x"',
        b'Content-Disposition: form-data; name="source\0"; filename="x"',
        b'Content-Disposition: form-data; name="\xff\xfe"; filename="x"',
        b'Content-Disposition: form-data; name="key_frame_\xd9\xa3"; filename="x"',
        b'Content-Disposition: form-data; name=""',
        b'Content-Disposition: form-data; name="source"',
        b"Content-Disposition: form-data; name*=utf-8''source; filename=x",
        b'Content-Disposition: attachment; name="source"; filename="x"',
        b"Content-Type: text/plain",
        b"X: " + b"y" * 100_000,
        b"\r\n".join(b"X-%d: y" % k for k in range(1000)),
        b": y",
        b"no colon",
    ],
)
def test_heads_of_parts(service, head):
    assert status(raw(service, part(head))) == 400


@pytest.mark.parametrize(
    "name", ["../../../tmp/x", "/etc/passwd", "a\0b.mp4", "\u202e4pm.exe", "x" * 5000, "aux.mp4", "..", "a\r\nX-Evil: 1"]
)
def test_a_files_own_name_goes_nowhere(service, form, name):
    before = service.stored()
    files = {**form.files(), "source": (name, form.source.read_bytes())}
    answer = http.post(f"{service.url}/v1/edits", data={"consent": "true"}, files=files)
    if answer.status_code == 202:
        id = answer.json()["id"]
        made = set(service.stored()) - set(before)
        assert made == {f"jobs/{id}", f"jobs/{id}/source", f"jobs/{id}/first_frame"}
        assert name not in http.get(f"{service.url}/v1/edits/{id}").text
        assert http.delete(f"{service.url}/v1/edits/{id}").status_code == 200
        assert http.delete(f"{service.url}/v1/edits/{id}").status_code == 204
    else:
        refused(answer, 400)


def test_bodies_that_are_none(service):
    for body, kind, expected in (
        (b"", "multipart/form-data; boundary=b", {400}),
        (b"--b--\r\n", "multipart/form-data; boundary=b", {400}),
        (b'{"source": "http://169.254.169.254/"}', "application/json", {415}),
        (b"source=http%3A%2F%2Fx&consent=true", "application/x-www-form-urlencoded", {415}),
        (b"\x80\x04\x95cos\nsystem\n", "application/octet-stream", {415}),
        (b"--b\r\n", "multipart/form-data", {400}),
        (b"--b\r\n", "multipart/form-data; boundary=", {400}),
        (b"--b\r\n", f"multipart/form-data; boundary={'b' * 300}", {400}),
        (b"--b\r\n", "multipart/mixed; boundary=b", {415}),
        (b"\r\n" * 1000 + b"--x\r\n", "multipart/form-data; boundary=b", {400}),
        (os.urandom(100_000), "multipart/form-data; boundary=b", {400}),
        (b"", "multipart/form-data; boundary=\xff", {400}),
    ):
        assert status(raw(service, body, kind)) in expected, (body[:40], kind)


def test_a_body_cut_off_and_a_client_gone(service, form):
    good = httpx.Request("POST", service.url, data={"consent": "true"}, files=form.files())
    body, kind = good.read(), good.headers["content-type"]
    for keep in (len(body) - 1, len(body) - 40, len(body) // 2, 100):
        cut = body[:keep]
        if keep < len(body) - 5:
            assert status(raw(service, cut, kind)) == 400  # the length is honest, the body is not whole
        with socket.create_connection(("127.0.0.1", service.port), 10) as wire:
            head = f"POST /v1/edits HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
            wire.sendall(head.encode() + cut)
            until(lambda: bool(service.leftovers()))
        until(lambda: not service.leftovers())


def test_a_slow_body_is_told_so(service):
    began = time.monotonic()
    answer = raw(service, b"--b\r\nContent-Disposition: form-data; na", length=1000)
    assert status(answer) == 408
    assert 0.4 < time.monotonic() - began < 5


def test_chunked_bodies_have_the_same_limits(service):
    def endless() -> Iterator[bytes]:
        yield b'--b\r\nContent-Disposition: form-data; name="source"; filename="a"\r\n\r\n'
        for _ in range(400):
            yield bytes(65536)

    try:
        answer = http.post(
            f"{service.url}/v1/edits", content=endless(), headers={"content-type": "multipart/form-data; boundary=b"}
        )
    except httpx.WriteError:
        return  # refused while it was still sending
    refused(answer, 413)


def test_heads_of_requests(service):
    assert status(raw(service, b"", headers="X: " + "y" * 200_000 + "\r\n")) in (0, 400, 431)
    assert status(raw(service, b"", headers="Idempotency-Key: a\tb\r\n")) == 400
    assert status(raw(service, b"", headers="Idempotency-Key: caf\xe9\r\n")) == 400
    with socket.create_connection(("127.0.0.1", service.port), 10) as wire:
        wire.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + os.urandom(300) + b"\r\n\r\n")
        assert wire.recv(100).startswith(b"HTTP/1.1 400") or True


def test_addresses(service):
    for path in (
        "/v1/edits/../../etc/passwd",
        "/v1/edits/%00",
        "/v1/edits/..%2f..%2fkeys.yaml/video",
        "/v1/edits/" + "a" * 5000,
        "/v1/edits/' OR 1=1 --",
        "/v1/edits/%ff%fe/events",
        "/v1/edits?before=%00",
        "/v1/edits?before=" + "x" * 4000,
        "/v1/edits?limit=1e9",
        "/v1/edits?limit=-1",
        "/page/..%2f..%2fapi.py",
        "/page//etc/passwd",
        "/jobs.sqlite",
    ):
        answer = http.get(service.url + path)
        assert answer.status_code in (200, 400, 404), path
        if answer.status_code != 200:
            Failure.model_validate(answer.json())
        else:
            assert answer.json()["edits"] is not None


def test_event_streams_of_garbage(service, form):
    id = form.post(service).json()["id"]
    for ident in ("x" * 5000, "'; DROP TABLE jobs; --", "null"):
        stream = events(f"{service.url}/v1/edits/{id}/events", {"last-event-id": ident})
        assert next(stream)[0] == "progress"
        stream.close()
    for wrong in ("0" * 26, "garbage", "%0d%0aX-Evil:1", "l" * 26):
        refused(http.get(f"{service.url}/v1/edits/{wrong}/events"), 404)
    until(lambda: service.watch.watchers == 0)
    http.delete(f"{service.url}/v1/edits/{id}")
    http.delete(f"{service.url}/v1/edits/{id}")


def test_fifty_bad_ones_at_once(service, form, tmp_path):
    broken = encode(tmp_path / "a.mp4", frames=30).read_bytes()[:-300]
    answers: list[int] = []

    def send(number: int) -> None:
        match number % 3:
            case 0:
                answers.append(with_source(service, form, broken).status_code)
            case 1:
                answers.append(form.post(service, seed="x").status_code)
            case _:
                answers.append(form.post(service, files={"first_frame": ("a", bomb(9000))}).status_code)

    threads = [threading.Thread(target=send, args=(number,)) for number in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 50
    assert set(answers) <= {400, 422}


def test_no_more_children_than_allowed(service, form):
    """After all this: two decoders at most, and none of them holds an upload open."""
    probe = service.app.state.desk.intake._probe
    assert len(probe._idle) <= service.settings.probes
    listed = subprocess.run(["ps", "-eo", "ppid,args"], capture_output=True, text=True, check=False).stdout
    children = [line for line in listed.splitlines() if line.split()[0] == str(os.getpid()) and "synclora.media.child" in line]
    assert len(children) <= service.settings.probes


def test_nothing_outside_the_services_folder_was_written(shared, tmp_path_factory):
    """The store, the incoming folder, the table: and nothing else."""
    found = {path.name for path in Path(shared.settings.data).iterdir()}
    assert found <= {"files", "incoming", "jobs.sqlite", "jobs.sqlite-wal", "jobs.sqlite-shm", "adapters"}
