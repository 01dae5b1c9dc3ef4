"""One multipart body that comes in: what it may be, what of it has come, and what came. Blocking: it writes to disk.

form = Form(boundary, folder, limits, check)
form.write(data)            # again and again; raises at the byte that breaks a rule
upload = form.finish()
"""

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from serve.problems import Refusal, bad_request
from synclora.errors import Reason

MAX_HEADERS, MAX_HEADER_BYTES = 8, 1024  # of one part; browsers send two short ones
MAX_NAME = 64
KEY_FRAME = re.compile(r"key_frame_([1-9]\d{0,5})")

Check = Callable[[str, str], None]
"""Looks at one text field, raises what is wrong with it."""


@dataclass(frozen=True)
class UploadLimits:
    """What one upload may be.

    Attributes:
        video: bytes of the source.
        picture: bytes of the first frame and of each key frame.
        pictures: how many of those.
        fields: names of the text fields.
        field_bytes: of one text field. 2000 characters are at most 8000 bytes.
        seconds: from the first byte to the last.
        idle_seconds: without any byte.
    """

    video: int
    picture: int
    fields: frozenset[str]
    pictures: int = 17
    field_bytes: int = 8192
    seconds: float = 900.0
    idle_seconds: float = 30.0

    @property
    def parts(self) -> int:
        """At most so many."""
        return 1 + self.pictures + len(self.fields)

    @property
    def total(self) -> int:
        """Bytes of the whole body, the parts' heads included."""
        heads = self.parts * (MAX_HEADERS * MAX_HEADER_BYTES + 512)
        return self.video + self.pictures * self.picture + len(self.fields) * self.field_bytes + heads


@dataclass(frozen=True)
class Received:
    """One file that came."""

    path: Path
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Upload:
    """All that came."""

    fields: dict[str, str]
    files: dict[str, Received]

    @property
    def digest(self) -> str:
        """64 hex digits, the same for the same fields and the same bytes, in whatever order or framing they came."""
        said = {"fields": self.fields, "files": {name: one.sha256 for name, one in self.files.items()}}
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


@dataclass
class Form:
    """The state of one body that comes in. Blocking: it writes to disk."""

    boundary: bytes
    folder: Path
    limits: UploadLimits
    check: Check
    fields: dict[str, str] = field(default_factory=dict)
    files: dict[str, Received] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._total, self._parts, self._done = 0, 0, False
        self._head: dict[bytes, bytes] = {}
        self._key, self._value = bytearray(), bytearray()
        self._name, self._bytes, self._sha = "", 0, hashlib.sha256()
        self._text = bytearray()
        self._file: BinaryIO | None = None
        self._parser = MultipartParser(
            self.boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": lambda data, start, end: self._key.extend(data[start:end]),
                "on_header_value": lambda data, start, end: self._value.extend(data[start:end]),
                "on_header_end": self._head_line,
                "on_headers_finished": self._open,
                "on_part_data": self._take,
                "on_part_end": self._end,
                "on_end": self._over,
            },
            max_header_count=MAX_HEADERS,
            max_header_size=MAX_HEADER_BYTES,
        )

    def write(self, data: bytes) -> None:
        """The next bytes of the body."""
        try:
            self._parser.write(data)
        except FormParserError as error:
            raise bad_request(f"no proper multipart body: {' '.join(str(error).split())[:200]}") from error
        self._total += len(data)  # afterwards: a part that is too large is named
        if self._total > self.limits.total:
            raise Refusal(Reason.TOO_LARGE, f"the body has more than {self.limits.total} bytes, the most that an upload may have")

    def finish(self) -> Upload:
        """What came, if it came whole."""
        if not self._done:
            raise bad_request("the body ends before its last boundary; it was cut off, or the boundary is wrong")
        return Upload(self.fields, self.files)

    def close(self) -> None:
        """Close an open file; what was written stays in the folder."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _begin(self) -> None:
        self._parts += 1
        if self._parts > self.limits.parts:
            raise bad_request(f"more than {self.limits.parts} parts")
        self._head = {}

    def _head_line(self) -> None:
        self._head[bytes(self._key).lower()] = bytes(self._value)
        self._key, self._value = bytearray(), bytearray()

    def _open(self) -> None:
        """The head of a part is complete: decide what it is."""
        kind, options = parse_options_header(self._head.get(b"content-disposition"))
        if kind != b"form-data" or b"name" not in options:
            raise bad_request("a part without `Content-Disposition: form-data; name=...`")
        if self._head.get(b"content-transfer-encoding", b"binary").strip().lower() not in (b"binary", b"8bit", b"7bit"):
            raise bad_request("a part with a Content-Transfer-Encoding; send its bytes as they are")
        self._name = _plain_name(options[b"name"])
        self._bytes, self._sha, self._text = 0, hashlib.sha256(), bytearray()
        if self._name in self.fields or self._name in self.files:
            raise bad_request(f"{self._name} was sent twice")
        is_file = self._name in ("source", "first_frame") or KEY_FRAME.fullmatch(self._name) is not None
        if not is_file and self._name not in self.limits.fields:
            raise bad_request(f"no such field: {self._name!r}; /docs lists them")
        if is_file != (b"filename" in options):
            wanted = "a file; send its bytes, addresses and texts are not fetched" if is_file else "a text and no file"
            raise bad_request(f"{self._name} must be {wanted}")
        if is_file:
            self._file = (self.folder / self._name).open("xb")

    def _take(self, data: bytes, start: int, end: int) -> None:
        self._bytes += end - start
        piece = memoryview(data)[start:end]
        if self._file is None:
            self._limit(self.limits.field_bytes)
            self._text += piece
            return
        self._limit(self.limits.video if self._name == "source" else self.limits.picture)
        self._sha.update(piece)
        self._file.write(piece)

    def _limit(self, most: int) -> None:
        if self._bytes > most:
            raise Refusal(Reason.TOO_LARGE, f"{self._name} has more than {most} bytes, the most that it may have")

    def _end(self) -> None:
        if self._file is None:
            self.fields[self._name] = _plain_text(self._name, bytes(self._text))
            self.check(self._name, self.fields[self._name])
            return
        self.close()
        self.files[self._name] = Received(self.folder / self._name, self._bytes, self._sha.hexdigest())
        if self._bytes == 0:
            raise Refusal(Reason.EMPTY_FILE, f"{self._name} has 0 bytes")
        if len(self.files) - ("source" in self.files) > self.limits.pictures:
            raise bad_request(f"more than {self.limits.pictures} pictures")

    def _over(self) -> None:
        self._done = True


def _plain_name(raw: bytes) -> str:
    name = raw.decode("latin-1")
    if len(raw) > MAX_NAME or not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise bad_request(f"no such field: {name[:MAX_NAME]!r}; /docs lists them")
    return name


def _plain_text(name: str, raw: bytes) -> str:
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise bad_request(f"{name} is no UTF-8 (byte {error.start} is {raw[error.start]:#04x})") from error
    odd = next((char for char in text if (char < " " and char not in "\t\r\n") or char == "\x7f"), None)
    if odd is not None:
        raise bad_request(f"{name} holds the control character {odd!r}")
    return text
