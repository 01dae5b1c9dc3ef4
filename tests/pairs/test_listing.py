import os

import pytest

from synclora.errors import Reason, SyncLoraError
from synclora.pairs import listing as room
from synclora.pairs.listing import check_file, hidden, is_within, list_folder, split_name


def test_content_is_sorted_by_kind_and_order(tree):
    root = tree("b.mp4", "a.mov", "a.mp4", "a.txt", "x/c.MKV", "x/y/deep.mp4", "t.csv", "readme", "x/t.csv")
    listing = list_folder(str(root))
    assert [entry.name for entry in listing.videos[""]] == ["a.mp4", "a.mov", "b.mp4"]
    assert [entry.relative for entry in listing.videos["x"]] == ["x/c.MKV"]
    assert list(listing.texts) == [("", "a")]
    assert [entry.name for entry in listing.tables] == ["t.csv"]
    assert listing.total == 9


def test_paths_are_absolute_whatever_was_given(tree, monkeypatch):
    root = tree("a.mp4")
    monkeypatch.chdir(root.parent)
    for given in ("in", "./in/", f"file://{root}"):
        assert list_folder(given).videos[""][0].path == str(root / "a.mp4")


def test_a_linked_input_is_the_users_own(tree, tmp_path):
    tree("a.mp4")
    (tmp_path / "link").symlink_to(tmp_path / "in")
    assert list_folder(str(tmp_path / "link")).videos[""][0].problem is None


def test_a_loop_of_links_ends(tree):
    root = tree("m/a.mp4")
    (root / "m/again").symlink_to(root)
    (root / "self.mp4").symlink_to("self.mp4")
    listing = list_folder(str(root))
    assert [entry.problem for entry in listing.videos[""]] == [Reason.UNREADABLE]
    assert listing.total == 3


@pytest.mark.parametrize(
    ("name", "parts"),
    [("a.MP4", ("a", ".mp4")), ("a.b.mp4", ("a.b", ".mp4")), ("a", ("a", "")), (".mp4", (".mp4", ""))],
)
def test_names_split_at_the_last_dot(name, parts):
    assert split_name(name) == parts


def test_hidden_and_partial():
    assert [hidden(name) for name in (".a", "a.part", "a.mp4.PART", "a.mp4", "part")] == [True, True, True, False, False]


def test_within_does_not_take_a_prefix_for_a_parent():
    assert is_within("/a/b", "/a")
    assert is_within("/a", "/")
    assert not is_within("/ab", "/a")


def test_check_file_says_what_is_wrong(tmp_path):
    (tmp_path / "a").write_bytes(b"123")
    assert check_file(str(tmp_path / "a")).size == 3
    assert check_file(str(tmp_path)).problem is Reason.UNREADABLE
    assert check_file(str(tmp_path / "b")).problem is Reason.MISSING
    assert check_file(str(tmp_path / ("n" * 300))).problem is Reason.UNREADABLE
    (tmp_path / "link").symlink_to("/etc/hostname")
    assert check_file(str(tmp_path / "link"), os.path.realpath(tmp_path)).problem is Reason.OUTSIDE_INPUT


def test_a_folder_without_end_is_refused(tree, monkeypatch):
    monkeypatch.setattr(room, "MAX_FILES", 3)
    with pytest.raises(SyncLoraError, match="more than 3 files"):
        list_folder(str(tree("a.mp4", "b.mp4", "c.mp4", "d.mp4")))
