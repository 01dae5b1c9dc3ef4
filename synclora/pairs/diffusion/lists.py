"""One file of prompts as its rows: YAML, plain text, CSV or JSON Lines. A row that cannot be used is told, and the others are.

    for where, row in read_rows(Path("prompts/edit-hair.yaml")):
        row                      # Entry("Dye the hair violet", excludes={"covered", "bald"}), or in words why the row is none

How entries and their tags are written: `prompts/identities.yaml`.
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from synclora.errors import SyncLoraError
from synclora.pairs.records import read_records
from synclora.pairs.storage import one_line

MAX_BYTES = 4 * 1024**2
"""Of a file: 24,577 entries, one for every scene of the paper, of 170 letters each."""
MAX_YAML_BYTES = 1024**2
"""Of a YAML file: libyaml took 4 seconds for as much."""
MAX_TEXT = 400
"""Letters of an entry. The text encoders read 512 tokens, of some four letters each, and an entry shares them with six others."""
MAX_TAGS = 32
"""Of a row."""
ENDINGS = (".yaml", ".yml", ".txt", ".csv", ".jsonl")
FIELDS = ("text", "tags", "needs", "excludes")

_TAG = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
_TEXT, _NOTHING = "tag:yaml.org,2002:str", "tag:yaml.org,2002:null"
_JOINERS = "\u200c\u200d"
_UNPRINTABLE = (
    "Cc",
    "Cf",
    "Cs",
    "Co",
    "Cn",
)  # controls, marks of direction and the like, halves of pairs, private and unassigned


class PromptsError(SyncLoraError):
    """A file of prompts, or all of them together, cannot be used."""


@dataclass(frozen=True)
class Entry:
    """One thing that can be asked for.

    Attributes:
        text: the words.
        tags: what is to be seen because of it.
        needs: tags that must be there with it.
        excludes: tags that must not.
    """

    text: str
    tags: frozenset[str] = frozenset()
    needs: frozenset[str] = frozenset()
    excludes: frozenset[str] = frozenset()

    @property
    def key(self) -> str:
        """Equal for entries that say the same."""
        return self.text.casefold()


def read_rows(path: Path) -> Iterator[tuple[str, Entry | str]]:
    """The rows of a list, in their order: where, and the entry, or what is wrong with it.

    Raises:
        PromptsError: the file cannot be read, is too large, or is not what its name says.
    """
    readers = {".yaml": _yaml, ".yml": _yaml, ".txt": _text, ".csv": _table, ".jsonl": _table}
    ending = path.suffix.lower()
    most = MAX_YAML_BYTES if readers[ending] is _yaml else MAX_BYTES
    try:
        size = path.stat().st_size
        if not path.is_file():
            raise PromptsError(f"prompts {path}: not a regular file")
        if size > most:
            raise PromptsError(f"prompts {path}: {size} bytes, the limit for {ending} is {most}; split it, or keep fewer entries")
        for where, fields in readers[ending](path):
            try:
                yield where, _entry(fields)
            except ValueError as error:
                yield where, " ".join(str(error).split())
    except OSError as error:
        raise PromptsError(f"prompts {path}: {one_line(error)}") from error


def read_mapping(path: Path) -> dict[str, str]:
    """A YAML file of names and texts.

    Raises:
        PromptsError: it is something else.
    """
    node = _node(path)
    if not isinstance(node, yaml.MappingNode):
        raise PromptsError(f"prompts {path}: expected names and sentences, as `portrait: Photograph of {{identity}}`")
    try:
        return {_scalar(key): _checked(_scalar(value), most=4 * MAX_TEXT) for key, value in node.value}
    except ValueError as error:
        raise PromptsError(f"prompts {path}: {error}") from error


def _entry(fields: object) -> Entry:
    """Raises ValueError with what is wrong with the row."""
    if isinstance(fields, ValueError):
        raise fields
    if not isinstance(fields, dict):
        return Entry(_checked(fields))
    unknown = [str(name)[:60] for name in fields if name not in FIELDS]
    if unknown:
        raise ValueError(
            f"no field called {unknown[0]!r}, choose from {', '.join(FIELDS)}; a text with a comma or colon stands in quotes"
        )
    return Entry(_checked(fields.get("text")), *(_tags(name, fields.get(name)) for name in FIELDS[1:]))


def _checked(text: object, most: int = MAX_TEXT) -> str:
    if not isinstance(text, str):
        found = "nothing" if text is None else type(text).__name__
        raise ValueError(f"expected text, found {found}; put it in quotes if it is one")
    text = " ".join(text.split())
    if not text:
        raise ValueError("empty")
    if len(text) > most:
        raise ValueError(f"{len(text)} letters, the limit is {most}")
    strange = next((letter for letter in text if unicodedata.category(letter) in _UNPRINTABLE and letter not in _JOINERS), "")
    if strange:
        raise ValueError(f"holds the control character U+{ord(strange):04X}")
    if not any(letter.isalpha() for letter in text):
        raise ValueError(f"{text[:40]!r} has no words")
    return text


def _tags(field: str, value: object) -> frozenset[str]:
    """Tags as a list, or as words in one text. Of what is no word only the type is told: it may be of any size."""
    words = re.split(r"[\s,;]+", value) if isinstance(value, str) else [] if value is None else value
    if not isinstance(words, list):
        raise ValueError(f"{field}: expected a list of words, found {type(value).__name__}")
    words = [word for word in words if word != ""]
    wrong = next((word for word in words if not (isinstance(word, str) and _TAG.fullmatch(word))), None)
    if wrong is not None:
        said = repr(wrong[:40]) if isinstance(wrong, str) else type(wrong).__name__
        raise ValueError(f"{field}: {said} is no tag; small letters, digits and hyphens")
    return frozenset(words)


def _text(path: Path) -> Iterator[tuple[str, object]]:
    """An entry per line; an empty line, and one that starts with #, is none."""
    content = path.read_bytes().removeprefix(b"\xef\xbb\xbf")
    if b"\0" in content:
        raise PromptsError(f"prompts {path}: holds zero bytes; not a text file in UTF-8")
    for number, line in enumerate(content.split(b"\n"), 1):
        if not line.strip() or line.lstrip().startswith(b"#"):
            continue
        try:
            yield f"line {number}", line.decode("utf-8")
        except UnicodeDecodeError:
            yield f"line {number}", ValueError("not UTF-8")


