"""Pairs as rows of a table: CSV, JSON Lines, JSON or Parquet with `video` (edited), `reference_video` (source), `caption`.

    TablePairs("may/metadata.jsonl").rows()         # paths are seen from the table's folder

The trainers' names `media_path` and `reference_path` do as well; other columns are left alone. An absolute path, or a store's
URL, in a local table is the user's own statement and is followed; a relative path must stay in the table's folder, and a remote
table names files of its own folder only. Web addresses are never fetched.
"""

import os
import posixpath
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import PurePosixPath
from typing import Any

from synclora.errors import MediaError, Reason, SyncLoraError
from synclora.pairs.base import Pair, View
from synclora.pairs.listing import Entry, Listing, check_file, is_within, split_name
from synclora.pairs.reader import Found, Reader, unique
from synclora.pairs.records import Record, parquet_columns, read_records
from synclora.pairs.storage import STORES, is_remote, local_path, protocol_of

VIDEO, REFERENCE, CAPTION = ("video", "media_path"), ("reference_video", "reference_path"), ("caption",)
COLUMNS = (*VIDEO, *REFERENCE, *CAPTION)
NAMES = ("metadata.jsonl", "metadata.json", "metadata.csv", "metadata.parquet")


def table_in(listing: Listing) -> str:
    """The path of the table that describes a folder: `metadata.*`, or the one Parquet file with the columns; "" if there is none.

    Raises:
        SyncLoraError: there are several.
    """
    found = [entry for entry in listing.tables if entry.name in NAMES]
    if not found:
        found = [entry for entry in listing.tables if entry.ending == ".parquet" and _has_columns(parquet_columns(entry.path))]
    if len(found) > 1:
        names = ", ".join(entry.name for entry in found[:4])
        raise SyncLoraError(f"--input {listing.root}: holds several tables ({names}); give the path of one of them")
    if found and found[0].problem:
        raise SyncLoraError(f"--input {listing.root}: table {found[0].detail}")
    return found[0].path if found else ""


@dataclass(frozen=True)
class TablePairs(Reader):
    """Pairs that a table names; `root` is the table file."""

    def _list(self) -> Listing:
        return Listing(self.root)

    def _read(self, listing: Listing) -> Found:
        remote = is_remote(self.root)
        table = self.root if remote else os.path.abspath(local_path(self.root))  # noqa: PTH100 (Path keeps `..`)
        if not remote and (about := check_file(table)).problem:
            raise SyncLoraError(f"--input {self.root}: table {about.detail}")
        places = Places(table.rpartition("/")[0], remote)
        rows: list[Pair] = []
        seen: set[str] = set()
        columns: set[str] = set()
        for record in read_records(table, COLUMNS):
            columns.update(record.values)
            row = _row(record, places, PurePosixPath(table).stem, self.caption)
            if row.problem is None and row.edited.path in seen:
                row = row.failed(Reason.DUPLICATE, f"{record.where}: an earlier row has the same video {row.edited.path!r}")
            elif row.problem is None:
                seen.add(row.edited.path)
            rows.append(row)
        if not _has_columns(columns):
            wanted = f"{' or '.join(VIDEO)}, and {' or '.join(REFERENCE)}"
            what = "not a table of pairs" if rows else "an empty table, or none"
            raise SyncLoraError(f"--input {self.root}: {what}; it needs columns {wanted}; or set layout to folders")
        return Found(unique(rows), 0)


