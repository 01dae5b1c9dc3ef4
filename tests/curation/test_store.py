"""Ids made of content, measurements that are whole or not there."""

import os

import numpy as np
import pytest

from synclora.curation.store import MeasurementStore, pair_id, unread_pair_id, view_id
from synclora.errors import MediaError, Reason
from synclora.pairs.base import Pair, View
from tests.report.conftest import measured

MEASURING = {"media.analysis_side": 640}


def test_a_view_is_known_by_its_bytes_its_half_and_the_settings(tmp_path):
    for name, data in (("a.mp4", b"one"), ("b.mp4", b"one"), ("c.mp4", b"two")):
        (tmp_path / name).write_bytes(data)

    def key(name, half="whole", settings=MEASURING):
        return view_id(View(str(tmp_path / name), half), settings, 100)

    assert key("a.mp4") == key("b.mp4")
    assert len({key("a.mp4"), key("c.mp4"), key("a.mp4", "left"), key("a.mp4", "right")}) == 4
    assert key("a.mp4") != key("a.mp4", settings={"media.analysis_side": 320})
    (tmp_path / "a.mp4").write_bytes(b"two")
    assert key("a.mp4") == key("c.mp4")


def test_what_cannot_be_read_names_its_reason(tmp_path):
    (tmp_path / "large.mp4").write_bytes(bytes(101))
    os.mkfifo(tmp_path / "pipe.mp4")
    for name, reason in (
        ("none.mp4", Reason.MISSING),
        ("large.mp4", Reason.TOO_LARGE),
        ("pipe.mp4", Reason.UNREADABLE),
        ("large.mp4/below.mp4", Reason.UNREADABLE),
    ):
        with pytest.raises(MediaError) as caught:
            view_id(View(str(tmp_path / name)), MEASURING, 100)
        assert caught.value.reason is reason


def test_a_pair_is_known_by_its_halves_in_their_order():
    assert pair_id("a", "b") != pair_id("b", "a")
    one, other = (Pair(name, View("s.mp4"), View("e.mp4")) for name in ("ana", "ben"))
    assert unread_pair_id(one) != unread_pair_id(other)
    assert unread_pair_id(one) == unread_pair_id(Pair("ana", View("s.mp4"), View("e.mp4"), caption="another"))


def test_a_measurement_comes_back_as_it_was(tmp_path):
    store, measurement = MeasurementStore(tmp_path), measured(3)
    assert store.get("ab12") is None
    store.put("ab12", measurement)
    back = store.get("ab12")
    assert back.to_row() == measurement.to_row()
    assert all(np.array_equal(back.signals[name].values, signal.values) for name, signal in measurement.signals.items())
    assert [path.name for path in (tmp_path / "ab").iterdir()] == ["ab12.parquet"]


@pytest.mark.parametrize("data", [b"", b"PAR1", b"noise" * 100])
def test_a_broken_measurement_is_as_if_it_were_not_there(tmp_path, data):
    store = MeasurementStore(tmp_path)
    store.put("ab12", measured())
    (tmp_path / "ab" / "ab12.parquet").write_bytes(data)
    assert store.get("ab12") is None
    store.put("ab12", measured())
    assert store.get("ab12")
