import pickle

import pytest

from synclora.errors import SyncLoraError
from synclora.pairs.detect import find_pairs
from synclora.pairs.folders import FolderPairs
from synclora.pairs.sidebyside import SideBySidePairs
from synclora.pairs.table import TablePairs

ROW = '{"video": "edited/a.mp4", "reference_video": "source/a.mp4", "caption": "a hat"}\n'


@pytest.mark.parametrize(
    ("files", "kind", "names"),
    [
        (("source/a.mp4", "edited/a.mp4"), FolderPairs, ["a"]),
        (("m/source.mp4", "m/hat.mp4"), FolderPairs, ["m/hat"]),
        (("m/edited.mp4", "n/b.mp4"), FolderPairs, ["m/edited", "n/b"]),
        (("source.mp4", "hat.mp4", "masks/x.png"), FolderPairs, ["hat"]),
        (("a.mp4", "b.mp4", "notes.txt"), SideBySidePairs, ["a", "b"]),
        (("source/a.mp4", "edited/a.mp4", ("metadata.jsonl", ROW)), TablePairs, ["a"]),
        (("source/a.mp4", "edited/a.mp4", "config.json"), FolderPairs, ["a"]),
    ],
)
def test_what_is_there_decides(tree, files, kind, names):
    root = tree(*files)
    source = find_pairs(str(root))
    assert type(source) is kind
    assert [row.name for row in source.rows()] == names
    assert find_pairs(f"file://{root}").rows() == source.rows()


def test_a_file_decides_by_its_ending(tree):
    root = tree("source/a.mp4", "edited/a.mp4", ("pairs.csv", "video,reference_video\nedited/a.mp4,source/a.mp4\n"), "joined.MOV")
    assert [row.name for row in find_pairs(str(root / "pairs.csv")).rows()] == ["a"]
    assert [row.name for row in find_pairs(str(root / "joined.MOV")).rows()] == ["joined"]


def test_the_default_caption_reaches_every_kind(tree):
    root = tree("source/a.mp4", "edited/a.mp4", ("t.csv", "video,reference_video\nedited/a.mp4,source/a.mp4\n"))
    for given in (root, root / "t.csv", root / "source/a.mp4"):
        assert [row.caption for row in find_pairs(str(given), caption="3d1t").rows()] == ["3d1t"]


def test_layout_settles_what_is_ambiguous(tree):
    root = tree("a.mp4", "m/source.mp4", "m/hat.mp4")
    with pytest.raises(SyncLoraError, match=r"holds videos \('a.mp4'\) and folders of videos \('m'\).*set layout"):
        find_pairs(str(root))
    folders = find_pairs(str(root), layout="folders")
    assert [row.name for row in folders.rows()] == ["m/hat"]
    assert folders.ignored == 1
    assert [row.name for row in find_pairs(str(root), layout="side_by_side").rows()] == ["a", "m/hat", "m/source"]


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ((), "no pairs found"),
        (("readme.md",), "no pairs found"),
        (("source/a.mp4",), "source/ is there without its twin folder"),
        (("x/a.mp4", "x/b.mp4"), "the folder 'x' holds videos, none of them named source.*"),
        (("Source.mp4", "Edited.mp4"), "'Edited.mp4' is named like one half of a pair"),
        (("metadata.csv", "metadata.jsonl"), "holds several tables (metadata.csv, metadata.jsonl)"),
    ],
)
def test_refusals_name_the_value_and_the_remedy(tree, files, says):
    root = tree(*files)
    with pytest.raises(SyncLoraError) as error:
        find_pairs(str(root)).rows()
    assert str(error.value).startswith(f"--input {root}: ")
    assert says in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("given", ["", "nowhere", "http://example.com/a.mp4", "zip::s3://bucket/x", "nosuch://x"])
def test_inputs_that_are_not_there_or_not_read(given, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SyncLoraError, match="--input"):
        find_pairs(given)


def test_an_unreadable_folder_is_one_clear_line_also_for_root(tree):
    root = tree("source/a.mp4", "edited/a.mp4")
    root.chmod(0)
    try:
        with pytest.raises(SyncLoraError, match=r"(?i)--input .*permission denied; give a folder"):
            find_pairs(str(root))
    finally:
        root.chmod(0o755)


@pytest.mark.parametrize(
    ("name", "layout"), [("a.mp4", "folders"), ("a.mp4", "table"), ("a.csv", "side_by_side"), ("a.md", "auto")]
)
def test_files_that_do_not_fit_the_layout(tree, name, layout):
    with pytest.raises(SyncLoraError, match=name):
        find_pairs(str(tree(name) / name), layout=layout)


def test_table_layout_needs_a_table(tree):
    with pytest.raises(SyncLoraError, match=r"no table in it; expected one of metadata\.jsonl"):
        find_pairs(str(tree("source/a.mp4", "edited/a.mp4")), layout="table")


def test_a_source_travels_small_and_reads_the_same_elsewhere(tree):
    root = tree(*(f"{half}/{number}.mp4" for half in ("source", "edited") for number in range(300)), "x.bin")
    for given in (root, root / "source/0.mp4"):
        source = find_pairs(str(given), caption="c")
        rows, ignored = source.rows(), source.ignored
        luggage = pickle.dumps(source)
        assert len(luggage) < 400
        there = pickle.loads(luggage)
        assert (there.rows(), there.ignored) == (rows, ignored)


def test_the_authors_set_lists_in_seconds(tree):
    root = tree()
    for half in ("source", "edited"):
        (root / half).mkdir()
        for number in range(1000):
            (root / half / f"{number:05d}.mp4").touch()
    rows = find_pairs(str(root)).rows()
    assert [row.name for row in rows] == [f"{number:05d}" for number in range(1000)]