def _table(path: Path) -> Iterator[tuple[str, object]]:
    try:
        records = list(read_records(str(path), FIELDS))
    except SyncLoraError as error:
        raise PromptsError(f"prompts {error}") from error
    if records and not any("text" in record.values for record in records):
        raise PromptsError(f"prompts {path}: no column called text; the columns are {', '.join(FIELDS)}")
    for record in records:
        yield record.where, ValueError(record.problem) if record.problem else record.values


def _yaml(path: Path) -> Iterator[tuple[str, object]]:
    """Read as nodes and not as values: nothing that a file refers to many times is built, and each row has its line."""
    node = _node(path)
    if node is None:
        return
    if not isinstance(node, yaml.SequenceNode):
        raise PromptsError(f"prompts {path}: expected a list of entries (lines that begin with a hyphen), found {_kind(node)}")
    for row in node.value:
        yield f"line {row.start_mark.line + 1}", _row(row)


def _row(row: yaml.Node) -> object:
    try:
        if isinstance(row, yaml.MappingNode):
            return {_scalar(key): _words(value) for key, value in row.value}
        return _scalar(row)
    except ValueError as error:
        return error


def _words(node: yaml.Node) -> Any:
    """A text, a list of texts, or nothing. What is neither is not looked into: references can make it larger than any memory."""
    if isinstance(node, yaml.SequenceNode):
        if len(node.value) > MAX_TAGS:
            raise ValueError(f"{len(node.value)} tags, the limit is {MAX_TAGS}")
        return [item.value if isinstance(item, yaml.ScalarNode) else {} for item in node.value]
    if isinstance(node, yaml.MappingNode):
        return {}
    return _scalar(node) if node.tag != _NOTHING else None


def _scalar(node: yaml.Node) -> str:
    if not isinstance(node, yaml.ScalarNode) or node.tag != _TEXT:
        raise ValueError(f"expected text, found {_kind(node)}; put it in quotes if it is one")
    return str(node.value)


def _kind(node: yaml.Node) -> str:
    if isinstance(node, yaml.CollectionNode):
        return "a list" if isinstance(node, yaml.SequenceNode) else "fields"
    return f"{node.tag.rpartition(':')[2]} {str(node.value)[:40]!r}"


def _node(path: Path) -> yaml.Node | None:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        node: yaml.Node | None = yaml.compose(path.read_text(encoding="utf-8-sig"), Loader=loader)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise PromptsError(f"prompts {path}: not YAML ({one_line(error)})") from error
    return node
