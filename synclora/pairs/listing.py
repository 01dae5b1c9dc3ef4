"""What a folder holds, two levels deep, local or remote: videos, captions and tables, each checked but not opened.

    listing = list_folder("shoots/may")
    listing.videos["source"], listing.texts, listing.tables, listing.total

Two levels are all that the layouts use (`source/ana.mp4`), so that `--input /` does not walk a disk. A link that leaves the
folder is listed with its problem and never followed. Hidden and partial files (`.x`, `x.part`) are as if they were not there.
"""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from synclora.errors import Reason, SyncLoraError
from synclora.pairs.storage import VIDEO_ENDINGS, is_remote, local_path, one_line, open_filesystem

TABLE_ENDINGS = (".jsonl", ".json", ".csv", ".parquet")
CAPTION_ENDING = ".txt"
MAX_FILES = 2_000_000  # entries held while listing, about 1 GB; the largest known set of pairs has 24 577


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of the folder.

    Attributes:
        folder: the subfolder it lies in, "" for the folder itself.
        name: its file name.
        path: absolute local path, or URL.
        size: bytes.
        problem: why it must not be opened, or None.
        detail: one line on the problem.
    """

    folder: str
    name: str
    path: str
    size: int = 0
    problem: Reason | None = None
    detail: str = ""

    @property
    def stem(self) -> str:
        """The file name without its last ending."""
        return split_name(self.name)[0]

    @property
    def ending(self) -> str:
        """The last ending in small letters, with its dot."""
        return split_name(self.name)[1]

    @property
    def relative(self) -> str:
        """Where it lies, seen from the listed folder."""
        return f"{self.folder}/{self.name}" if self.folder else self.name


@dataclass
class Listing:
    """A folder's content.

    Attributes:
        root: the folder as given.
        videos: by subfolder ("" = the folder itself), each list in the order of `VIDEO_ENDINGS` within a stem.
        texts: by (subfolder, stem).
        tables: those in the folder itself.
        closed: subfolders that must not or cannot be entered; their `name` is the folder's.
        total: everything seen: files, closed folders, and folders on the third level (one each).
    """

    root: str
    videos: dict[str, list[Entry]] = field(default_factory=dict)
    texts: dict[tuple[str, str], Entry] = field(default_factory=dict)
    tables: list[Entry] = field(default_factory=list)
    closed: list[Entry] = field(default_factory=list)
    total: int = 0

    def add(self, entry: Entry) -> None:
        """Sort one file in."""
        self.total += 1
        if self.total > MAX_FILES:
            raise SyncLoraError(f"--input {self.root}: more than {MAX_FILES} files; give a folder that holds only the pairs")
        if entry.ending in VIDEO_ENDINGS:
            self.videos.setdefault(entry.folder, []).append(entry)
        elif entry.ending == CAPTION_ENDING:
            self.texts[entry.folder, entry.stem] = entry
        elif entry.ending in TABLE_ENDINGS and not entry.folder:
            self.tables.append(entry)

    def sort(self) -> "Listing":
        """Give everything the order that does not depend on the file system."""
        self.videos = {folder: sorted(self.videos[folder], key=_order) for folder in sorted(self.videos)}
        self.tables.sort(key=lambda entry: entry.name)
        self.closed.sort(key=lambda entry: entry.name)
        return self


def list_folder(root: str) -> Listing:
    """List a local folder or a URL.

    Raises:
        SyncLoraError: there is no such folder, or it cannot be read.
    """
    return _list_remote(root) if is_remote(root) else _list_local(root)


def check_file(path: str, within: str | None = None, folder: str = "") -> Entry:
    """One local file, looked at but not opened.

    Args:
        path: the file.
        within: a resolved folder that the file, links followed, must not leave; None allows any place.
        folder: the entry's subfolder.
    """
    name = path.rpartition("/")[2]
    size, problem, detail = 0, None, ""
    try:
        about = os.lstat(path)  # not Path.lstat: half the time, and there are 50 000
        if stat.S_ISLNK(about.st_mode):
            if within is not None and not is_within(os.path.realpath(path), within):
                detail = f"{name!r} is a link out of the folder; copy the file in"
                return Entry(folder, name, path, 0, Reason.OUTSIDE_INPUT, detail)
            about = os.stat(path)  # noqa: PTH116
        size = about.st_size
        if not stat.S_ISREG(about.st_mode):
            problem, detail = Reason.UNREADABLE, f"{name!r} is not a regular file"
        elif not (about.st_mode & 0o444 and os.access(path, os.R_OK)):
            problem, detail = Reason.UNREADABLE, f"{name!r} may not be read (mode {stat.S_IMODE(about.st_mode):03o})"
    except FileNotFoundError:
        problem, detail = Reason.MISSING, f"{name!r}: no such file"
    except (OSError, ValueError) as error:
        problem, detail = Reason.UNREADABLE, f"{name!r}: {one_line(error)}"
    return Entry(folder, name, path, size, problem, detail)


def split_name(name: str) -> tuple[str, str]:
    """Stem and ending (in small letters, with its dot) of a file name. Path objects would be half of the listing's time."""
    stem, dot, ending = name.rpartition(".")
    return (stem, f".{ending.lower()}") if stem and dot else (name, "")


