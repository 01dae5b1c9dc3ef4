"""What the readers of pairs share: listing once, captions beside videos, names that occur once.

A reader is plain values (root, caption, limit) and travels to workers as such; what it has listed stays behind.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from synclora.errors import MediaError, Reason
from synclora.pairs.base import Pair, View
from synclora.pairs.listing import Entry, Listing, list_folder
from synclora.pairs.storage import MAX_BYTES, fetch, is_remote, open_filesystem

MAX_CAPTION = 64 * 1024  # bytes; a text encoder reads some hundred words


class Found(NamedTuple):
    """What a reader found: the rows in order, and how many files were none of its business."""

    rows: list[Pair]
    ignored: int


@dataclass(frozen=True)
class Reader(ABC):
    """A source of pairs that exist as files.

    Attributes:
        root: folder, video or table, as given.
        caption: what a pair without its own caption gets.
        max_bytes: the largest remote file that is fetched.
        listing: the folder's content when the caller has it already.
    """

    root: str
    caption: str = ""
    max_bytes: int = MAX_BYTES
    listing: Listing | None = field(default=None, repr=False, compare=False)

    def rows(self) -> list[Pair]:
        """All pairs, sorted by name; no video is opened.

        Raises:
            SyncLoraError: the input cannot be read, or holds no pairs.
        """
        return list(self._found.rows)

    @property
    def ignored(self) -> int:
        """Visible files (and folders too deep to be looked into) that belong to no row."""
        return self._found.ignored

    def materialise(self, pair: Pair, scratch: Path) -> Pair:
        """The pair with local paths: local files as they are, remote ones fetched into `scratch`.

        Raises:
            MediaError: a remote file is missing, unreadable or too large.
        """
        if pair.problem is not None:
            return pair
        return replace(pair, source=self._local(pair.source, scratch), edited=self._local(pair.edited, scratch))

    def _local(self, view: View, scratch: Path) -> View:
        return View(fetch(view.path, scratch, self.max_bytes), view.half) if is_remote(view.path) else view

    @cached_property
    def _found(self) -> Found:
        return self._read(self.listing or self._list())

    def _list(self) -> Listing:
        return list_folder(self.root)

    @abstractmethod
    def _read(self, listing: Listing) -> Found:
        """The rows of a listed folder."""

    def __getstate__(self) -> dict[str, Any]:
        return {**{key: value for key, value in vars(self).items() if key != "_found"}, "listing": None}


def first_problem(*entries: Entry) -> tuple[Reason, str] | None:
    """The first thing that is wrong with a pair's files."""
    return next(((entry.problem, entry.detail) for entry in entries if entry.problem), None)


def captions(texts: Iterable[Entry]) -> dict[tuple[str, str], str | MediaError]:
    """Captions from the text files beside videos, by (folder, stem), on one line each; one that cannot be read is an error."""
    usable: dict[tuple[str, str], str | MediaError] = {}
    paths: dict[str, tuple[str, str]] = {}
    for text in texts:
        key = (text.folder, text.stem)
        if text.problem:
            usable[key] = MediaError(text.problem, text.detail)
        elif text.size > MAX_CAPTION:
            usable[key] = MediaError(Reason.BAD_ROW, f"caption {text.name!r}: {text.size} bytes, the limit is {MAX_CAPTION}")
        else:
            paths[text.path] = key
    for path, content in _contents(list(paths)).items():
        usable[paths[path]] = _caption(Path(path).name, content)
    return usable


def with_caption(pair: Pair, caption: str | MediaError | None) -> Pair:
    """The pair with its own caption; without one (None or blank) it keeps the default."""
    if isinstance(caption, MediaError):
        return pair if pair.problem else pair.failed(caption.reason, caption.detail)
    return replace(pair, caption=caption) if caption else pair


def unique(rows: list[Pair]) -> list[Pair]:
    """Rows sorted by name, with `~2`, `~3` … added where a name occurs again; the earlier row keeps the name."""
    taken, wanted = set[str](), {row.name for row in rows}
    counts: dict[str, int] = {}
    named = []
    for row in rows:
        name = row.name
        while name in taken or (name != row.name and name in wanted):
            counts[row.name] = counts.get(row.name, 1) + 1
            name = f"{row.name}~{counts[row.name]}"
        taken.add(name)
        named.append(row if name == row.name else replace(row, name=name))
    return sorted(named, key=lambda row: row.name)


def _contents(paths: list[str]) -> dict[str, bytes | Exception]:
    """Small files, remote ones in one go (a store answers hundreds of requests at a time)."""
    contents: dict[str, bytes | Exception] = {}
    remote = []
    for path in paths:
        if is_remote(path):
            remote.append(path)
            continue
        try:
            contents[path] = Path(path).read_bytes()
        except OSError as error:
            contents[path] = error
    if remote:
        inner = {open_filesystem(path)[1]: path for path in remote}
        for key, content in open_filesystem(remote[0])[0].cat(list(inner), on_error="return").items():
            contents[inner[key]] = content
    return contents


def _caption(name: str, content: bytes | Exception) -> str | MediaError:
    try:
        if isinstance(content, Exception):
            raise content
        return " ".join(content.decode("utf-8-sig").split())
    except UnicodeDecodeError:
        return MediaError(Reason.BAD_ROW, f"caption {name!r} is not UTF-8; save it as UTF-8")
    except Exception as error:  # each driver raises its own kinds
        return MediaError(Reason.UNREADABLE, f"caption {name!r}: {type(error).__name__}")
