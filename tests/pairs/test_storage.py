import pickle
from dataclasses import replace
from pathlib import Path

import fsspec
import pytest

from synclora.errors import MediaError, Reason, SyncLoraError
from synclora.pairs.base import Pair, View
from synclora.pairs.detect import find_pairs
from synclora.pairs.folders import FolderPairs
from synclora.pairs.storage import _open_with_arrow, fetch, is_remote, local_path, open_filesystem, protocol_of
from synclora.pairs.table import TablePairs


@pytest.fixture
def store():
    """An object store that forgets: folders exist only as parts of names."""
    memory = fsspec.filesystem("memory")
    memory.rm("/", recursive=True) if memory.ls("/") else None
    yield memory
    for path in list(memory.store):
        memory.rm(path)


def fill(store, **files: str) -> None:
    for name, text in files.items():
        store.pipe(f"/set/{name.replace('__', '/').replace('_mp4', '.mp4').replace('_txt', '.txt')}", text.encode())


@pytest.mark.parametrize(
    ("path", "protocol"),
    [
        ("/a/b.mp4", ""),
        ("file:///a", ""),
        ("S3://b/a", "s3"),
        ("/a/x://y", ""),
        ("/a::b.mp4", ""),
        ("zip::s3://a", "zip::s3"),
        ("a b.mp4", ""),
    ],
)
def test_protocols(path, protocol):
    assert protocol_of(path) == protocol
    assert is_remote(path) == (protocol != "")


def test_local_path():
    assert local_path("file:///a/b") == "/a/b"
    assert local_path("/a/file://b") == "/a/file://b"


def test_a_remote_folder_lists_and_fetches(store, tmp_path):
    fill(
        store,
        source__a_mp4="left",
        edited__a_mp4="right",
        edited__a_txt="a hat",
        source__b_mp4="x",
        notes="n",
        deep__er__c_mp4="c",
    )
    source = find_pairs("memory://set", caption="3d1t")
    assert isinstance(source, FolderPairs)
    a, b = source.rows()
    assert (a.name, a.caption, a.source.path) == ("a", "a hat", "memory://set/source/a.mp4")
    assert b.problem is Reason.MISSING_HALF
    assert source.ignored == 2
    there = pickle.loads(pickle.dumps(source)).materialise(a, tmp_path / "scratch")
    assert Path(there.source.path).read_text() == "left"
    assert Path(there.edited.path).read_text() == "right"
    assert (there.name, there.caption) == ("a", "a hat")
    assert source.materialise(b, tmp_path / "scratch") == b
    assert {path.suffix for path in (tmp_path / "scratch").iterdir()} == {".mp4"}


def test_a_remote_side_by_side_video(store, tmp_path):
    fill(store, a_mp4="both", a_txt="a wig", b_mp4="other")
    (row,) = find_pairs("memory://set/a.mp4").rows()
    assert (row.name, row.caption, row.source.half) == ("a", "a wig", "left")
    there = find_pairs("memory://set/a.mp4").materialise(row, tmp_path)
    assert there.source.path == there.edited.path
    assert (there.source.half, there.edited.half) == ("left", "right")
    assert [r.name for r in find_pairs("memory://set").rows()] == ["a", "b"]


def test_a_remote_table_names_its_own_folder_only(store, tmp_path):
    fill(store, source__a_mp4="left", edited__a_mp4="right")
    (tmp_path / "mine.mp4").write_bytes(b"x")
    videos = ["edited/a.mp4", "memory://set/edited/a.mp4", "memory://other/a.mp4", str(tmp_path / "mine.mp4"), "../x.mp4"]
    videos += [f"file://{tmp_path}/mine.mp4", "http://x/a.mp4", "edited/gone.mp4"]
    table = "video,reference_video\n" + "".join(f"{video},source/a.mp4\n" for video in videos)
    store.pipe("/set/metadata.csv", table.encode())
    source = find_pairs("memory://set")
    assert isinstance(source, TablePairs)
    problems = {row.detail.split(":")[0]: row.problem for row in source.rows() if row.problem}
    assert problems == {
        "line 3": Reason.DUPLICATE,
        **{f"line {number}": Reason.OUTSIDE_INPUT for number in (4, 5, 6, 7)},
        "line 8": Reason.BAD_ROW,
    }
    fine, gone = (next(row for row in source.rows() if row.name == name) for name in ("a", "gone"))
    assert Path(source.materialise(fine, tmp_path).edited.path).read_text() == "right"
    with pytest.raises(MediaError) as error:
        source.materialise(gone, tmp_path)
    assert error.value.reason is Reason.MISSING


