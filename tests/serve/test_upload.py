"""Bodies as they arrive: whole or refused at the byte that breaks a rule, on disk and not in memory."""

import asyncio
import contextlib
import errno
import hashlib
import resource
import tracemalloc
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import anyio
import pytest

from serve.form import Upload, UploadLimits
from serve.incoming import LOCK, Incoming, sweep
from serve.problems import Refusal
from serve.upload import PIECE, boundary_of, receive, scratch
from synclora.errors import MediaError, Reason

LIMITS = UploadLimits(video=1000, picture=500, fields=frozenset({"seed", "prompt"}), pictures=3, field_bytes=40)
HEADERS = {"content-type": "multipart/form-data; boundary=edge"}


def part(name: str | bytes, body: bytes, *, file: str | None = None, more: bytes = b"") -> bytes:
    name = name if isinstance(name, bytes) else name.encode()
    filename = b"" if file is None else b'; filename="' + file.encode() + b'"'
    return (
        b'--edge\r\nContent-Disposition: form-data; name="' + name + b'"' + filename + b"\r\n" + more + b"\r\n" + body + b"\r\n"
    )


END = b"--edge--\r\n"
GOOD = (
    part("seed", b"7") + part("source", b"v" * 900, file="a.mp4") + part("first_frame", b"\r\n--edg\r\n--e", file="b.png") + END
)


def take(
    body: bytes, folder: Path, step: int = 64, limits: UploadLimits = LIMITS, check: Callable[[str, str], None] = lambda *_: None
) -> Upload:
    async def chunks() -> AsyncIterator[bytes]:
        for begin in range(0, len(body), step):
            yield body[begin : begin + step]

    async def main() -> Upload:
        return await receive(chunks(), HEADERS, folder, limits, check)

    folder.mkdir(exist_ok=True)
    return anyio.run(main)


@pytest.mark.parametrize("step", [1, 7, 64, 5000])
def test_a_body_in_pieces_of_any_size_is_the_same_upload(tmp_path, step):
    upload = take(GOOD, tmp_path / "in", step)
    assert upload.fields == {"seed": "7"}
    assert upload.files["source"].path.read_bytes() == b"v" * 900
    assert upload.files["first_frame"].path.read_bytes() == b"\r\n--edg\r\n--e"
    for one in upload.files.values():
        assert one.sha256 == hashlib.sha256(one.path.read_bytes()).hexdigest()
        assert one.bytes == one.path.stat().st_size
    assert sorted(path.name for path in (tmp_path / "in").iterdir()) == ["first_frame", "source"]


def test_the_digest_is_of_what_was_said_and_not_of_how(tmp_path):
    first = take(GOOD, tmp_path / "a")
    turned = (
        part("source", b"v" * 900, file="../../other")
        + part("first_frame", b"\r\n--edg\r\n--e", file="")
        + part("seed", b"7")
        + END
    )
    assert take(turned, tmp_path / "b").digest == first.digest
    assert take(GOOD.replace(b"\r\n7\r\n", b"\r\n8\r\n"), tmp_path / "c").digest != first.digest
    assert take(GOOD.replace(b"vvv", b"vvw", 1), tmp_path / "d").digest != first.digest


