"""The manifest: rows come back as they went in, the same rows give the same bytes, and what is none of ours is refused in words."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from synclora.motion.measure import Measurement
from synclora.pairs.manifest import ROWS_PER_GROUP, SCHEMA, ManifestError, read_rows, write_rows
from tests.report.conftest import measured, row


def rows(count):
    halves = measured(), measured(tint=130)
    return [row(f"n{i:03}", *halves) for i in range(count)]


def test_rows_come_back(tmp_path):
    path, made = tmp_path / "m.parquet", rows(3)
    assert write_rows(path, made) == 3
    back = list(read_rows(path))
    assert [r["name"] for r in back] == ["n000", "n001", "n002"]
    assert set(back[0]) == set(SCHEMA.names)
    assert Measurement.from_row(back[0]["source_motion"]).to_row() == measured().to_row()
    assert back[0]["sync"] == made[0]["sync"]
    assert next(read_rows(path, ["name", "verdict"])) == {"name": "n000", "verdict": "kept"}


def test_the_same_rows_give_the_same_bytes_in_groups(tmp_path):
    made = rows(ROWS_PER_GROUP + 5)
    write_rows(tmp_path / "a", made)
    write_rows(tmp_path / "b", read_rows(tmp_path / "a"))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert pq.ParquetFile(tmp_path / "a").num_row_groups == 2


def test_no_row_holds_a_nan(tmp_path):
    still = measured(tint=130, **dict.fromkeys(("speech", "gaze", "blink")))
    write_rows(tmp_path / "m", [row("still", measured(), still)])
    (back,) = read_rows(tmp_path / "m")
    assert back["sync_speech"] is None
    assert not [value for value in back.values() if isinstance(value, float) and value != value]


def test_an_older_manifest_stays_when_rows_fail(tmp_path):
    path = tmp_path / "m"
    write_rows(path, rows(1))
    before = path.read_bytes()

    def broken():
        yield from rows(2)
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        write_rows(path, broken())
    assert [p.name for p in tmp_path.iterdir()] == ["m"]
    assert path.read_bytes() == before


def test_none_of_ours(tmp_path):
    path = tmp_path / "m"
    with pytest.raises(ManifestError, match=r"run jobs/curate\.py first"):
        list(read_rows(path))
    path.write_bytes(b"words")
    with pytest.raises(ManifestError, match=r"run jobs/curate\.py first"):
        list(read_rows(path))
    pq.write_table(pa.table({"name": ["a"]}), path)
    with pytest.raises(ManifestError, match="another version"):
        list(read_rows(path))
    changed = SCHEMA.set(SCHEMA.get_field_index("sync"), pa.field("sync", pa.float32()))
    pq.write_table(pa.Table.from_pylist([], changed), path)
    with pytest.raises(ManifestError, match="column types"):
        list(read_rows(path))