def test_fetching_again_costs_nothing_until_the_file_changes(store, tmp_path):
    fill(store, a_mp4="first")
    first = Path(fetch("memory://set/a.mp4", tmp_path))
    stamp = first.stat().st_mtime_ns
    assert Path(fetch("memory://set/a.mp4", tmp_path)) == first
    assert first.stat().st_mtime_ns == stamp
    first.write_bytes(b"cut")
    assert Path(fetch("memory://set/a.mp4", tmp_path)).read_text() == "first"
    fill(store, a_mp4="other")
    second = Path(fetch("memory://set/a.mp4", tmp_path))
    assert second != first
    assert second.read_text() == "other"
    assert sorted(tmp_path.iterdir()) == sorted([first, second])


def test_files_of_one_name_do_not_meet(store, tmp_path):
    fill(store, x__a_mp4="same", y__a_mp4="same")
    assert fetch("memory://set/x/a.mp4", tmp_path) != fetch("memory://set/y/a.mp4", tmp_path)


def test_refusals_of_single_files(store, tmp_path):
    fill(store, big_mp4="x" * 1000, folder__a_mp4="x")
    with pytest.raises(MediaError, match=r"too_large: .*1000 bytes, the limit is 999"):
        fetch("memory://set/big.mp4", tmp_path, max_bytes=999)
    with pytest.raises(MediaError, match="missing"):
        fetch("memory://set/none.mp4", tmp_path)
    with pytest.raises(MediaError, match="unreadable"):
        fetch("memory://set/folder", tmp_path)
    with pytest.raises(MediaError, match=r"unreadable: .*http is not read"):
        fetch("http://localhost/a.mp4", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_limit_reaches_the_fetch(store, tmp_path):
    fill(store, a_mp4="x" * 10)
    source = find_pairs("memory://set", max_bytes=9)
    with pytest.raises(MediaError, match="too_large"):
        source.materialise(source.rows()[0], tmp_path)


def test_a_scratch_that_cannot_be_written_is_not_the_videos_fault(store, tmp_path):
    fill(store, a_mp4="x")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(SyncLoraError, match=r"scratch .*give another folder") as error:
        fetch("memory://set/a.mp4", tmp_path / "file")
    assert not isinstance(error.value, MediaError)


def test_a_remote_folder_that_is_not_there(store):
    with pytest.raises(SyncLoraError, match="--input 'memory://nowhere': no such file or folder"):
        find_pairs("memory://nowhere")


def test_a_local_pair_stays_as_it_is(tmp_path):
    pair = Pair("a", View("/x/a.mp4"), View("/x/b.mp4"))
    assert FolderPairs("/x").materialise(pair, tmp_path) is not None
    assert FolderPairs("/x").materialise(pair, tmp_path) == replace(pair)
    assert list(tmp_path.iterdir()) == []


def test_stores_without_a_driver_are_named():
    with pytest.raises(SyncLoraError, match="az://"):
        open_filesystem("az://container/x")


def test_pyarrow_serves_stores_that_fsspec_has_no_driver_for(tmp_path):
    (tmp_path / "source").mkdir()
    (tmp_path / "source/a b.mp4").write_bytes(b"bytes")
    filesystem, inner = _open_with_arrow(f"file://{tmp_path}", "no driver")
    found = filesystem.find(inner, detail=True)
    assert list(found) == [f"{tmp_path}/source/a b.mp4"]
    assert found[f"{tmp_path}/source/a b.mp4"]["size"] == 5
    with filesystem.open(f"{inner}/source/a b.mp4", "rb") as file:
        assert file.read() == b"bytes"
    with pytest.raises(FileNotFoundError):
        filesystem.info(f"{inner}/none.mp4")
