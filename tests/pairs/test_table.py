import json
import os

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from synclora.errors import Reason, SyncLoraError
from synclora.pairs.detect import find_pairs
from synclora.pairs.table import TablePairs

HALVES = ("source/a.mp4", "edited/a.mp4", "source/b.mp4", "edited/b.mp4")


def lines(*rows: object) -> str:
    return "".join(row + "\n" if isinstance(row, str) else json.dumps(row) + "\n" for row in rows)


def row(name: str, **more: object) -> dict[str, object]:
    return {"video": f"edited/{name}.mp4", "reference_video": f"source/{name}.mp4", "caption": f"cap {name}", **more}


def table(tree, *rows: object, name: str = "metadata.jsonl", files: tuple[str, ...] = HALVES) -> TablePairs:
    return TablePairs(str(tree(*files, (name, lines(*rows))) / name), caption="3d1t")


@pytest.mark.parametrize("name", ["t.csv", "t.jsonl", "t.json", "list.json", "t.parquet"])
def test_every_format_reads_the_same(tree, name):
    rows = [row("b", fps=25, source="other"), row("a", fps=25, source="else")]
    root = tree(*HALVES)
    if name == "t.parquet":
        pq.write_table(pa.Table.from_pylist(rows), root / name)
    elif name == "t.csv":
        head = ",".join(rows[0])
        tree((name, "\ufeff" + head + "\r\n" + "\r\n".join(",".join(map(str, r.values())) for r in rows) + "\r\n\r\n"))
    else:
        tree((name, json.dumps(rows, indent=1) if name == "list.json" else lines(*rows)))
    a, b = TablePairs(str(root / name)).rows()
    assert (a.name, a.caption, a.problem) == ("a", "cap a", None)
    assert (a.source.path, a.edited.path) == (str(root / "source/a.mp4"), str(root / "edited/a.mp4"))
    assert b.name == "b"


def test_the_trainers_names_do_as_well(tree):
    source = table(tree, {"media_path": "edited/a.mp4", "reference_path": "source/a.mp4", "caption": None})
    (found,) = source.rows()
    assert (found.name, found.caption, found.problem) == ("a", "3d1t", None)


def test_our_own_output_is_read_by_its_table(tree):
    root = tree(*HALVES, ("metadata.jsonl", lines(row("a"), row("b"))), "manifest.parquet")
    source = find_pairs(str(root))
    assert [(found.name, found.caption) for found in source.rows()] == [("a", "cap a"), ("b", "cap b")]


def test_the_one_parquet_table_of_a_folder(tree):
    root = tree(*HALVES)
    pq.write_table(pa.Table.from_pylist([row("a")]), root / "train.parquet")
    pq.write_table(pa.table({"x": [1]}), root / "other.parquet")
    assert [found.caption for found in find_pairs(str(root)).rows()] == ["cap a"]
    pq.write_table(pa.Table.from_pylist([row("b")]), root / "test.parquet")
    with pytest.raises(SyncLoraError, match=r"several tables \(test.parquet, train.parquet\)"):
        find_pairs(str(root))


def test_missing_files(tree):
    gone = row("gone")
    source = table(tree, row("a"), row("b", reference_video="source/no.mp4"), gone, row("c", reference_video="source/a.mp4"))
    assert {r.name: r.problem for r in source.rows()} == {
        "a": None,
        "b": Reason.MISSING_HALF,
        "c": Reason.MISSING_HALF,
        "gone": Reason.MISSING,
    }
    assert next(r for r in source.rows() if r.name == "b").detail == "line 2: 'no.mp4': no such file"


def test_bad_rows_name_their_line(tree):
    deep = "[" * 100_000
    bad = ['{"video": ', "[1]", deep, {"video": "edited/a.mp4"}, row("a", video=3), row("a", caption=["x"]), row("a", video=" ")]
    bad += [row("a", video="edited/\0.mp4"), row("a", caption="\ud800")]
    source = table(tree, row("b"), "", *bad)
    failed = {r.detail.split(":")[0]: r for r in source.rows() if r.problem}
    assert set(failed) == {f"line {number}" for number in range(3, 3 + len(bad))}
    assert {r.problem for r in failed.values()} == {Reason.BAD_ROW}
    assert failed["line 3"].name == "metadata line 3"
    assert "not JSON" in failed["line 3"].detail
    assert "reference_video: expected text, found nothing" in failed["line 6"].detail
    assert "video: expected text, found int '3'" in failed["line 7"].detail
    for found in source.rows():
        f"{found.name}{found.source.path}{found.edited.path}{found.caption}{found.detail}".encode()


def test_bad_rows_of_a_csv(tree):
    bad = "edited/a.mp4,source/a.mp4,a hat, red\nedited/b.mp4\n\n"
    fine = '"edited/b.mp4",source/b.mp4,"a\nb, c"\n'
    root = tree(*HALVES, ("t.csv", f"video,reference_video,caption\n{bad}{fine}"))
    rows = TablePairs(str(root / "t.csv")).rows()
    assert [(r.name, r.problem) for r in rows] == [("b", None), ("t line 2", Reason.BAD_ROW), ("t line 3", Reason.BAD_ROW)]
    assert rows[0].caption == "a b, c"
    assert rows[1].detail == "line 2: 4 cells under 3 columns; put text with commas in quotes"


def test_a_csv_row_that_is_not_utf8_fails_alone(tree):
    root = tree(*HALVES)
    (root / "t.csv").write_bytes(
        b"video,reference_video,caption\nedited/a.mp4,source/a.mp4,caf\xe9\nedited/b.mp4,source/b.mp4,x\n"
    )
    assert [(r.name, r.problem) for r in TablePairs(str(root / "t.csv")).rows()] == [("a", Reason.BAD_ROW), ("b", None)]


