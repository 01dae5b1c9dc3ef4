"""Reading prompts: the shipped lists are sound, a user's folder adds and replaces, bad rows are told one by one, bad files in one line."""

from pathlib import Path

import pytest

from synclora.errors import SyncLoraError
from synclora.pairs.diffusion.catalogue import DONE, SEEN, SHIPPED, Catalogue, read_catalogue
from synclora.pairs.diffusion.lists import MAX_BYTES, MAX_TEXT, MAX_YAML_BYTES, Entry, PromptsError

KINDS = {"accessory", "hair", "clothes", "make-up", "beard", "background", "lighting", "expression", "object"}


@pytest.fixture(scope="module")
def shipped() -> Catalogue:
    return read_catalogue(None)


def written(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def bad(folder: Path) -> dict[str, str]:
    return {row.name: row.detail for row in read_catalogue(folder).bad}


def texts(entries: tuple[Entry, ...]) -> list[str]:
    return [entry.text for entry in entries]


def test_the_shipped_lists_are_rich_and_have_no_bad_row(shipped):
    assert shipped.bad == ()
    assert set(shipped.edits) == KINDS
    assert all(len(entries) >= 24 for entries in shipped.edits.values())
    assert {name for name in (*SEEN, *DONE) if len(shipped.entries(name)) < 14} == set()
    assert len(shipped.identities) >= 70


def test_shipped_people_are_adults_of_all_kinds(shipped):
    assert not [
        text for text in texts(shipped.identities) if any(word in text.split() for word in ("boy", "girl", "child", "teenager"))
    ]
    assert all(any(age in text for age in ("twenties", "thirties", "forties", "fifties", "sixties", "seventies", "eighties"))
               or "from Texas" in text for text in texts(shipped.identities))  # fmt: skip
    tagged = [{"woman", "man"} & entry.tags for entry in shipped.identities]
    assert all(len(tags) == 1 for tags in tagged)
    assert abs(sum("woman" in tags for tags in tagged) / len(tagged) - 0.5) < 0.05


def test_every_shipped_tag_is_used_consistently(shipped):
    had = set().union(*(entry.tags for name in SEEN for entry in shipped.entries(name)))
    asked = {tag for entries in (*shipped.edits.values(), *map(shipped.entries, DONE)) for entry in entries
             for tag in entry.needs | entry.excludes}  # fmt: skip
    assert asked <= had  # a misspelt `excludes` would never show otherwise
    men = [entry for entry in shipped.identities if "man" in entry.tags]
    assert all(len(entry.tags & {"bearded", "moustache", "shaven"}) == 1 for entry in men)
    assert all(("glasses" in entry.tags) == ("glasses" in entry.text) for entry in shipped.identities)


def test_a_users_folder_adds_replaces_and_makes_a_kind(tmp_path, shipped):
    written(tmp_path, "identities.txt", "a tall man from nowhere in his forties\n\n# a remark\na woman of ninety\n")
    written(tmp_path, "eyes.only.yaml", "- looks at the camera\n")
    written(tmp_path, "edit-tattoo.csv", "text,tags,needs,excludes\nAdd a sleeve tattoo,inked,man,suit; scarf\n")
    written(tmp_path, "edit-hair.jsonl", '{"text": "Dye the hair orange", "excludes": ["bald"]}\n')
    written(tmp_path, "templates.yaml", 'edit-tattoo: "{edit}, please."\n')
    written(tmp_path, "README.md", "my prompts")
    mine = read_catalogue(tmp_path)
    assert mine.bad == ()
    assert texts(mine.identities) == [*texts(shipped.identities), "a tall man from nowhere in his forties", "a woman of ninety"]
    assert texts(mine.eyes) == ["looks at the camera"]
    tattoo = Entry("Add a sleeve tattoo", frozenset({"inked"}), frozenset({"man"}), frozenset({"suit", "scarf"}))
    assert mine.edits["tattoo"] == (tattoo,)
    assert mine.edits["hair"][-1].excludes == {"bald"}
    assert mine.templates["edit-tattoo"] == "{edit}, please."
    assert mine.templates["portrait"] == shipped.templates["portrait"]


def test_bad_rows_are_told_one_by_one_and_the_others_are_used(tmp_path):
    rows = ["- a good one", "- 17", "- no", "-", "- ''", "- [a, b]", "- {text: a, mood: b}", "- {text: with comma, and colon}",
            "- {tags: [x]}", "- {text: tagged, tags: [Big Hat]}", "- {text: tagged, tags: {a: b}}", '- "bell \\a here"',
            '- "right\\u202eleft"', f"- {'x' * (MAX_TEXT + 1)}", '- "?!"', "- A GOOD  one", "- {text: needy, needs: [x]}",
            "- 2026-01-01", "- another good one"]  # fmt: skip
    written(tmp_path, "identities.only.yaml", "\n".join(rows))
    catalogue = read_catalogue(tmp_path)
    assert texts(catalogue.identities) == ["a good one", "another good one"]
    told = {int(row.name.split()[-1]): row.detail for row in catalogue.bad if row.name.startswith("identities")}
    assert sorted(told) == list(range(2, 19))
    words = {2: "found int '17'", 3: "found bool 'no'", 4: "found null", 5: "empty", 6: "found a list", 7: "no field called 'mood'",
             8: "stands in quotes", 9: "found nothing", 10: "'Big Hat' is no tag", 11: "tags: expected", 12: "U+0007", 13: "U+202E",
             14: f"{MAX_TEXT + 1} letters, the limit is {MAX_TEXT}", 15: "no words", 16: "says the same",
             17: "needs and excludes are for edits", 18: "found timestamp"}  # fmt: skip
    assert {line: told[line] for line, word in words.items() if word not in told[line]} == {}
    assert all("\n" not in detail and len(detail) < 300 for detail in told.values())


def test_edits_that_no_scene_can_meet_are_bad_rows(tmp_path):
    written(
        tmp_path, "edit-odd.yaml", "- {text: Polish the horns, needs: [horns]}\n- {text: Do it, excludes: [woman, man]}\n- Fine\n"
    )
    catalogue = read_catalogue(tmp_path)
    assert texts(catalogue.edits["odd"]) == ["Fine"]
    assert [row.detail for row in catalogue.bad] == ["needs 'horns', which no entry has", "no entry of identities suits it"]


def test_own_people_without_tags_leave_out_the_edits_that_need_them(tmp_path, shipped):
    written(tmp_path, "identities.only.txt", "a man with a plain face\n")
    mine = read_catalogue(tmp_path)
    assert set(mine.edits) == KINDS - {"beard"}
    assert mine.bad == ()
    assert {"Remove the glasses", "Shave off the moustache"} < set(mine.unused)
    assert len(mine.unused) + sum(map(len, mine.edits.values())) == sum(map(len, shipped.edits.values()))
    with pytest.raises(PromptsError, match="no edits of kind 'beard'"):
        mine.chosen(("beard",))


def test_rows_of_text_tables_and_lines(tmp_path):
    written(tmp_path, "speech.txt", b"\xef\xbb\xbftalks loudly\nsings \xff\nexplains\tthe rules\n")
    written(tmp_path, "eyes.csv", "tags,text\n,blinks often\nx,y,z\n")
    written(tmp_path, "gestures.jsonl", '{"text": 4}\n"nods"\n{"text": "bows", "needs": 4}\n{"no\n')
    catalogue = read_catalogue(tmp_path)
    assert texts(catalogue.speech)[-2:] == ["talks loudly", "explains the rules"]
    assert texts(catalogue.eyes)[-1] == "blinks often"
    assert {row.name for row in catalogue.bad} == {
        "speech.txt line 2", "eyes.csv line 3", *(f"gestures.jsonl line {line}" for line in (1, 2, 3, 4))
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("edit-hair.yaml", "a: [", "not YAML"),
        ("edit-hair.yaml", b"- \xff\xfe", "not YAML"),
        ("edit-hair.yaml", "a: b", "expected a list of entries"),
        ("edit-hair.yaml", "just a sentence", "expected a list of entries"),
        ("edit-hair.yaml", "[" * 100_000, "not YAML"),
        ("edit-hair.yaml", "- x\n" * (MAX_YAML_BYTES // 4 + 1), f"the limit for .yaml is {MAX_YAML_BYTES}"),
        ("edit-hair.txt", b"x" * (MAX_BYTES + 1), f"the limit for .txt is {MAX_BYTES}"),
        ("edit-hair.txt", b"\0\1\2", "not a text file"),
        ("edit-hair.csv", "prompt\nDye it\n", "no column called text"),
        ("hairs.yaml", "- x", "names are identities"),
        ("edit-Hair.yaml", "- x", "names are identities"),
        ("edit-hair.parquet", "x", "endings .yaml"),
        ("identities.only.yaml", "", "identities has no usable entry"),
        ("edit-hair.only.yaml", "- 3", "edit-hair has no usable entry (first: edit-hair.only.yaml line 1"),
        ("gestures.only.yaml", "- {text: waves, needs: [hands]}", "add one that suits every scene"),
        ("templates.yaml", "portrait: '{identity.__class__} {wardrobe}'", "no field {identity.__class__}"),
        ("templates.yaml", "portrait: '{identity!r}'", "no field {identity}"),
        ("templates.yaml", "portrait: '{identity:>99999999999}'", "no field {identity}"),
        ("templates.yaml", "portrait: '{hat}'", "choose from {framing}, {identity}"),
        ("templates.yaml", "edit: 'Change it'", "lacks {edit}"),
        ("templates.yaml", "performance: '{speech'", "templates: performance: expected"),
        ("templates.yaml", "film: '{speech}'", "no sentence called 'film'"),
        ("templates.yaml", "portrait: 4", "expected text, found int"),
        ("templates.yaml", "- portrait", "expected names and sentences"),
    ],
)
def test_files_that_cannot_be_used_are_one_line(tmp_path, name, content, words):
    written(tmp_path, name, content)
    with pytest.raises(SyncLoraError) as caught:
        read_catalogue(tmp_path)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


def test_a_bomb_of_references_builds_nothing(tmp_path):
    merged = ["- &a0 {text: x}"] + [f"- &a{i + 1} {{<<: [{', '.join([f'*a{i}'] * 9)}]}}" for i in range(30)]
    nested = ["- &b0 [x]"] + [f"- {{text: b{i}, tags: &b{i + 1} [{', '.join([f'*b{i}'] * 9)}]}}" for i in range(30)]
    written(tmp_path, "edit-hair.yaml", "\n".join([*merged, *nested, "- [" + "[" * 50 + "]" * 50 + "]"]))
    assert len(bad(tmp_path)) == 62


@pytest.mark.parametrize("name", ["nowhere", "a-file"])
def test_a_folder_that_is_none(tmp_path, name):
    (tmp_path / "a-file").write_text("x")
    with pytest.raises(PromptsError, match=r"generate\.prompts .*; give a folder of lists"):
        read_catalogue(tmp_path / name)


def test_a_list_that_is_no_regular_file(tmp_path):
    (tmp_path / "edit-hair.yaml").mkdir()
    with pytest.raises(PromptsError, match="not a regular file"):
        read_catalogue(tmp_path)


def test_unknown_kinds_of_a_recipe(shipped):
    assert shipped.chosen(()) == tuple(shipped.edits)
    assert shipped.chosen(("hair", "object", "hair")) == ("hair", "object")
    with pytest.raises(PromptsError, match="no edits of kind 'hat'; choose from accessory"):
        shipped.chosen(("hair", "hat"))


def test_shipped_files_say_how_they_are_written():
    for path in SHIPPED.glob("*.yaml"):
        assert path.read_text().startswith("# "), path
        assert "mechanism: identities.yaml" in path.read_text() or path.stem in ("identities", "templates")
