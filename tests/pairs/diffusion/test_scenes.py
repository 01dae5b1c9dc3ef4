"""Scenes: a pure function of seed and number, balanced by kind, all different, and never against an entry's needs and excludes."""

import hashlib
import json
import random
from collections import Counter
from dataclasses import asdict
from itertools import chain

import pytest

from synclora.pairs.diffusion.catalogue import DONE, SEEN, Catalogue, read_catalogue
from synclora.pairs.diffusion.lists import Entry, PromptsError
from synclora.pairs.diffusion.scenes import scene
from synclora.pairs.diffusion.settings import GenerateSettings
from synclora.pairs.diffusion.take import Scene

PAPER = 24_577
"""Scenes that the paper's authors made."""
SETTINGS = GenerateSettings()


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return read_catalogue(None)


@pytest.fixture(scope="module")
def scenes(catalogue) -> list[Scene]:
    return [scene(number, SETTINGS, catalogue) for number in range(PAPER)]


def fingerprint(scenes: list[Scene]) -> str:
    return hashlib.sha256(json.dumps([asdict(scene) for scene in scenes]).encode()).hexdigest()[:16]


def test_the_first_hundred_are_what_they_always_were(scenes):
    """Another value means that every set made with the shipped lists is another: change it only when that is meant."""
    assert fingerprint(scenes[:100]) == "009e2b2f2182be52"


def test_neither_order_nor_what_was_drawn_before_matters(scenes, catalogue):
    numbers = random.Random(1).sample(range(PAPER), 300)
    assert [scene(number, SETTINGS, catalogue) for number in numbers] == [scenes[number] for number in numbers]


def test_another_seed_makes_other_scenes(scenes, catalogue):
    other = [scene(number, GenerateSettings(seed=1), catalogue) for number in range(200)]
    assert not {one.seed for one in other} & {one.seed for one in scenes}
    assert len({one.portrait for one in other} & {one.portrait for one in scenes[:200]}) == 0


def test_every_block_has_every_kind_once(scenes, catalogue):
    kinds = len(catalogue.edits)
    blocks = [scenes[start : start + kinds] for start in range(0, PAPER - kinds + 1, kinds)]
    assert all({one.kind for one in block} == set(catalogue.edits) for block in blocks)
    assert len({tuple(one.kind for one in block) for block in blocks[:50]}) > 40  # in an order of its own
    counts = Counter(one.kind for one in scenes)
    assert max(counts.values()) - min(counts.values()) <= 1


def test_kinds_of_the_recipe_alone(catalogue):
    some = GenerateSettings(kinds=("hair", "object"))
    assert Counter(scene(number, some, catalogue).kind for number in range(40)) == {"hair": 20, "object": 20}
    with pytest.raises(PromptsError, match="no edits of kind 'hat'"):
        scene(0, GenerateSettings(kinds=("hat",)), catalogue)


def test_edits_of_a_kind_all_come_before_one_comes_again(scenes, catalogue):
    for kind, edits in catalogue.edits.items():
        instructions = [one.instruction for one in scenes if one.kind == kind]
        rounds = [instructions[start : start + len(edits)] for start in range(0, len(instructions) - len(edits), len(edits))]
        assert all(len(set(turn)) == len(edits) for turn in rounds)
        assert rounds[0] != rounds[1]


def test_as_many_scenes_as_the_paper_are_all_different(scenes):
    assert len({(one.portrait, one.instruction, one.performance) for one in scenes}) == PAPER
    assert len({one.portrait for one in scenes}) > 0.99 * PAPER
    assert len({one.seed for one in scenes}) == PAPER
    assert max(one.seed for one in scenes) < 2**53


def test_a_small_set_hardly_repeats_a_person(scenes, catalogue):
    people = [person(one, catalogue) for one in scenes]
    assert len(set(people[:64])) >= 48
    counts = Counter(people)
    assert len(counts) == len(catalogue.identities)
    assert max(counts.values()) < 2 * min(counts.values())
    women = sum("woman" in who.tags for who in people) / PAPER
    assert 0.43 < women < 0.57  # beards are men's, a ninth of all


def test_no_constraint_is_ever_broken(scenes, catalogue):
    for one in scenes[:3000]:
        seen = [found(one.portrait, catalogue.entries(name)) for name in SEEN]
        edit = found(one.instruction, catalogue.edits[one.kind])
        tags = set(chain.from_iterable(entry.tags for entry in seen))
        assert edit.needs <= tags, one
        assert not edit.excludes & tags, one
        for name in DONE:
            done = found(one.performance, catalogue.entries(name))
            assert done.needs <= tags, one
            assert not done.excludes & tags, one


def test_beards_are_grown_and_shaved_where_they_can_be(scenes, catalogue):
    """The words themselves, not the tags."""
    for one in (one for one in scenes if one.kind == "beard"):
        who = person(one, catalogue).text
        assert "woman" not in who
        assert ("clean-shaven" in who) == one.instruction.startswith("Add"), one


def test_what_an_edit_brings_is_kept_from_a_gesture(catalogue):
    only = {"hat": (Entry("Add a hat", frozenset({"hat"})),)}
    gestures = (Entry("scratches the head", excludes=frozenset({"hat"})), Entry("nods"))
    mine = Catalogue(**{name: catalogue.entries(name) for name in (*SEEN, "speech", "eyes")}, gestures=gestures, edits=only,
                     templates=catalogue.templates)  # fmt: skip
    assert all("nods" in scene(number, SETTINGS, mine).performance for number in range(20))


def test_sentences_read_well(scenes):
    for one in scenes[:2000]:
        for text in (one.portrait, one.instruction, one.performance):
            assert "{" not in text
            assert ".." not in text
            assert "  " not in text
            assert all(part[:1].isupper() for part in text.split(". ") if part)
            assert len(text) < 1500  # 512 tokens of some four letters, with room


def test_sentences_ask_for_what_the_pairs_need(scenes):
    for one in scenes[:200]:
        assert "same framing" in one.instruction
        assert "identity" in one.instruction
        assert "pose" in one.instruction
        assert one.instruction.count("facial expression") == (one.kind != "expression")
        assert "Static camera" in one.performance
        assert "exactly the same motion at the same moment" in one.performance


def person(one: Scene, catalogue: Catalogue) -> Entry:
    """Who a portrait's prompt begins with."""
    return next(entry for entry in catalogue.identities if one.portrait.startswith(f"Photograph of {entry.text}, wearing"))


def found(text: str, entries: tuple[Entry, ...]) -> Entry:
    """The entry that a sentence holds; of two, one within the other, the longer."""
    lower = text.lower()
    return max((entry for entry in entries if entry.text.lower() in lower), key=lambda entry: len(entry.text))