def test_bad_values_of_a_parquet_table(tree):
    root = tree(*HALVES)
    columns = {
        "video": ["edited/a.mp4", None, "edited/b.mp4"],
        "reference_video": ["source/a.mp4", "source/b.mp4", "source/b.mp4"],
    }
    pq.write_table(pa.table(columns | {"caption": [1, 2, None]}), root / "t.parquet")
    rows = TablePairs(str(root / "t.parquet")).rows()
    assert [(r.problem, r.detail[:22]) for r in rows] == [
        (Reason.BAD_ROW, "row 1: column caption:"),
        (None, ""),
        (Reason.BAD_ROW, "row 2: column video: e"),
    ]


def test_the_same_video_twice(tree):
    source = table(tree, row("a"), row("a", caption="again"), row("b"), row("b", video="./edited/../edited/b.mp4"))
    rows = source.rows()
    assert [(r.name, r.problem) for r in rows] == [("a", None), ("a~2", Reason.DUPLICATE), ("b", None), ("b~2", Reason.DUPLICATE)]
    assert rows[1].detail.startswith("line 2: an earlier row has the same video")


def test_names_alike_of_different_videos_are_no_duplicates(tree):
    source = table(tree, row("a"), row("a", video="edited/a.mov"), files=(*HALVES, "edited/a.mov"))
    assert [(r.name, r.problem) for r in source.rows()] == [("a", None), ("a~2", None)]


def test_paths_that_leave_the_folder(tree, tmp_path):
    (tmp_path / "out.mp4").write_bytes(b"x")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/a.mp4").write_bytes(b"x")
    root = tree(*HALVES)
    (root / "link.mp4").symlink_to(tmp_path / "out.mp4")
    (root / "folder").symlink_to(tmp_path / "elsewhere")
    (root / "fine.mp4").symlink_to("edited/b.mp4")
    refused = ["../out.mp4", "edited/../../out.mp4", "link.mp4", "folder/a.mp4", "file://../out.mp4"]
    rows = table(tree, *(row("a", video=video) for video in refused), row("a", video="fine.mp4")).rows()
    assert sorted(r.problem or "" for r in rows) == ["", *[Reason.OUTSIDE_INPUT] * len(refused)]


def test_absolute_paths_of_a_local_table_are_followed(tree, tmp_path):
    (tmp_path / "out.mp4").write_bytes(b"x")
    root = tree(*HALVES)
    rows = table(tree, row("a", video=str(tmp_path / "out.mp4")), row("b", video=f"file://{root}/edited/b.mp4")).rows()
    assert [r.problem for r in rows] == [None, None]
    assert {r.edited.path for r in rows} == {str(tmp_path / "out.mp4"), str(root / "edited/b.mp4")}
    assert "b" in {r.name for r in rows}


@pytest.mark.parametrize("video", ["http://x.org/a.mp4", "HTTPS://x.org/a.mp4", "ftp://x/a.mp4", "zip::s3://a/b.mp4", "data://x"])
def test_web_addresses_are_refused(tree, video):
    (found,) = table(tree, row("a", video=video)).rows()
    assert found.problem is Reason.BAD_ROW
    assert "not fetched" in found.detail


def test_store_addresses_of_a_local_table_are_the_users_own(tree):
    (found,) = table(tree, row("a", video="s3://bucket/x/a.mp4")).rows()
    assert (found.problem, found.edited.path, found.name) == (None, "s3://bucket/x/a.mp4", "bucket/x/a")


def test_unreadable_files_and_tables(tree):
    source = table(tree, row("a"), row("b"))
    root = tree()
    (root / "edited/a.mp4").chmod(0)
    assert [r.problem for r in source.rows()] == [Reason.UNREADABLE, None]
    (root / "metadata.jsonl").chmod(0)
    with pytest.raises(SyncLoraError, match="may not be read"):
        find_pairs(str(root / "metadata.jsonl")).rows()


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("t.csv", b"", "empty table"),
        ("t.csv", b"a,b\n1,2\n", "it needs columns video or media_path, and reference_video or reference_path"),
        ("t.csv", b"video,caption\nedited/a.mp4,x\n", "it needs columns"),
        ("t.jsonl", b'{"text": "x"}\n', "it needs columns"),
        ("t.jsonl", os.urandom(3000), "it needs columns"),
        ("t.csv", b"x" * 3_000_000, "longer than"),
        ("t.json", b"[1,", "not JSON"),
        ("t.json", b"[]", "empty table"),
        ("t.parquet", b"PAR1 no", "table "),
        ("t.parquet", b"", "table "),
    ],
)
def test_files_that_are_no_tables_are_one_line(tree, name, content, says):
    root = tree()
    (root / name).write_bytes(content)
    with pytest.raises(SyncLoraError) as error:
        find_pairs(str(root / name)).rows()
    assert says in str(error.value)
    assert name in str(error.value)
    assert "\n" not in str(error.value)


def test_a_long_table_reads_in_order(tree):
    source = table(tree, *(row("a", video=f"edited/{number:05d}.mp4") for number in range(10_000)))
    rows = source.rows()
    assert [r.name for r in rows[:3]] == ["00000", "00001", "00002"]
    assert len(rows) == 10_000


def test_one_video_in_every_row_of_a_long_table(tree):
    rows = table(tree, *[row("a")] * 10_000).rows()
    assert sum(r.problem is Reason.DUPLICATE for r in rows) == 9_999
    assert len({r.name for r in rows}) == 10_000