class Places:
    """Where the paths in a table lead.

    Args:
        base: the table's folder.
        remote: whether that is a URL.
    """

    def __init__(self, base: str, remote: bool) -> None:
        self.base, self.remote = base, remote
        self._within = "" if remote else os.path.realpath(base or "/")
        self._resolved = lru_cache(maxsize=4096)(os.path.realpath)  # one look per folder, not one per file

    def entry(self, value: str) -> Entry:
        """The file that a table's value names.

        Raises:
            MediaError: it leads where a table must not lead.
        """
        protocol, path = protocol_of(value), local_path(value)
        if protocol and protocol not in STORES:
            raise MediaError(Reason.BAD_ROW, f"{value!r}: {protocol} addresses are not fetched; download it and name the file")
        if self.remote:
            path = value.removeprefix(f"{self.base}/")
            if protocol_of(path) or path.startswith("/") or path != local_path(path):
                raise MediaError(Reason.OUTSIDE_INPUT, f"{value!r}: a remote table names files of its own folder only")
            return Entry("", path.rpartition("/")[2], f"{self.base}/{_below(path)}")
        if protocol:
            return Entry("", value.rpartition("/")[2], value)
        if path.startswith("/"):
            return check_file(path)
        full = f"{self.base}/{_below(path)}"
        if not is_within(self._resolved(full.rpartition("/")[0]), self._within):
            raise MediaError(Reason.OUTSIDE_INPUT, f"{value!r}: its folder is a link out of the table's folder")
        return check_file(full, self._within)

    def name(self, value: str) -> str:
        """What to call the pair: the edited video's path in the folder, without `edited/` and ending."""
        path = local_path(value).removeprefix(f"{self.base}/").rpartition("://")[2]
        folder, slash, file = posixpath.normpath(path).removeprefix("edited/").lstrip("/").rpartition("/")
        return f"{folder}{slash}{split_name(file)[0]}"


def _below(path: str) -> str:
    """A relative path that stays below, in its shortest spelling."""
    short = posixpath.normpath(path)
    if short.split("/")[0] == "..":
        raise MediaError(Reason.OUTSIDE_INPUT, f"{path!r} leaves the table's folder; write an absolute path if you mean it")
    return short


def _row(record: Record, places: Places, table: str, default: str) -> Pair:
    """One row. What is wrong with it names its line."""
    pair = Pair(f"{table} {record.where}", View(""), View(""), default)
    try:
        if record.problem:
            raise MediaError(Reason.BAD_ROW, record.problem)
        video = _text(record.values, VIDEO)
        pair = replace(pair, name=places.name(video), edited=View(video))
        reference = _text(record.values, REFERENCE)
        caption = " ".join(_text(record.values, CAPTION, optional=True).split())
        pair = replace(pair, source=View(reference), caption=caption or default)
        source, edited = places.entry(reference), places.entry(video)
        pair = replace(pair, source=View(source.path), edited=View(edited.path))
        _raise_first(source, edited)
    except MediaError as error:
        return pair.failed(error.reason, f"{record.where}: {error.detail}")
    return pair


def _text(values: dict[str, Any], columns: tuple[str, ...], optional: bool = False) -> str:
    column = next((name for name in columns if values.get(name) is not None), columns[0])
    value = values.get(column)
    if value is None and optional:
        return ""
    if not isinstance(value, str):
        found = "nothing" if value is None else f"{type(value).__name__} {str(value)[:40]!r}"
        raise MediaError(Reason.BAD_ROW, f"column {column}: expected text, found {found}")
    if "\0" in value or value.encode("utf-8", "replace") != value.encode("utf-8", "surrogatepass"):
        raise MediaError(Reason.BAD_ROW, f"column {column}: {value[:80]!r} is not UTF-8 text")
    if not (value.strip() or optional):
        raise MediaError(Reason.BAD_ROW, f"column {column}: empty")
    return value


def _raise_first(source: Entry, edited: Entry) -> None:
    problems = [entry for entry in (source, edited) if entry.problem]
    missing = [entry for entry in problems if entry.problem is Reason.MISSING]
    if len(missing) == 1 and len(problems) == 1:
        raise MediaError(Reason.MISSING_HALF, missing[0].detail)
    if problems:
        raise MediaError(problems[0].problem or Reason.UNREADABLE, problems[0].detail)


def _has_columns(names: set[str]) -> bool:
    return not names.isdisjoint(VIDEO) and not names.isdisjoint(REFERENCE)
