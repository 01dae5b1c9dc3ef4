"""One scene of a set: a pure function of the seed, its number and the catalogue, whatever the order or the process.

    scene(17, settings, catalogue).instruction

Kinds are balanced: of K kinds, each block of K scenes has one of each, in an order of its own. Within a kind all edits come once before
one comes again. People, clothes, settings and the rest go round in the same way, and who does not suit the edit is passed over.
"""

import hashlib
import string
from collections.abc import Callable, Sequence
from functools import lru_cache, partial

from synclora.pairs.diffusion.catalogue import DONE, SEEN, Catalogue, field_of
from synclora.pairs.diffusion.lists import Entry
from synclora.pairs.diffusion.settings import GenerateSettings
from synclora.pairs.diffusion.take import Scene

_SEED_BYTES = 6
"""Seeds pass through JSON, whose numbers are exact up to 53 bits."""


def scene(number: int, settings: GenerateSettings, catalogue: Catalogue) -> Scene:
    """Everything that is asked of the three models.

    Args:
        number: of the scene, from 0.
        settings: seed and kinds of the edits.
        catalogue: what is drawn from.

    Raises:
        PromptsError: the recipe asks for a kind of edit that the catalogue does not have.
    """
    seed, kinds = settings.seed, catalogue.chosen(settings.kinds)
    block, place = divmod(number, len(kinds))
    kind = kinds[_order(len(kinds), seed, "kinds", block)[place]]
    edit = _going_round(catalogue.edits[kind], block, seed, f"edit-{kind}")
    drawn: dict[str, Entry] = {}
    for name in SEEN:
        suits = partial(catalogue.suits, name, edit=edit)
        drawn[name] = _going_round(catalogue.entries(name), number, seed, name, suits)
    tags = edit.tags.union(*(entry.tags for entry in drawn.values()))
    for name in DONE:
        drawn[name] = _going_round(catalogue.entries(name), number, seed, name, partial(_possible, tags=tags))
    words = {field_of(name): entry.text for name, entry in drawn.items()}
    return Scene(
        number=number,
        portrait=_sentence(catalogue.templates["portrait"], words),
        kind=kind,
        instruction=_sentence(catalogue.templates.get(f"edit-{kind}", catalogue.templates["edit"]), {"edit": edit.text}),
        performance=_sentence(catalogue.templates["performance"], words),
        seed=int.from_bytes(_digest(_SEED_BYTES, seed, "scene", number), "big"),
        edit=edit.text,
    )


def _possible(entry: Entry, tags: frozenset[str]) -> bool:
    """Whether what the person does goes with what is to be seen."""
    return entry.needs <= tags and not entry.excludes & tags


def _going_round(
    entries: Sequence[Entry], number: int, seed: int, name: str, suits: Callable[[Entry], bool] = lambda _: True
) -> Entry:
    """The entry whose turn it is: all come once, in an order that changes from round to round. One that does not suit is passed over."""
    turn, place = divmod(number, len(entries))
    order = _order(len(entries), seed, name, turn)
    return next(entries[index] for index in order[place:] + order[:place] if suits(entries[index]))


@lru_cache(maxsize=1024)
def _order(count: int, seed: int, name: str, turn: int) -> tuple[int, ...]:
    """A permutation that is the same on every machine and in every version of Python."""
    keys = _digest(8 * count, seed, name, turn)
    return tuple(sorted(range(count), key=lambda index: keys[8 * index : 8 * index + 8]))


def _digest(length: int, *parts: int | str) -> bytes:
    return hashlib.shake_128("\0".join(map(str, parts)).encode()).digest(length)


def _sentence(template: str, words: dict[str, str]) -> str:
    """The template with its fields filled in; a field that begins a sentence begins with a capital letter, and brings no full stop."""
    text = ""
    for before, name in _parts(template):
        text += before
        if name is not None:
            word = words[name].rstrip(". ")
            begins = not text.strip() or text.rstrip()[-1] in ".!?"
            text += word[:1].upper() + word[1:] if begins else word
    return text


@lru_cache(maxsize=64)
def _parts(template: str) -> tuple[tuple[str, str | None], ...]:
    return tuple((before, name) for before, name, _, _ in string.Formatter().parse(template))
