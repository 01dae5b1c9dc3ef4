"""Nobody is on two sides, and who is named exists."""

import json

from synclora.embedded.clips.cache import Index
from synclora.embedded.clips.split import HELD_OUT, VALIDATION, split_of
from tests.embedded.conftest import CLIPS


def test_no_person_is_on_two_sides():
    assert not HELD_OUT.keys() & VALIDATION.keys()
    assert all(reason for reason in (*HELD_OUT.values(), *VALIDATION.values()))
    assert split_of("anyone else") == "train"


def test_who_is_named_is_there_and_three_real_people_are_held_out(portraits):
    manifest = json.loads((portraits / "MANIFEST.json").read_text(encoding="utf-8"))
    everyone = {entry["identity"] for part in ("clips", "pairs", "faces") for entry in manifest[part]}
    assert HELD_OUT.keys() | VALIDATION.keys() <= everyone
    filmed = {entry["identity"] for part in ("clips", "pairs") for entry in manifest[part] if not entry["synthetic"]}
    assert len(HELD_OUT.keys() & filmed) >= 3


def test_items_are_where_their_identity_is(index: Index):
    assert {item.identity: item.split for item in index.items} == CLIPS
    sides = [{item.identity for item in index.of(side)} for side in ("train", "validation", "held_out")]
    assert sum(map(len, sides)) == len(set.union(*sides)) == 3
