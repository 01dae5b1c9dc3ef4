"""Sources and edits: one folder per job, on a local disk or wherever pyarrow reaches.

    files = FileStore("/data/files")            # or s3://bucket/edits, gs://bucket/edits
    files.put(Path("clip.mp4"), job, "source")
    with files.open(job, "source") as file:
        file.seek(1000)

A file appears whole or not at all: it is written under a hidden name, flushed to the disk, renamed (which an object store does by a copy of its
own). Names are made by the service; anything else is refused, so that no name leads out of the job's folder.
"""

import errno
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, cast

from pyarrow import fs

from serve.jobs import ID
from synclora.errors import MediaError, Reason, SyncLoraError

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}(\.[a-z0-9]{1,8})?")
_PART = re.compile(r"\.[0-9a-f]{32}\.part")
_CHUNK_BYTES = 1024**2


class FileStore:
    """Files by job and name. Its methods may be called from any thread and process.

    All raise MediaError NOT_FOUND for an id or name that the service does not make, FileNotFoundError for a file that is not there, and
    OSError as the disk or the object store says it (ENOSPC: it is full).
    """

    def __init__(self, root: str | Path) -> None:
        """Reach the store; a local folder is made.

        Args:
            root: a folder, or a URI that pyarrow knows.

        Raises:
            SyncLoraError: it cannot be reached or written.
        """
        self._home, self._fs, self._root = _locate(str(root))

    @classmethod
    def on(cls, filesystem: fs.FileSystem, root: str = "") -> "FileStore":
        """A store on a file system that is at hand, within one of its folders."""
        store = cls.__new__(cls)
        store._home, store._fs, store._root = None, filesystem, root.strip("/")
        return store

    def put(self, local: Path, job: str, name: str, *, move: bool = False) -> None:
        """Store a file, in place of one that has this name; `move`: the local one may be taken instead of copied."""
        target, part = self._path(job, name), self._path(job, f".{uuid.uuid4().hex}.part")
        if self._home is not None:
            _put_here(local, Path(part), Path(target), move)
            return
        self._fs.create_dir(target.rpartition("/")[0], recursive=True)
        try:
            with Path(local).open("rb") as source, self._fs.open_output_stream(part) as sink:
                shutil.copyfileobj(source, sink, _CHUNK_BYTES)
            self._fs.move(part, target)
        except BaseException:
            with suppress(OSError):
                self._fs.delete_file(part)
            raise
        if move:
            Path(local).unlink(missing_ok=True)

    def get(self, job: str, name: str, local: Path) -> None:
        """Bring a file to `local`, which is not to be written to: it may be the stored file itself, under a second name."""
        path = self._path(job, name)
        local.unlink(missing_ok=True)
        if self._home is not None:
            try:
                os.link(path, local)
            except FileNotFoundError:
                raise
            except OSError:  # another disk, or one that knows no links
                shutil.copyfile(path, local)
            return
        with self.open(job, name) as source, local.open("wb") as sink:
            shutil.copyfileobj(source, sink, _CHUNK_BYTES)

    def open(self, job: str, name: str) -> BinaryIO:
        """A file to read and seek in; close it."""
        path = self._path(job, name)
        if self._home is not None:
            return Path(path).open("rb")
        return cast(BinaryIO, self._fs.open_input_file(path))

    def size(self, job: str, name: str) -> int:
        """Its bytes."""
        info = self._fs.get_file_info(self._path(job, name))
        if info.type != fs.FileType.File:
            raise FileNotFoundError(errno.ENOENT, "no such file in the store", f"{job}/{name}")
        return int(info.size)

    def names(self, job: str) -> list[str]:
        """Names of a job's files, sorted; those half written are left out."""
        return sorted(info.base_name for info in self._listing(self._folder(job)) if _NAME.fullmatch(info.base_name))

    def delete(self, job: str, name: str) -> None:
        """Remove a file; one that is not there is no error."""
        with suppress(FileNotFoundError):
            if self.size(job, name) >= 0:
                self._fs.delete_file(self._path(job, name))

    def delete_parts(self, job: str) -> None:
        """Remove what killed processes left half written. Only for a job that nobody writes to any more."""
        for info in self._listing(self._folder(job)):
            if _PART.fullmatch(info.base_name) is not None:
                with suppress(FileNotFoundError):
                    self._fs.delete_file(info.path)

    def delete_job(self, job: str) -> None:
        """Remove a job's folder with all that is in it; one that is not there is no error."""
        with suppress(FileNotFoundError):
            self._fs.delete_dir(self._folder(job))

    def jobs(self) -> Iterator[str]:
        """Ids of all jobs that have a folder."""
        for info in self._listing(self._join("jobs")):
            if ID.fullmatch(info.base_name) is not None:
                yield info.base_name

    def newest(self, job: str) -> float:
        """When a job's folder was last written to, in seconds since 1970; 0 when it is empty and the store knows no folders' times."""
        folder = self._folder(job)
        infos = [self._fs.get_file_info(folder), *self._listing(folder)]
        return max((info.mtime_ns / 1e9 for info in infos if info.mtime_ns is not None), default=0.0)

    def _listing(self, folder: str) -> list[Any]:
        return list(self._fs.get_file_info(fs.FileSelector(folder, allow_not_found=True)))

    def _path(self, job: str, name: str) -> str:
        if _NAME.fullmatch(name) is None and _PART.fullmatch(name) is None:
            raise MediaError(Reason.NOT_FOUND, f"no file {name!r}")
        return f"{self._folder(job)}/{name}"

    def _folder(self, job: str) -> str:
        if ID.fullmatch(job) is None:
            raise MediaError(Reason.NOT_FOUND, f"no job {job!r}")
        return self._join(f"jobs/{job}")

    def _join(self, path: str) -> str:
        return f"{self._root}/{path}" if self._root else path


def _locate(root: str) -> tuple[Path | None, fs.FileSystem, str]:
    """The local folder (None if it is elsewhere), the file system, and the root on it."""
    try:
        system, path = fs.FileSystem.from_uri(root) if "://" in root else (fs.LocalFileSystem(), str(Path(root).absolute()))
        if not isinstance(system, fs.LocalFileSystem):
            return None, system, path.rstrip("/")
        home = Path(path)
        home.mkdir(parents=True, exist_ok=True, mode=0o700)  # people's faces
        return home, system, str(home)
    except (OSError, ValueError, NotImplementedError) as error:
        raise SyncLoraError(f"files {root}: {' '.join(str(error).split())}; give a folder or a URL that pyarrow knows") from error


def _put_here(local: Path, part: Path, target: Path, move: bool) -> None:
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    renamed = move and _renamed(local, part)
    try:
        if not renamed:
            shutil.copyfile(local, part)
        _flush(part)
        part.replace(target)
        _flush(target.parent)
    except BaseException:
        with suppress(FileNotFoundError):
            part.rename(local) if renamed else part.unlink()
        raise
    if move:
        local.unlink(missing_ok=True)


def _renamed(local: Path, part: Path) -> bool:
    try:
        local.rename(part)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        return False
    return True


def _flush(path: Path) -> None:
    with _descriptor(path) as number:
        os.fsync(number)


@contextmanager
def _descriptor(path: Path) -> Iterator[int]:
    number = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield number
    finally:
        os.close(number)
