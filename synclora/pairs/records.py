"""Table files as records, one at a time: CSV, JSON Lines, a JSON list, Parquet.

    for record in read_records("metadata.jsonl", COLUMNS):
        record.where, record.values, record.problem        # "line 3", {"video": …}, ""

A line that cannot be read is a record with a problem; a file that is no table is an error.
"""

import csv
import json
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import PurePosixPath
from typing import Any, BinaryIO, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from synclora.errors import SyncLoraError
from synclora.pairs.storage import one_line, open_binary

MAX_LINE = 1024**2  # bytes; three columns of text fit a thousand times over, a video renamed to .csv does not
MAX_JSON = 256 * 1024**2  # bytes; a JSON list is held whole: about a million rows. JSON Lines has no limit
BATCH = 4096  # Parquet rows held at a time: about 1 MB of paths


class Record(NamedTuple):
    """One row of a table.

    Attributes:
        where: its place in words, counted as an editor counts.
        values: the wanted columns that the row has.
        problem: why it could not be read, or "".
    """

    where: str
    values: dict[str, Any]
    problem: str = ""


def read_records(path: str, columns: tuple[str, ...]) -> Iterator[Record]:
    """The rows of a table file, local or remote, in their order.

    Raises:
        SyncLoraError: the file cannot be opened, or is not what its name says.
    """
    readers = {".csv": _csv, ".jsonl": _json_lines, ".json": _json, ".parquet": _parquet}
    with closing(open_binary(path)) as file:
        try:
            yield from readers[PurePosixPath(path).suffix.lower()](file, columns)
        except (OSError, ValueError, pa.ArrowException) as error:
            raise SyncLoraError(f"table {path}: {one_line(error)}") from error


def parquet_columns(path: str) -> set[str]:
    """The columns of a Parquet file; empty when it is none."""
    try:
        with closing(open_binary(path)) as file:
            return set(pq.read_schema(file).names)
    except (SyncLoraError, OSError, ValueError, pa.ArrowException):
        return set()


def _csv(file: BinaryIO, columns: tuple[str, ...]) -> Iterator[Record]:
    # bytes that are not UTF-8 travel as surrogates: then one row is refused, and not the file
    text = (line.decode("utf-8", "surrogateescape") for _, line in _lines(file))
    reader = csv.reader(text)
    header = _header(reader)
    while True:
        where = f"line {reader.line_num + 1}"
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield Record(where, {}, f"not CSV ({error})")
            continue
        if not cells:
            continue
        problem = (
            "" if len(cells) == len(header) else f"{len(cells)} cells under {len(header)} columns; put text with commas in quotes"
        )
        yield Record(where, _wanted(dict(zip(header, cells, strict=False)), columns), problem)


def _header(reader: Iterator[list[str]]) -> list[str]:
    try:
        return [cell.strip() for cell in next(reader, [])]
    except csv.Error as error:
        raise ValueError(f"not CSV ({error})") from error


def _json_lines(file: BinaryIO, columns: tuple[str, ...]) -> Iterator[Record]:
    return _parse_lines(_lines(file), columns)


def _json(file: BinaryIO, columns: tuple[str, ...]) -> Iterator[Record]:
    content = file.read(MAX_JSON + 1)
    if len(content) > MAX_JSON:
        raise ValueError(f"larger than {MAX_JSON} bytes; save it as JSON Lines (.jsonl)")
    content = content.removeprefix(b"\xef\xbb\xbf")
    if not content.lstrip().startswith(b"["):  # JSON Lines under the other name
        return _parse_lines(enumerate(content.splitlines(), 1), columns)
    try:
        items = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not JSON ({one_line(error)})") from error
    return (_record(f"item {number}", item, columns) for number, item in enumerate(items, 1))


def _parse_lines(lines: Iterable[tuple[int, bytes]], columns: tuple[str, ...]) -> Iterator[Record]:
    for number, line in lines:
        if not line.strip():
            continue
        try:
            yield _record(f"line {number}", json.loads(line.decode("utf-8")), columns)
        except UnicodeDecodeError:
            yield Record(f"line {number}", {}, "not UTF-8")
        except (ValueError, RecursionError) as error:
            yield Record(f"line {number}", {}, f"not JSON ({one_line(error)})")


def _record(where: str, item: object, columns: tuple[str, ...]) -> Record:
    if not isinstance(item, dict):
        return Record(where, {}, f"expected an object with columns, found {type(item).__name__}")
    return Record(where, _wanted(item, columns))


def _parquet(file: BinaryIO, columns: tuple[str, ...]) -> Iterator[Record]:
    table = pq.ParquetFile(file)
    there = [name for name in columns if name in table.schema_arrow.names]
    if not there:
        return
    number = 0
    for batch in table.iter_batches(BATCH, columns=there):
        for values in batch.to_pylist():
            number += 1
            yield Record(f"row {number}", values)


def _wanted(values: dict[str, Any], columns: tuple[str, ...]) -> dict[str, Any]:
    return {name: values[name] for name in columns if name in values}


def _lines(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Numbered lines, whatever kind of file; the mark that Windows puts before UTF-8 is taken off."""
    number, rest = 0, b""
    while chunk := file.read(MAX_LINE):
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            number += 1
            yield number, (line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line) + b"\n"
        if len(rest) > MAX_LINE:
            raise ValueError(f"line {number + 1} is longer than {MAX_LINE} bytes; is it text?")
    if rest:
        yield number + 1, rest.removeprefix(b"\xef\xbb\xbf") if not number else rest