BAD = {
    "too many bytes of a video": (part("source", b"v" * 1001, file="a"), Reason.TOO_LARGE, "source has more than 1000"),
    "too many bytes of a picture": (part("first_frame", b"v" * 501, file="a"), Reason.TOO_LARGE, "first_frame has more than 500"),
    "a long field": (part("prompt", b"p" * 41), Reason.TOO_LARGE, "prompt has more than 40"),
    "an unknown field": (part("colour", b"red"), Reason.BAD_REQUEST, "no such field: 'colour'"),
    "a name that is a path": (part("../../x", b"v", file="x"), Reason.BAD_REQUEST, "no such field"),
    "a name with a nul": (part(b"so\0urce", b"v", file="x"), Reason.BAD_REQUEST, ""),
    "a name that is no UTF-8": (part(b"s\xff", b"v"), Reason.BAD_REQUEST, "no such field"),
    "a long name": (part("a" * 65, b"v"), Reason.BAD_REQUEST, "no such field"),
    "twice": (part("seed", b"1") + part("seed", b"2"), Reason.BAD_REQUEST, "seed was sent twice"),
    "a file twice": (part("source", b"1", file="a") * 2, Reason.BAD_REQUEST, "source was sent twice"),
    "an address instead of a file": (part("source", b"http://169.254.169.254/"), Reason.BAD_REQUEST, "not fetched"),
    "a file instead of a text": (part("seed", b"1", file="seed.txt"), Reason.BAD_REQUEST, "seed must be a text"),
    "an empty file": (part("source", b"", file="a"), Reason.EMPTY_FILE, "source has 0 bytes"),
    "a text that is no UTF-8": (part("prompt", b"caf\xe9"), Reason.BAD_REQUEST, "byte 3 is 0xe9"),
    "a nul in a text": (part("prompt", b"a\0b"), Reason.BAD_REQUEST, "control character"),
    "no name": (b"--edge\r\nContent-Disposition: form-data\r\n\r\nx\r\n", Reason.BAD_REQUEST, "name="),
    "no head": (b"--edge\r\n\r\nx\r\n", Reason.BAD_REQUEST, "Content-Disposition"),
    "an encoded part": (part("seed", b"MQ==", more=b"Content-Transfer-Encoding: base64\r\n"), Reason.BAD_REQUEST, "Encoding"),
    "a huge header": (part("seed", b"1", more=b"X: " + b"x" * 2000 + b"\r\n"), Reason.BAD_REQUEST, "header"),
    "many headers": (part("seed", b"1", more=b"X: y\r\n" * 9), Reason.BAD_REQUEST, "header"),
    "10000 parts": (b"".join(part(f"key_frame_{k}", b"x", file="a") for k in range(1, 10_001)), Reason.BAD_REQUEST, "more than"),
    "one picture more": (
        b"".join(part(f"key_frame_{k}", b"x", file="a") for k in range(1, 5)),
        Reason.BAD_REQUEST,
        "more than 3",
    ),
    "key frame 0": (part("key_frame_0", b"x", file="a"), Reason.BAD_REQUEST, "no such field"),
    "cut off": (GOOD[: -len(END) - 400], Reason.BAD_REQUEST, "ends before its last boundary"),
    "another boundary": (GOOD.replace(b"edge", b"egde"), Reason.BAD_REQUEST, "multipart"),
    "json": (b'{"source": "http://x"}', Reason.BAD_REQUEST, "multipart"),
    "nothing": (b"", Reason.BAD_REQUEST, "ends before"),
    "line breaks without end": (b"\r\n" * 500_000, Reason.TOO_LARGE, "body has more than"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_breaks_a_rule_is_refused_with_its_word(tmp_path, name):
    body, reason, words = BAD[name]
    with pytest.raises(MediaError) as caught:
        take(body + END if name not in ("cut off", "json", "nothing") else body, tmp_path / "in", 4096)
    assert caught.value.reason is reason
    assert words in caught.value.detail
    assert "\n" not in caught.value.detail
    assert [path.name for path in tmp_path.iterdir()] == ["in"]
    assert {path.name for path in (tmp_path / "in").iterdir()} <= {
        "source",
        "first_frame",
        *(f"key_frame_{k}" for k in range(1, 30)),
    }


@pytest.mark.parametrize(
    ("headers", "reason", "status"),
    [
        ({}, Reason.BAD_REQUEST, 415),
        ({"content-type": "application/json"}, Reason.BAD_REQUEST, 415),
        ({"content-type": "multipart/form-data"}, Reason.BAD_REQUEST, None),
        ({"content-type": f"multipart/form-data; boundary={'x' * 71}"}, Reason.BAD_REQUEST, None),
        ({**HEADERS, "content-length": str(10**9)}, Reason.TOO_LARGE, None),
        ({**HEADERS, "content-length": "9" * 300}, Reason.TOO_LARGE, None),
    ],
)
def test_a_bad_head_is_refused_before_any_byte_of_the_body(headers, reason, status):
    with pytest.raises(Refusal) as caught:
        boundary_of(headers, LIMITS)
    assert (caught.value.reason, caught.value.status) == (reason, status)


def test_a_bad_field_is_refused_before_the_files_behind_it(tmp_path):
    def check(name: str, value: str) -> None:
        raise MediaError(Reason.BAD_REQUEST, f"{name} = {value}")

    with pytest.raises(MediaError, match="seed = 7"):
        take(GOOD, tmp_path / "in", check=check)
    assert not list((tmp_path / "in").iterdir())


@pytest.mark.parametrize(("seconds", "idle", "words"), [(30.0, 0.1, "was silent for 0.1 s"), (0.2, 30.0, "took more than 0.2 s")])
def test_a_slow_body_is_ended(tmp_path, seconds, idle, words):
    async def chunks() -> AsyncIterator[bytes]:
        for byte in range(len(GOOD)):
            yield GOOD[byte : byte + 1]
            await anyio.sleep(0.05 if idle > 1 else 60)

    async def main() -> None:
        limits = UploadLimits(video=1000, picture=500, fields=frozenset({"seed"}), seconds=seconds, idle_seconds=idle)
        await receive(chunks(), HEADERS, tmp_path, limits, lambda *_: None)

    with pytest.raises(Refusal, match=words) as caught:
        anyio.run(main)
    assert (caught.value.reason, caught.value.status) == (Reason.TIMED_OUT, 408)


def test_a_large_file_is_not_held_in_memory(tmp_path):
    size = 96 * PIECE
    limits = UploadLimits(video=size, picture=1, fields=frozenset())

    async def chunks() -> AsyncIterator[bytes]:
        yield part("source", b"", file="a")[:-2]
        for _ in range(size // 65536):
            yield bytes(65536)
        yield b"\r\n" + END

    async def main() -> Upload:
        return await receive(chunks(), HEADERS, tmp_path, limits, lambda *_: None)

    tracemalloc.start()
    upload = anyio.run(main)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert upload.files["source"].bytes == size
    assert peak < 8 * PIECE


def test_a_full_disk_is_its_own_reason(tmp_path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))  # the kernel refuses byte 101 of any file
    try:
        with pytest.raises(MediaError) as caught:
            take(GOOD, tmp_path / "in")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert caught.value.reason is Reason.NO_SPACE


def test_other_trouble_of_the_disk_is_not_called_full(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "source").write_bytes(b"")  # the part's name is taken: cannot happen, and must not be hidden
    with pytest.raises(FileExistsError) as caught:
        take(GOOD, tmp_path / "in")
    assert caught.value.errno == errno.EEXIST


def test_scratch_is_gone_whatever_happens(tmp_path):
    async def fails() -> None:
        async with scratch(tmp_path) as folder:
            (folder / "source").write_bytes(b"x")
            raise ValueError("on the way")

    async def is_cancelled() -> None:
        with anyio.move_on_after(0.05):
            async with scratch(tmp_path) as folder:
                (folder / "source").write_bytes(b"x")
                await anyio.sleep(60)

    async def is_cancelled_twice() -> None:
        async def uploads() -> None:
            async with scratch(tmp_path) as folder:
                (folder / "source").write_bytes(b"x")
                await asyncio.sleep(60)

        task = asyncio.get_running_loop().create_task(uploads())  # as Serve does: where it stands, and again
        await asyncio.sleep(0.05)
        for _ in range(3):
            task.cancel()
            await asyncio.sleep(0)
        with contextlib.suppress(asyncio.CancelledError):
            await task

    with pytest.raises(ValueError, match="on the way"):
        anyio.run(fails)
    anyio.run(is_cancelled)
    anyio.run(is_cancelled_twice)
    assert not list(tmp_path.iterdir())


def test_what_a_killed_door_left_is_swept_and_a_living_ones_is_not(tmp_path):
    mine = Incoming(tmp_path)
    (mine.folder / "upload").mkdir()
    left = tmp_path / ("0" * 32)
    left.mkdir()
    (left / LOCK).touch()
    sweep(tmp_path)
    assert left.exists()  # young: it may be about to be locked
    sweep(tmp_path, grace_s=-1)
    assert not left.exists()
    assert (mine.folder / "upload").exists()
    mine.close()
    assert not list(tmp_path.iterdir())
