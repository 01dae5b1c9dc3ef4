import json
import tracemalloc

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from synclora.errors import SyncLoraError
from synclora.pairs.records import MAX_LINE, Record, parquet_columns, read_records

WANTED = ("video", "caption")


def test_only_the_wanted_columns_come(tmp_path):
    path = tmp_path / "t.jsonl"
    path.write_text('{"video": "a", "other": 1}\n\n{"caption": "x"}')
    assert list(read_records(str(path), WANTED)) == [Record("line 1", {"video": "a"}), Record("line 3", {"caption": "x"})]


def test_lines_are_counted_as_an_editor_counts_them(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text('video,caption\n"a","two\nlines"\n\nb,c\n')
    assert [record.where for record in read_records(str(path), WANTED)] == ["line 2", "line 5"]


def test_a_long_file_streams(tmp_path):
    path = tmp_path / "t.jsonl"
    line = json.dumps({"video": "a", "caption": "c" * 1000}) + "\n"
    path.write_text(line * 20_000)
    tracemalloc.start()
    try:
        assert sum(1 for _ in read_records(str(path), WANTED)) == 20_000
        assert tracemalloc.get_traced_memory()[1] < 10 * MAX_LINE < path.stat().st_size
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", ["t.csv", "t.jsonl"])
def test_a_line_without_end_is_refused(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(b"x" * (3 * MAX_LINE))
    with pytest.raises(SyncLoraError, match="line 1 is longer than"):
        list(read_records(str(path), WANTED))


def test_a_parquet_file_that_ends_early_is_one_line(tmp_path):
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"video": [str(number) for number in range(10_000)]}), path)
    assert parquet_columns(str(path)) == {"video"}
    whole = path.read_bytes()
    path.write_bytes(whole[:100] + b"\0" * 2000 + whole[2100:])
    with pytest.raises(SyncLoraError, match=r"table .*t\.parquet: "):
        list(read_records(str(path), WANTED))
    path.write_bytes(whole[:-10])
    assert parquet_columns(str(path)) == set()
