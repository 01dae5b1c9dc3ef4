import os
from pathlib import Path

import pytest

from synclora.errors import Reason, SyncLoraError
from synclora.pairs.base import Pair, PairSource
from synclora.pairs.folders import FolderPairs


def outcome(rows: list[Pair]) -> dict[str, Reason | None]:
    return {row.name: row.problem for row in rows}


def test_twin_folders(tree):
    root = tree("source/bo.mp4", "source/ana.mp4", "edited/ana.mp4", "edited/bo.mov")
    ana, bo = FolderPairs(str(root), caption="3d1t").rows()
    assert (ana.name, ana.source.path, ana.edited.path) == ("ana", str(root / "source/ana.mp4"), str(root / "edited/ana.mp4"))
    assert ana.source.half == ana.edited.half == "whole"
    assert ana.caption == "3d1t"
    assert bo.edited.path.endswith("edited/bo.mov")
    assert bo.problem is None


def test_every_video_beside_the_source_is_an_edit_of_it(tree):
    root = tree("man/source.mp4", "man/hat.mp4", "man/beard.MP4", "woman/source.mov", "woman/edited.mp4", "woman/edited_2.mp4")
    rows = FolderPairs(str(root)).rows()
    assert [row.name for row in rows] == ["man/beard", "man/hat", "woman/edited", "woman/edited_2"]
    assert {row.source.path for row in rows} == {str(root / "man/source.mp4"), str(root / "woman/source.mov")}
    assert {row.problem for row in rows} == {None}


def test_one_pair_folder_alone(tree):
    root = tree("source.mp4", "hat.mp4", "wig.mp4")
    assert [row.name for row in FolderPairs(str(root)).rows()] == ["hat", "wig"]


def test_the_published_set_reads_as_pair_folders():
    root = Path(__file__).parents[3] / "shared/portraits/pairs"
    if not root.is_dir():
        pytest.skip("the portrait clips are not here")
    rows = FolderPairs(str(root)).rows()
    assert len(rows) == sum(len(list(folder.glob("*.mp4"))) - 1 for folder in root.iterdir() if folder.is_dir())
    assert {row.problem for row in rows} == {None}


def test_caption_beside_the_edited_video(tree):
    texts = (("edited/a.txt", "  a red\n hat "), ("edited/b.txt", " \n"), ("source/c.txt", "not the edited one"))
    root = tree(*(f"{half}/{name}.mp4" for half in ("source", "edited") for name in "abc"), *texts)
    source = FolderPairs(str(root), caption="3d1t")
    assert [row.caption for row in source.rows()] == ["a red hat", "3d1t", "3d1t"]
    assert source.ignored == 1


def test_a_caption_that_cannot_be_read_fails_its_row_only(tree):
    root = tree("m/source.mp4", "m/a.mp4", "m/b.mp4", "m/c.mp4", ("m/b.txt", "x" * 70_000))
    (root / "m/a.txt").write_bytes(b"\xff\xfe\x00")
    rows = FolderPairs(str(root)).rows()
    assert outcome(rows) == {"m/a": Reason.BAD_ROW, "m/b": Reason.BAD_ROW, "m/c": None}
    assert "UTF-8" in rows[0].detail
    assert "70000 bytes" in rows[1].detail


def test_missing_halves(tree):
    root = tree("source/a.mp4", "source/b.mp4", "edited/b.mp4", "edited/c.mp4")
    rows = FolderPairs(str(root)).rows()
    assert outcome(rows) == {"a": Reason.MISSING_HALF, "b": None, "c": Reason.MISSING_HALF}
    assert rows[0].detail == "there is no edited/a.*"
    assert rows[2].detail == "there is no source/c.*"


def test_missing_halves_in_pair_folders(tree):
    root = tree("a/source.mp4", "b/edited.mp4", "c/source.mp4", "c/hat.mp4", "d/hat.mp4")
    expected = {"a": Reason.MISSING_HALF, "b/edited": Reason.MISSING_HALF, "c/hat": None, "d/hat": Reason.MISSING_HALF}
    assert outcome(FolderPairs(str(root)).rows()) == expected


def test_a_source_may_be_missing_everywhere(tree):
    root = tree("a/edited.mp4", "b/edited_1.mp4")
    assert set(outcome(FolderPairs(str(root)).rows()).values()) == {Reason.MISSING_HALF}


def test_duplicate_names_keep_every_row_and_accept_the_first(tree):
    root = tree("source/a.mp4", "edited/a.mov", "edited/a.mp4", "edited/a.webm", "source/a~2.mp4", "edited/a~2.mp4")
    rows = FolderPairs(str(root)).rows()
    assert outcome(rows) == {"a": None, "a~2": None, "a~3": Reason.DUPLICATE, "a~4": Reason.DUPLICATE}
    assert rows[0].edited.path.endswith("edited/a.mp4")
    assert rows[2].edited.path.endswith("edited/a.mov")
    assert "edited/a.mov" in rows[2].detail


