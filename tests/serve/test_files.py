"""Files of jobs, on a local folder and on whatever pyarrow has."""

import errno
import os
import resource
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

import pytest
from pyarrow import fs

from serve.files import FileStore
from serve.jobs import make_id
from synclora.errors import MediaError, SyncLoraError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(params=["folder", "uri", "subtree", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> FileStore:
    if request.param == "folder":
        return FileStore(tmp_path / "files")
    if request.param == "uri":
        return FileStore(f"file://{tmp_path}/files")
    if request.param == "subtree":
        return FileStore.on(fs.SubTreeFileSystem(str(tmp_path), fs.LocalFileSystem()), "files")
    return FileStore.on(fs._MockFileSystem(datetime.now()), "bucket/edits")


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "clip"
    path.write_bytes(bytes(range(256)) * 20)
    return path


def test_what_goes_in_comes_out(store: FileStore, clip: Path, tmp_path: Path) -> None:
    job, other = make_id(), make_id()
    assert store.names(job) == []
    store.put(clip, job, "source")
    store.put(clip, job, "edit-1.mp4")
    assert (clip.exists(), store.names(job), store.size(job, "source"), store.names(other)) == (
        True,
        ["edit-1.mp4", "source"],
        5120,
        [],
    )
    with store.open(job, "source") as file:
        assert file.seekable()
        file.seek(256 + 7)
        assert file.read(3) == bytes([7, 8, 9])
        assert file.tell() == 266
        assert file.seek(-2, 2) == 5118
        assert file.read() == bytes([254, 255])
    store.get(job, "source", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == clip.read_bytes()
    store.get(job, "source", tmp_path / "back")  # again, in its place
    assert list(store.jobs()) == [job]
    assert abs(store.newest(job) - time.time()) < 5

    store.delete(job, "edit-1.mp4")
    store.delete(job, "edit-1.mp4")
    assert store.names(job) == ["source"]
    store.delete_job(job)
    store.delete_job(job)
    assert (store.names(job), list(store.jobs())) == ([], [])
    assert (tmp_path / "back").read_bytes() == clip.read_bytes()


def test_a_file_may_be_replaced_and_moved_in(store: FileStore, clip: Path, tmp_path: Path) -> None:
    job = make_id()
    store.put(clip, job, "source")
    (tmp_path / "new").write_bytes(b"new")
    store.put(tmp_path / "new", job, "source", move=True)
    assert not (tmp_path / "new").exists()
    assert (store.size(job, "source"), store.open(job, "source").read()) == (3, b"new")


def test_a_file_may_be_moved_in_from_another_disk(small_disk: Path, tmp_path: Path) -> None:
    store, job = FileStore(tmp_path / "files"), make_id()
    (small_disk / "new").write_bytes(b"new")
    store.put(small_disk / "new", job, "source", move=True)
    assert not (small_disk / "new").exists()
    store.get(job, "source", small_disk / "back")
    assert (small_disk / "back").read_bytes() == b"new"


def test_what_is_not_there(store: FileStore, tmp_path: Path, clip: Path) -> None:
    job = make_id()
    for _ in range(2):
        with pytest.raises(FileNotFoundError):
            store.open(job, "source")
        with pytest.raises(FileNotFoundError):
            store.size(job, "source")
        with pytest.raises(FileNotFoundError):
            store.get(job, "source", tmp_path / "back")
        with pytest.raises(FileNotFoundError):
            store.put(tmp_path / "nothing", job, "other", move=True)
        store.put(clip, job, "edit-1.mp4")
    assert store.names(job) == ["edit-1.mp4"]


ODD = (
    "",
    ".",
    "..",
    "../source",
    "a/b",
    "/etc/passwd",
    "source\n",
    "a\0b",
    ".hidden",
    "Source",
    "a" * 99,
    "a..b",
    "sourcé",
    "a\\b",
    "C:x",
    "-rf",
)


def test_names_that_we_do_not_make_are_refused(store: FileStore, clip: Path) -> None:
    job = make_id()
    deeds = (
        lambda job, name: store.put(clip, job, name),
        lambda job, name: store.get(job, name, clip),
        store.open,
        store.size,
        store.delete,
    )
    for name in ODD:
        for deed in deeds:
            with pytest.raises(MediaError, match="not_found"):
                deed(job, name)
            with pytest.raises(MediaError, match="not_found"):
                deed(name, "source")
        for whole in (store.names, store.delete_job, store.newest):
            with pytest.raises(MediaError, match="not_found"):
                whole(name)
    assert clip.exists()


def test_a_failed_write_leaves_nothing_and_the_old_file(store: FileStore, clip: Path, tmp_path: Path) -> None:
    job = make_id()
    store.put(clip, job, "source")
    with pytest.raises(OSError, match="directory"):
        store.put(tmp_path, job, "source")  # a folder cannot be read
    assert (store.names(job), store.size(job, "source")) == (["source"], 5120)
    left = [info.base_name for info in store._fs.get_file_info(fs.FileSelector(store._folder(job)))]
    assert left == ["source"]


def test_readers_see_the_old_or_the_new_file(tmp_path: Path) -> None:
    store, job = FileStore(tmp_path / "files"), make_id()
    texts = [bytes([65 + number]) * 100_000 for number in range(4)]
    for number, text in enumerate(texts):
        (tmp_path / f"v{number}").write_bytes(text)
    store.put(tmp_path / "v0", job, "source")
    over = threading.Event()

    def write(number: int) -> None:
        while not over.is_set():
            store.put(tmp_path / f"v{number}", job, "source")

    with ThreadPoolExecutor(4) as pool:
        writers = [pool.submit(write, number) for number in range(4)]
        seen = {store.open(job, "source").read() for _ in range(300)}
        over.set()
        for writer in writers:
            writer.result()
    assert seen <= set(texts)
    assert len(list((tmp_path / "files/jobs" / job).iterdir())) == 1


def test_others_on_the_machine_cannot_read(tmp_path: Path, clip: Path) -> None:
    store, job = FileStore(tmp_path / "files"), make_id()
    store.put(clip, job, "source")
    assert (tmp_path / "files").stat().st_mode & 0o077 == 0
    assert (tmp_path / "files/jobs" / job).stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("root", ["s4://bucket/x", "/proc/nothing/x"])
def test_a_store_that_cannot_be_used_is_said_on_one_line(root: str) -> None:
    with pytest.raises(SyncLoraError, match="give a folder or a URL") as error:
        FileStore(root)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("move", [False, True])
def test_a_full_disk_is_an_os_error_and_leaves_nothing(small_disk: Path, tmp_path: Path, move: bool) -> None:
    big = tmp_path / "big"
    big.write_bytes(os.urandom(2 * 1024**2))
    for store in (FileStore(small_disk / "files"), FileStore.on(fs.SubTreeFileSystem(str(small_disk), fs.LocalFileSystem()))):
        job = make_id()
        with pytest.raises(OSError, match=r"[Nn]o space") as error:
            store.put(big, job, "source", move=move)
        assert error.value.errno == errno.ENOSPC
        assert big.exists()
        assert [path for path in small_disk.rglob("*") if path.is_file()] == []


def test_a_file_beyond_the_limit_of_the_process_is_an_os_error(tmp_path: Path) -> None:
    """Where no disk can be mounted, this is as real: the kernel refuses the write."""
    program = f"""
import signal, sys
from pathlib import Path
from serve.files import FileStore
from serve.jobs import make_id
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
Path({str(tmp_path / "big")!r}).write_bytes(b"")
try:
    FileStore({str(tmp_path / "files")!r}).put(Path(sys.argv[1]), make_id(), "source")
except OSError as error:
    print(error.errno)
"""
    (tmp_path / "source").write_bytes(b"x" * 100_000)
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "source")],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000)),
    )
    assert (done.stdout.strip(), done.stderr) == (str(errno.EFBIG), "")
    assert [path for path in (tmp_path / "files").rglob("*") if path.is_file()] == []
