import json
import pickle

import av
import numpy as np
import pytest

from synclora.errors import Reason, SyncLoraError
from synclora.pairs.puppet import PuppetPairs, PuppetSettings, source
from synclora.settings import RecipeError

SHORT = {"size": 256, "seconds": 1.0}


def read(path: str) -> list[np.ndarray]:
    with av.open(path) as file:
        return [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]


def test_rows_are_stable_and_plain():
    first, again = PuppetPairs().rows(), PuppetPairs().rows()
    assert first == again
    assert len({row.name for row in first}) == 24
    assert [row.name for row in first] == sorted(row.name for row in first)
    truths = [json.loads(row.truth) for row in first]
    assert sum(t["expected"] == "rejected" for t in truths) == 8
    assert {t["defect"] for t in truths} >= {None, "shift:2", "shift:3", "speech", "gaze", "blink", "no_face"}
    assert all((t["defect"] is None) == (not t["failing"]) or t["defect"] == "shift:2" for t in truths)
    assert len({t["edit"] for t in truths if t["defect"] is None}) >= 6


def test_another_seed_gives_other_pairs():
    assert PuppetPairs(PuppetSettings(seed=1)).rows() != PuppetPairs().rows()


def test_it_travels():
    pairs = PuppetPairs(PuppetSettings(pairs=3))
    assert pickle.loads(pickle.dumps(pairs)).rows() == pairs.rows()


def test_materialise_writes_both_halves_once(tmp_path):
    pairs = PuppetPairs(PuppetSettings(pairs=1, bad_share=0, edits=("glasses",), **SHORT))
    (row,) = pairs.rows()
    made = pairs.materialise(row, tmp_path)
    halves = read(made.source.path), read(made.edited.path)
    assert [len(half) for half in halves] == [25, 25]
    assert halves[0][0].shape == (256, 256, 3)
    assert np.abs(halves[0][5].astype(int) - halves[1][5]).max() > 60
    (folder,) = (tmp_path / "puppet").iterdir()
    assert sorted(path.name for path in folder.iterdir()) == ["edited.mp4", "source.mp4", "truth.json"]
    truth = json.loads((folder / "truth.json").read_text())
    assert truth["source"] == truth["edited"]
    assert len(truth["source"]["speech"]) == 25
    stamps = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert pairs.materialise(made, tmp_path) == made
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == stamps
    other = PuppetPairs(pairs.settings).materialise(row, tmp_path / "again")
    assert all(np.array_equal(a, b) for a, b in zip(halves[1], read(other.edited.path), strict=True))


def test_a_broken_attempt_leaves_nothing(tmp_path, monkeypatch):
    def fail(*_args, **_kwargs):
        raise OSError("disk full")

    pairs = PuppetPairs(PuppetSettings(pairs=1, **SHORT))
    monkeypatch.setattr(source, "write_video", fail)
    with pytest.raises(OSError, match="disk full"):
        pairs.materialise(pairs.rows()[0], tmp_path)
    assert list((tmp_path / "puppet").iterdir()) == []


def test_no_face_has_none(stage, tmp_path):
    pairs = PuppetPairs(PuppetSettings(pairs=1, bad_share=1, defects=("no_face",), **SHORT))
    made = pairs.materialise(pairs.rows()[0], tmp_path)
    assert not any(p is not None for p in stage.landmarks(read(made.edited.path)[:8]))
    assert all(p is not None for p in stage.landmarks(read(made.source.path)[:8]))


def test_a_bad_portrait_marks_its_row(tmp_path):
    faces = tmp_path / "faces"
    faces.mkdir()
    (faces / "broken.jpg").write_bytes(b"no picture")
    pairs = PuppetPairs(PuppetSettings(pairs=1, faces=faces, **SHORT))
    made = pairs.materialise(pairs.rows()[0], tmp_path / "scratch")
    assert made.problem is Reason.UNKNOWN_CONTAINER
    assert "broken.jpg" in made.detail
    assert pairs.materialise(made, tmp_path / "scratch") == made


@pytest.mark.parametrize("make", [False, True])
def test_a_faces_folder_without_faces_is_an_error(tmp_path, make):
    faces = tmp_path / "faces"
    if make:
        faces.mkdir()
    with pytest.raises(SyncLoraError, match="faces folder"):
        PuppetPairs(PuppetSettings(faces=faces)).rows()


def test_a_strange_pair_is_refused(tmp_path):
    from synclora.pairs.base import Pair, View

    with pytest.raises(SyncLoraError, match="no puppet script"):
        PuppetPairs().materialise(Pair("x", View("a"), View("b")), tmp_path)


@pytest.mark.parametrize(
    ("values", "word"), [({"edits": ["moustache"]}, "moustache"), ({"defects": ["wink"]}, "wink"), ({"size": 300}, "size")]
)
def test_settings_name_what_is_wrong(values, word):
    with pytest.raises(RecipeError, match=word):
        PuppetSettings.from_values(values, "test")
