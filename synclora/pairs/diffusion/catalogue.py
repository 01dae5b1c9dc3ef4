"""Everything that can be asked for: the lists of `prompts/`, and the user's own.

    catalogue = read_catalogue(Path("my-prompts"))       # or None for the shipped lists alone
    catalogue.edits["hair"], catalogue.bad

`prompts/identities.yaml` says how the lists are written, and how a user's folder adds to them.
"""

import re
import string
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from synclora.pairs.diffusion.lists import ENDINGS, Entry, PromptsError, read_mapping, read_rows
from synclora.pairs.storage import one_line

SHIPPED = Path(__file__).parent / "prompts"
SEEN = ("identities", "wardrobe", "settings", "framings")
"""Lists whose entries are to be seen in the portrait, and have tags."""
DONE = ("speech", "eyes", "gestures")
"""Lists of what the person does."""
_EDIT = re.compile(r"edit-([a-z][a-z0-9-]{0,29})")
_FIELDS = {"identities": "identity", "wardrobe": "wardrobe", "settings": "setting", "framings": "framing", "gestures": "gesture"}


def field_of(name: str) -> str:
    """What the sentences call an entry of a list."""
    return _FIELDS.get(name, name)


_PORTRAIT = frozenset(map(field_of, SEEN))
_SENTENCES = {"portrait": _PORTRAIT, "edit": frozenset({"edit"}), "performance": _PORTRAIT | frozenset(map(field_of, DONE))}
_MUST = {"portrait": {"identity"}, "edit": {"edit"}, "performance": set(map(field_of, DONE))}


@dataclass(frozen=True)
class BadRow:
    """A row that is not used.

    Attributes:
        name: file and line.
        detail: what is wrong with it, and what would do.
    """

    name: str
    detail: str


@dataclass(frozen=True)
class Catalogue:
    """What scenes are drawn from.

    Attributes:
        identities: who.
        wardrobe: in which clothes.
        settings: where, in which light.
        framings: how in the picture.
        speech: what the mouth does.
        eyes: what the eyes do.
        gestures: what head and hands do.
        edits: instructions by kind.
        templates: the sentences that join them: `portrait`, `edit` and perhaps `edit-KIND`, `performance`.
        bad: rows that are not used.
        unused: shipped edits that go with none of the lists that the user put in the place of the shipped ones.
    """

    identities: tuple[Entry, ...]
    wardrobe: tuple[Entry, ...]
    settings: tuple[Entry, ...]
    framings: tuple[Entry, ...]
    speech: tuple[Entry, ...]
    eyes: tuple[Entry, ...]
    gestures: tuple[Entry, ...]
    edits: Mapping[str, tuple[Entry, ...]]
    templates: Mapping[str, str]
    bad: tuple[BadRow, ...] = ()
    unused: tuple[str, ...] = ()

    def remarks(self) -> list[str]:
        """What who wrote the prompts should know before a run."""
        lines = [f"prompts: {row.name}: {row.detail}; left out" for row in self.bad]
        if self.unused:
            what = f"{len(self.unused)} of the shipped edits go with none of your lists and are left out"
            lines.append(f"prompts: {what} (first: {self.unused[0]})")
        return lines

    def entries(self, name: str) -> tuple[Entry, ...]:
        """A list by its name, one of `SEEN` or `DONE`."""
        found: tuple[Entry, ...] = getattr(self, name)
        return found

    @cached_property
    def _tags(self) -> dict[str, frozenset[str]]:
        """Tags that some entry of a list has."""
        return {name: frozenset[str]().union(*(entry.tags for entry in self.entries(name))) for name in SEEN}

    def suits(self, name: str, entry: Entry, edit: Entry) -> bool:
        """Whether an entry of a list of `SEEN` goes with an edit: nothing that it excludes, and what it needs where any of the list has it."""
        return edit.needs & self._tags[name] <= entry.tags and not entry.tags & edit.excludes

    def chosen(self, kinds: Iterable[str]) -> tuple[str, ...]:
        """The kinds of edits that a recipe asks for, in its order; all of them if it names none.

        Raises:
            PromptsError: there is no such kind.
        """
        names = tuple(dict.fromkeys(kinds)) or tuple(self.edits)
        unknown = [name for name in names if name not in self.edits]
        if unknown:
            raise PromptsError(f"generate.kinds: no edits of kind {unknown[0]!r}; choose from {', '.join(self.edits)}")
        return names


@dataclass
class _Reading:
    """Lists as they fill."""

    lists: dict[str, dict[str, Entry]] = field(default_factory=dict)
    bad: list[BadRow] = field(default_factory=list)
    shipped: set[tuple[str, str]] = field(default_factory=set)

    def entries(self, name: str) -> tuple[Entry, ...]:
        return tuple(self.lists.get(name, {}).values())

    def add(self, name: str, path: Path) -> None:
        ours = self.lists.setdefault(name, {})
        for where, row in read_rows(path):
            problem = row if isinstance(row, str) else _misplaced(name, row)
            if isinstance(row, Entry) and row.key in ours:
                problem = problem or f"{row.text[:60]!r}: an earlier entry says the same"
            if isinstance(row, str) or problem:
                self.bad.append(BadRow(f"{path.name} {where}", problem))
            else:
                ours[row.key] = row
                if path.parent == SHIPPED:
                    self.shipped.add((name, row.key))


