import pytest

from synclora.errors import Reason, SyncLoraError
from synclora.pairs.base import View
from synclora.pairs.sidebyside import SideBySidePairs


def test_a_folder_of_videos(tree):
    root = tree("b.mp4", "a.mp4", ("a.txt", "a hat"), "notes.md", "c.mp4.part", ".d.mp4")
    source = SideBySidePairs(str(root), caption="3d1t")
    a, b = source.rows()
    assert (a.name, a.source, a.edited) == ("a", View(str(root / "a.mp4"), "left"), View(str(root / "a.mp4"), "right"))
    assert (a.caption, b.caption) == ("a hat", "3d1t")
    assert source.ignored == 1


def test_subfolders_are_part_of_the_name(tree):
    root = tree("x/a.mp4", "y/a.mp4", ("y/a.txt", "a wig"))
    assert [(row.name, row.caption) for row in SideBySidePairs(str(root)).rows()] == [("x/a", ""), ("y/a", "a wig")]


def test_one_video_with_the_caption_beside_it(tree):
    root = tree("ana.webm", ("ana.txt", "a hat"), "other.mp4")
    source = SideBySidePairs(str(root / "ana.webm"))
    (row,) = source.rows()
    assert (row.name, row.caption, row.problem, source.ignored) == ("ana", "a hat", None, 0)
    assert row.source == View(str(root / "ana.webm"), "left")


def test_one_video_may_be_a_link_and_its_path_may_be_relative(tree, tmp_path, monkeypatch):
    root = tree("a.mp4")
    (tmp_path / "link.mp4").symlink_to(root / "a.mp4")
    monkeypatch.chdir(tmp_path)
    (row,) = SideBySidePairs("link.mp4").rows()
    assert row.problem is None
    assert row.source.path == str(tmp_path / "link.mp4")


def test_the_same_stem_twice(tree):
    rows = SideBySidePairs(str(tree("a.mov", "a.mp4"))).rows()
    assert [(row.name, row.problem) for row in rows] == [("a", None), ("a~2", Reason.DUPLICATE)]
    assert rows[0].source.path.endswith("a.mp4")


def test_what_must_not_be_opened(tree, tmp_path):
    root = tree("a.mp4", "b.mp4")
    (tmp_path / "out.mp4").write_bytes(b"x")
    (root / "c.mp4").symlink_to(tmp_path / "out.mp4")
    (root / "b.mp4").chmod(0)
    rows = SideBySidePairs(str(root)).rows()
    assert [row.problem for row in rows] == [None, Reason.UNREADABLE, Reason.OUTSIDE_INPUT]


def test_a_folder_without_videos_is_refused(tree):
    with pytest.raises(SyncLoraError, match="no pairs found; expected videos"):
        SideBySidePairs(str(tree("a.txt"))).rows()
