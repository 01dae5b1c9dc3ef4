"""Files by path or URL: which are local, which filesystem opens the others, and how one is fetched.

    fetch("s3://shoots/may/source/ana.mp4", Path("/tmp/scratch"), max_bytes=2 * 1024**3)   # a local path

URLs are opened by fsspec; where its driver is not installed (s3fs, gcsfs, adlfs), by pyarrow's own.
"""

import hashlib
import os
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from tempfile import mkstemp
from typing import Any, BinaryIO, cast

import fsspec
import pyarrow.fs as arrow
from fsspec.implementations.arrow import ArrowFSWrapper

from synclora.errors import MediaError, Reason, SyncLoraError

VIDEO_ENDINGS = (".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi")
"""Best first: of two files of one name the earlier is taken."""

STORES = ("s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "hdfs", "hf", "memory")
"""Protocols that are read. No http: nothing here downloads from an address that a table names. No chains (`zip::s3://`)."""

MAX_BYTES = 2 * 1024**3  # as media's default limit: what decoding would refuse need not be fetched
CHUNK = 4 * 1024**2  # bytes held while fetching; S3 serves ranges of this size at full rate


def protocol_of(path: str) -> str:
    """The protocol of a URL in small letters; empty for a local path, also when it is written file://."""
    head, separator, _ = path.partition("://")
    if "/" in head or not (separator or "::" in head):
        return ""
    return "" if head.lower() in ("file", "local") else head.lower()


def is_remote(path: str) -> bool:
    """Whether a path is a URL of something that is not this machine's file tree."""
    return protocol_of(path) != ""


def local_path(path: str) -> str:
    """A local path without its file://."""
    head, separator, rest = path.partition("://")
    return rest if separator and head.lower() in ("file", "local") else path


def open_filesystem(url: str) -> tuple[Any, str]:
    """The filesystem of a URL, and the URL's path in it.

    Raises:
        SyncLoraError: the protocol is not read, its driver is missing, or it refuses the URL.
    """
    protocol = protocol_of(url)
    if protocol not in STORES:
        raise SyncLoraError(
            f"{url}: {protocol} is not read; download it first, or give a local path or one of {', '.join(STORES)}"
        )
    try:
        return cast("tuple[Any, str]", fsspec.url_to_fs(url))
    except ImportError as error:
        return _open_with_arrow(url, str(error))
    except Exception as error:  # each driver raises its own kinds
        raise SyncLoraError(f"{url}: {one_line(error)}") from error


def open_binary(path: str) -> BinaryIO:
    """Open a local path or a URL for reading bytes.

    Raises:
        SyncLoraError: it cannot be opened.
    """
    try:
        if not is_remote(path):
            return Path(local_path(path)).open("rb")
        filesystem, inner = open_filesystem(path)
        return cast("BinaryIO", filesystem.open(inner, "rb"))
    except SyncLoraError:
        raise
    except Exception as error:  # each driver raises its own kinds
        raise SyncLoraError(f"{path}: {one_line(error)}") from error


def fetch(url: str, scratch: Path, max_bytes: int = MAX_BYTES) -> str:
    """Copy one remote file into `scratch`, unless this version of it is there already; returns the local path.

    The local name is a hash of the URL, the size and the store's version mark (ETag or time), with the ending kept.

    Raises:
        MediaError: the file is missing, unreadable, or larger than `max_bytes`.
        SyncLoraError: the scratch folder cannot be written, for instance because the disk is full.
    """
    try:
        filesystem, inner = open_filesystem(url)
        info = filesystem.info(inner)
    except FileNotFoundError as error:
        raise MediaError(Reason.MISSING, f"{url}: no such file") from error
    except Exception as error:  # each driver raises its own kinds
        raise MediaError(Reason.UNREADABLE, f"{url}: {one_line(error)}") from error
    size = info.get("size")
    if info.get("type") == "directory" or size is None:
        raise MediaError(Reason.UNREADABLE, f"{url}: not a file of known size")
    if size > max_bytes:
        raise MediaError(Reason.TOO_LARGE, f"{url}: {size} bytes, the limit is {max_bytes}")
    ending = Path(inner).suffix.lower()
    name = hashlib.sha256(repr((url, size, _version(info))).encode()).hexdigest()[:24]
    target = Path(scratch) / f"{name}{ending if ending in VIDEO_ENDINGS else ''}"
    if not (target.is_file() and target.stat().st_size == size):
        try:
            _download(filesystem, inner, size, target)
        except OSError as error:
            raise SyncLoraError(f"scratch {scratch}: {one_line(error)}; free space there or give another folder") from error
    return str(target)


def one_line(error: BaseException) -> str:
    """The message of a driver's error, short enough for a row."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(text.split())[:200] or type(error).__name__


def _download(filesystem: Any, inner: str, size: int, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, draft = mkstemp(prefix=f".{target.stem}-", suffix=".part", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as out:
            for chunk in _chunks(filesystem, inner, size):
                out.write(chunk)
            out.flush()
            os.fsync(out.fileno())
        Path(draft).chmod(0o644)  # mkstemp makes it private; other users of the scratch folder read it
        Path(draft).replace(target)
    finally:
        Path(draft).unlink(missing_ok=True)


def _chunks(filesystem: Any, inner: str, size: int) -> Iterator[bytes]:
    """The bytes of a remote file. Its errors are the file's, not the disk's; a file that changes meanwhile is refused."""
    left = size
    try:
        with filesystem.open(inner, "rb") as remote:
            while chunk := remote.read(min(CHUNK, left + 1)):
                left -= len(chunk)
                if left < 0:
                    break
                yield chunk
    except FileNotFoundError as error:
        raise MediaError(Reason.MISSING, f"{inner}: no such file") from error
    except Exception as error:  # each driver raises its own kinds
        raise MediaError(Reason.UNREADABLE, f"{inner}: {one_line(error)}") from error
    if left:
        raise MediaError(Reason.UNREADABLE, f"{inner}: changed while read ({size} bytes listed, at least {size - left} came)")


def _version(info: dict[str, Any]) -> str:
    """What a store says of a file's version, whatever it calls it."""
    keys = ("ETag", "etag", "md5Hash", "LastModified", "last_modified", "updated", "mtime", "created")
    return next((str(info[key]) for key in keys if info.get(key)), "")


def _open_with_arrow(url: str, why: str) -> tuple[Any, str]:
    scheme, _, rest = url.partition("://")
    bucket, _, key = rest.partition("/")
    try:
        filesystem, root = _arrow_filesystem(f"{scheme}://{bucket}/")
    except Exception as error:  # pyarrow raises OSError, ArrowInvalid, ArrowNotImplementedError
        raise SyncLoraError(f"{url}: {why} (pyarrow: {one_line(error)})") from error
    return filesystem, f"{root.rstrip('/')}/{key}".rstrip("/")


@lru_cache(maxsize=16)
def _arrow_filesystem(bucket_url: str) -> tuple[ArrowFSWrapper, str]:
    """Kept per bucket: opening one asks the store for its region, and not once per file."""
    filesystem, root = arrow.FileSystem.from_uri(bucket_url)
    return ArrowFSWrapper(filesystem), root