def read_catalogue(prompts: Path | None) -> Catalogue:
    """Read the shipped lists and the user's.

    Raises:
        PromptsError: one line on a folder or file that cannot be used, or a list that is left without an entry.
    """
    shipped = _files(SHIPPED)
    own = _files(prompts) if prompts is not None else []
    replaced = {name for name, _, only in own if only}
    reading = _Reading()
    templates = read_mapping(SHIPPED / "templates.yaml")
    for name, path, _ in [file for file in shipped if file[0] not in replaced] + own:
        if name == "templates":
            templates |= read_mapping(path) if path.parent != SHIPPED else {}
        else:
            reading.add(name, path)
    edits = {name.removeprefix("edit-"): reading.entries(name) for name in reading.lists if _EDIT.fullmatch(name)}
    catalogue = Catalogue(
        identities=reading.entries("identities"),
        wardrobe=reading.entries("wardrobe"),
        settings=reading.entries("settings"),
        framings=reading.entries("framings"),
        speech=reading.entries("speech"),
        eyes=reading.entries("eyes"),
        gestures=reading.entries("gestures"),
        edits=edits,
        templates=templates,
        bad=tuple(reading.bad),
    )
    _check(catalogue)
    return _without_unmet(catalogue, reading.shipped)


def _files(folder: Path) -> list[tuple[str, Path, bool]]:
    """Lists in a folder: name, path, and whether it takes the place of what is shipped."""
    try:
        paths = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise PromptsError(f"generate.prompts {folder}: {one_line(error)}; give a folder of lists, or none") from error
    return [_file(path) for path in paths if path.suffix.lower() != ".md"]


def _file(path: Path) -> tuple[str, Path, bool]:
    name, only = path.stem.removesuffix(".only"), path.stem.endswith(".only")
    known = name in (*SEEN, *DONE) or _EDIT.fullmatch(name)
    if name == "templates" and path.suffix == ".yaml":
        return name, path, only
    if not known or path.suffix.lower() not in ENDINGS:
        names = ", ".join((*SEEN, *DONE, "edit-KIND"))
        raise PromptsError(
            f"prompts {path}: not a list of prompts; names are {names}, endings {' '.join(ENDINGS)}, and templates.yaml"
        )
    return name, path, only


def _misplaced(name: str, row: Entry) -> str:
    """What a list does not take; this is what makes sure that every edit finds a scene."""
    if name in SEEN and (row.needs or row.excludes):
        return "needs and excludes are for edits, speech, eyes and gestures"
    if name in DONE and row.tags:
        return "tags are for edits and for what is seen in the portrait"
    return ""


def _without_unmet(catalogue: Catalogue, shipped: set[tuple[str, str]]) -> Catalogue:
    """Without edits that no entry of a list can be joined with; the user's are bad rows, and a kind that has none left is no kind."""
    edits, bad, unused = {}, list(catalogue.bad), []
    for kind, entries in catalogue.edits.items():
        met = []
        for edit in entries:
            if not (why := _unmet(catalogue, edit)):
                met.append(edit)
            elif (f"edit-{kind}", edit.key) in shipped:
                unused.append(edit.text)
            else:
                bad.append(BadRow(f"edit-{kind} {edit.text!r}", why))
        if met:
            edits[kind] = tuple(met)
    if not edits:
        raise PromptsError("prompts: no edit goes with these lists; give identities, wardrobe, settings and framings their tags")
    return replace(catalogue, edits=edits, bad=tuple(bad), unused=tuple(unused))


def _unmet(catalogue: Catalogue, edit: Entry) -> str:
    had = frozenset[str]().union(*(entry.tags for name in SEEN for entry in catalogue.entries(name)))
    if lacking := sorted(edit.needs - had):
        return f"needs {lacking[0]!r}, which no entry has"
    for name in SEEN:
        if not any(catalogue.suits(name, entry, edit) for entry in catalogue.entries(name)):
            return f"no entry of {name} suits it"
    return ""


def _check(catalogue: Catalogue) -> None:
    for name in (*SEEN, *DONE):
        if not catalogue.entries(name):
            raise PromptsError(f"prompts: {name} has no usable entry{_first(catalogue)}")
    for name in DONE:
        if all(entry.needs or entry.excludes for entry in catalogue.entries(name)):
            raise PromptsError(f"prompts: every entry of {name} needs or excludes something; add one that suits every scene")
    for kind, entries in catalogue.edits.items():
        if not entries:
            raise PromptsError(f"prompts: edit-{kind} has no usable entry{_first(catalogue)}")
    for name, sentence in catalogue.templates.items():
        _check_sentence(name, sentence)


def _first(catalogue: Catalogue) -> str:
    return f" (first: {catalogue.bad[0].name}: {catalogue.bad[0].detail})" if catalogue.bad else ""


def _check_sentence(name: str, sentence: str) -> None:
    """A sentence names its fields and nothing else: no attributes, no formats."""
    of = "edit" if _EDIT.fullmatch(name) else name
    if of not in _SENTENCES:
        raise PromptsError(f"prompts: templates: no sentence called {name!r}; choose from portrait, edit, edit-KIND, performance")
    try:
        parts = [part[1:] for part in string.Formatter().parse(sentence) if part[1] is not None]
    except ValueError as error:
        raise PromptsError(f"prompts: templates: {name}: {error}") from error
    names = {str(part[0]) for part in parts}
    if unknown := sorted(names - _SENTENCES[of]) or [str(part[0]) for part in parts if part[1] or part[2]]:
        allowed = ", ".join(f"{{{field}}}" for field in sorted(_SENTENCES[of]))
        raise PromptsError(f"prompts: templates: {name}: no field {{{unknown[0]}}}; choose from {allowed}")
    if missing := sorted(_MUST[of] - names):
        raise PromptsError(f"prompts: templates: {name}: lacks {{{missing[0]}}}")
