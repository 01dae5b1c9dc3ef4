from synclora.errors import MediaError, Reason
from synclora.pairs.base import Pair, View
from synclora.pairs.listing import Entry
from synclora.pairs.reader import captions, first_problem, unique, with_caption


def pair(name: str) -> Pair:
    return Pair(name, View("a"), View("b"), "3d1t")


def test_names_become_unique_without_taking_a_name_that_is_there():
    names = [row.name for row in unique([pair(name) for name in ("b", "a", "a", "a~2", "a")])]
    assert names == ["a", "a~2", "a~3", "a~4", "b"]


def test_names_do_not_depend_on_anything_but_the_order_given():
    rows = [pair("a"), pair("a").failed(Reason.DUPLICATE, "x")]
    assert [(row.name, row.problem) for row in unique(rows)] == [("a", None), ("a~2", Reason.DUPLICATE)]


def test_a_caption_replaces_the_default_and_a_broken_one_fails_the_row():
    assert with_caption(pair("a"), "a hat").caption == "a hat"
    assert with_caption(pair("a"), None).caption == with_caption(pair("a"), "").caption == "3d1t"
    broken = MediaError(Reason.BAD_ROW, "not text")
    assert with_caption(pair("a"), broken).problem is Reason.BAD_ROW
    earlier = pair("a").failed(Reason.MISSING_HALF, "x")
    assert with_caption(earlier, broken) == earlier


def test_captions_read_on_one_line_and_tell_what_they_cannot(tmp_path):
    (tmp_path / "a.txt").write_text("\ufeffa red\r\n hat ", encoding="utf-8")
    found = captions(
        [
            Entry("x", "a.txt", str(tmp_path / "a.txt"), 10),
            Entry("x", "gone.txt", str(tmp_path / "gone.txt"), 10),
            Entry("", "out.txt", "/out.txt", 10, Reason.OUTSIDE_INPUT, "a link"),
        ]
    )
    assert found["x", "a"] == "a red hat"
    reasons = [caption.reason for caption in found.values() if isinstance(caption, MediaError)]
    assert sorted(reasons) == [Reason.OUTSIDE_INPUT, Reason.UNREADABLE]


def test_the_first_problem_counts():
    fine, bad = Entry("", "a", "a"), Entry("", "b", "b", 0, Reason.MISSING, "gone")
    assert first_problem(fine, bad) == (Reason.MISSING, "gone")
    assert first_problem(fine) is None