def test_duplicates_in_pair_folders(tree):
    root = tree("m/source.mp4", "m/source.mov", "m/hat.mp4", "m/hat.avi")
    rows = FolderPairs(str(root)).rows()
    assert outcome(rows) == {"m/hat": None, "m/hat~2": Reason.DUPLICATE, "m/source": Reason.DUPLICATE}
    assert rows[0].source.path.endswith("source.mp4")


def test_links_out_of_the_input_are_rows_that_are_never_opened(tree, tmp_path):
    root = tree("source/a.mp4", "source/b.mp4", "edited/b.mp4", "source/c.mp4")
    (tmp_path / "secret.mp4").write_bytes(b"x")
    (root / "edited/a.mp4").symlink_to(tmp_path / "secret.mp4")
    (root / "edited/c.mp4").symlink_to("../source/c.mp4")
    rows = FolderPairs(str(root)).rows()
    assert outcome(rows) == {"a": Reason.OUTSIDE_INPUT, "b": None, "c": None}
    assert "a.mp4" in rows[0].detail


def test_a_dangling_link_is_missing(tree):
    root = tree("source/a.mp4", "edited/b.mp4", "source/b.mp4")
    (root / "edited/a.mp4").symlink_to("nowhere.mp4")
    assert outcome(FolderPairs(str(root)).rows()) == {"a": Reason.MISSING, "b": None}


def test_a_linked_folder_that_leads_out_is_one_row(tree, tmp_path):
    root = tree("m/source.mp4", "m/hat.mp4")
    (tmp_path / "other").mkdir()
    (tmp_path / "other/source.mp4").write_bytes(b"x")
    (root / "n").symlink_to(tmp_path / "other")
    assert outcome(FolderPairs(str(root)).rows()) == {"m/hat": None, "n": Reason.OUTSIDE_INPUT}


def test_a_twin_folder_that_leads_out_is_refused(tree, tmp_path):
    root = tree("source/a.mp4")
    (tmp_path / "other").mkdir()
    (root / "edited").symlink_to(tmp_path / "other")
    with pytest.raises(SyncLoraError, match="'edited' is a link out of the input"):
        FolderPairs(str(root)).rows()


def test_an_unreadable_file_is_a_row_also_for_root(tree):
    root = tree("source/a.mp4", "edited/a.mp4")
    (root / "edited/a.mp4").chmod(0)
    (row,) = FolderPairs(str(root)).rows()
    assert row.problem is Reason.UNREADABLE
    assert row.detail == "'a.mp4' may not be read (mode 000)"


def test_a_pipe_is_unreadable(tree):
    root = tree("source/a.mp4", "edited/b.mp4")
    os.mkfifo(root / "edited/a.mp4")
    assert FolderPairs(str(root)).rows()[0].problem is Reason.UNREADABLE


def test_an_unreadable_pair_folder_is_one_row(tree):
    root = tree("m/source.mp4", "m/hat.mp4", "n/source.mp4")
    (root / "n").chmod(0)
    try:
        assert outcome(FolderPairs(str(root)).rows()) == {"m/hat": None, "n": Reason.UNREADABLE}
    finally:
        (root / "n").chmod(0o755)


def test_a_name_that_is_not_utf8_is_a_row_that_a_manifest_can_hold(tree):
    root = tree("source/a.mp4", "edited/a.mp4")
    with open(os.fsencode(root) + b"/source/\xff.mp4", "wb"):  # noqa: PTH123
        pass
    row = next(row for row in FolderPairs(str(root)).rows() if row.name != "a")
    assert row.problem is Reason.UNREADABLE
    assert row.name == r"\xff"
    row.source.path.encode("utf-8")


def test_other_files_are_counted_and_hidden_and_partial_ones_are_not(tree):
    others = ("readme.md", "source/a.json", "source/deep/b.mp4", "masks/a.png")
    unseen = (".DS_Store", "source/.b.mp4", "source/b.mp4.part", ".git/source.mp4")
    source = FolderPairs(str(tree("source/a.mp4", "edited/a.mp4", *others, *unseen)))
    assert [row.name for row in source.rows()] == ["a"]
    assert source.ignored == len(others)


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ((), "no pairs found; expected source/NAME.mp4 with edited/NAME.mp4"),
        (("notes.txt",), "no pairs found"),
        (("source/a.mp4",), "source/ is there without its twin folder"),
        (("edited/a.mp4", "b.mp4"), "edited/ is there without its twin folder"),
        (("source/a.mp4", "edited/a.mp4", "m/source.mp4", "m/a.mp4"), "and the pair folder 'm' as well"),
        (("source.mp4", "hat.mp4", "m/source.mp4", "m/a.mp4"), "a source video and pair folders as well"),
    ],
)
def test_folders_that_are_refused(tree, files, says):
    root = tree(*files)
    with pytest.raises(SyncLoraError) as error:
        FolderPairs(str(root)).rows()
    assert f"--input {root}: " in str(error.value)
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_the_interface(tree, tmp_path):
    source: PairSource = FolderPairs(str(tree("source/a.mp4", "edited/a.mp4")))
    (row,) = source.rows()
    assert source.materialise(row, tmp_path) == row
