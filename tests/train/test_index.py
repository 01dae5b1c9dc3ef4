"""The index: every clip has its row, equal runs have equal bytes, and the counts add up."""

import random
from fractions import Fraction

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from synclora.errors import Reason
from synclora.incontext.positions import Grid
from synclora.train.curated import TrainSetError
from synclora.train.index import Effort, Encoded, EncodeTally, read_index, write_index

FPS = Fraction(24000, 1001)
GRID = Grid.of_video(17, 64, 96, float(FPS))


def usable(pair_id, window=0, outcome="encoded", effort=None):
    return Encoded(
        pair_id,
        f"pair {pair_id}",
        window,
        outcome,
        id=f"{window:016x}",
        bucket="96x64x17",
        first_frame=17 * window,
        fps=FPS,
        grid=GRID,
        effort=effort,
    )


def lost(pair_id, reason=Reason.TOO_SHORT):
    return Encoded(pair_id, f"pair {pair_id}", 0, "dropped", reason=reason, detail="why, in größer words")


ROWS = [usable("b", 10), usable("b", 2), lost("c"), usable("a")]


def test_rows_come_back_sorted_and_what_was_encoded_is_found(tmp_path):
    write_index(tmp_path / "new" / "index.parquet", ROWS)
    found = read_index(tmp_path / "new" / "index.parquet")
    assert found == [usable("a", outcome="found"), usable("b", 2, "found"), usable("b", 10, "found"), lost("c")]
    assert found[0].grid == GRID
    assert found[0].fps == FPS
    assert isinstance(found[3].reason, Reason)


def test_equal_rows_are_equal_bytes_in_whatever_order_and_way_they_came(tmp_path):
    written = set()
    for seed in range(4):
        rows = [usable("b", 10, "found" if seed else "encoded", Effort("w", 34, seed, seed + 1, 0.5)), *ROWS[1:]]
        random.Random(seed).shuffle(rows)
        write_index(tmp_path / "index.parquet", rows)
        written.add((tmp_path / "index.parquet").read_bytes())
    assert len(written) == 1


def test_plain_columns_for_people(tmp_path):
    write_index(tmp_path / "index.parquet", ROWS)
    first, *_, last = pq.read_table(tmp_path / "index.parquet").to_pylist()
    assert first == {
        **{"pair_id": "a", "name": "pair a", "window": 0, "id": "0" * 16, "reason": None, "detail": None, "bucket": "96x64x17"},
        **{"first_frame": 0, "video_frames": 17, "fps": "24000/1001", "seconds": pytest.approx(17 * 1001 / 24000)},
        **{"latent_frames": 3, "latent_height": 2, "latent_width": 3, "stride_t": 8, "stride_s": 32},
    }
    assert (last["reason"], last["detail"], last["id"], last["latent_frames"]) == (
        "too_short",
        "why, in größer words",
        None,
        None,
    )


def test_a_run_that_fails_leaves_the_old_index(tmp_path):
    path = tmp_path / "index.parquet"
    write_index(path, ROWS)
    before = path.read_bytes()

    def failing():
        yield ROWS[0]
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        write_index(path, failing())
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_no_index_is_refused_on_one_line(tmp_path):
    path = tmp_path / "index.parquet"
    for kind in ("missing", "corrupt", "foreign"):
        if kind == "corrupt":
            path.write_bytes(b"PAR1 and no more")
        elif kind == "foreign":
            pq.write_table(pa.table({"video": ["a.mp4"]}), path)
        with pytest.raises(TrainSetError) as error:
            read_index(path)
        assert str(path) in str(error.value)
        assert "encode the set" in str(error.value)
        assert "\n" not in str(error.value)


def test_inputs_are_encoded_and_found_and_dropped():
    rows = [*ROWS, usable("d", outcome="found"), lost("e", Reason.MISSING), lost("f")]
    tally = EncodeTally()
    assert list(tally.counting(rows)) == rows
    assert tally.inputs == len(rows) == 7
    assert tally.usable == 4
    assert tally.first_dropped == ROWS[2]
    assert tally.facts()["Clips"] == "7 = 3 encoded + 1 found + 3 dropped (1 missing, 2 too_short)"


def test_the_rate_is_of_the_wall_clock_and_its_ceiling_of_the_autoencoder():
    tally = EncodeTally()
    efforts = [Effort("one", 100, 10.0, 12.0, 1.0), Effort("two", 100, 10.0, 13.0, 2.0), Effort("one", 100, 12.0, 14.0, 1.0)]
    list(tally.counting([usable("a", k, effort=effort) for k, effort in enumerate(efforts)]))
    # 300 frames in 4 s; alone, one does 200 in 2 s and two 100 in 2 s
    assert tally.facts()["Encoding"].startswith("300 frames, 75 per second, 50% of the 150 ")


def test_a_run_that_found_everything_says_so():
    tally = EncodeTally()
    list(tally.counting([usable("a", outcome="found")]))
    assert tally.facts()["Encoding"] == "nothing: every clip was found"