def is_within(path: str, folder: str) -> bool:
    """Whether a resolved path lies in a resolved folder."""
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def hidden(name: str) -> bool:
    """Whether a file is none of ours: hidden, or still being written."""
    return name.startswith(".") or name.lower().endswith(".part")


def _list_local(root: str) -> Listing:
    top = Path(local_path(root)).absolute()
    listing, within = Listing(root), os.path.realpath(top)
    try:
        for name, is_folder in _scan(str(top)):
            path = f"{top}/{name}"
            if is_folder:
                _enter(listing, name, path, within)
            else:
                _add_local(listing, "", name, path, within)
    except OSError as error:
        raise SyncLoraError(f"--input {root}: {one_line(error)}; give a folder that exists and may be read") from error
    return listing.sort()


def _enter(listing: Listing, folder: str, path: str, within: str) -> None:
    if Path(path).is_symlink() and not is_within(os.path.realpath(path), within):
        problem, detail = Reason.OUTSIDE_INPUT, f"folder {folder!r} is a link out of the input; give its own path to --input"
    else:
        try:
            for name, is_folder in _scan(path):
                if is_folder:
                    listing.total += 1
                else:
                    _add_local(listing, folder, name, f"{path}/{name}", within)
            return
        except OSError as error:
            problem, detail = Reason.UNREADABLE, f"folder {folder!r}: {one_line(error)}"
    listing.total += 1
    listing.closed.append(Entry("", _printable(folder), _printable(path), 0, problem, detail))


def _scan(path: str) -> Iterator[tuple[str, bool]]:
    """Names in a folder, and which are folders. A folder that nobody may read is refused even to root."""
    if os.stat(path).st_mode & 0o444 == 0:  # noqa: PTH116
        raise PermissionError(13, "Permission denied")
    with os.scandir(path) as entries:
        for entry in entries:
            if not hidden(entry.name):
                yield entry.name, _is_folder(entry)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _add_local(listing: Listing, folder: str, name: str, path: str, within: str) -> None:
    if name != _printable(name) or folder != _printable(folder):
        detail = "the name is not UTF-8; rename the file"
        listing.add(Entry(_printable(folder), _printable(name), _printable(path), 0, Reason.UNREADABLE, detail))
    elif split_name(name)[1] in (*VIDEO_ENDINGS, *TABLE_ENDINGS, CAPTION_ENDING):
        listing.add(check_file(path, within, folder))
    else:
        listing.add(Entry(folder, name, path))


def _list_remote(root: str) -> Listing:
    filesystem, inner = open_filesystem(root)
    listing = Listing(root)
    try:
        found = filesystem.find(inner, detail=True)
    except Exception as error:  # each driver raises its own kinds
        raise SyncLoraError(f"--input {root}: {one_line(error)}; give a folder that exists and may be read") from error
    prefix, deep = inner.strip("/"), set()
    for path in sorted(found):
        parts = path.strip("/")[len(prefix) :].strip("/").split("/")
        if any(hidden(part) for part in parts) or not parts[-1]:
            continue
        if len(parts) > 2:
            deep.add(tuple(parts[:2]))
            continue
        folder = parts[0] if len(parts) == 2 else ""
        listing.add(Entry(folder, parts[-1], f"{root.rstrip('/')}/{'/'.join(parts)}", int(found[path].get("size") or 0)))
    listing.total += len(deep)
    if not listing.total:
        raise SyncLoraError(f"--input {root}: no such folder, or nothing in it")
    return listing.sort()


def _printable(text: str) -> str:
    """The text, with bytes that are not UTF-8 spelled out, since a manifest holds UTF-8 only."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _order(entry: Entry) -> tuple[str, int, str]:
    return entry.stem, VIDEO_ENDINGS.index(entry.ending), entry.name
