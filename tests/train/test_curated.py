"""A curated set opened: its kept pairs, and one line for every folder that is none."""

import json
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from synclora.train.curated import Sample, TrainSetError, read_set
from tests.report.conftest import FACE
from tests.train.sets import finish, row


def test_kept_pairs_in_the_manifests_order(tmp_path):
    rows = [row("b", size=(97, 65), frames=81, fps=29.97), row("c", verdict="rejected"), row("a", sync=None, caption="größer")]
    samples = read_set(finish(tmp_path, rows))
    assert [sample.pair_id for sample in samples] == ["b", "a"]
    first, second = samples
    assert (first.name, first.frames, first.fps, first.sync) == ("pair b", 81, 29.97, 0.9)
    assert (first.width, first.height) == (96, 64)  # as kept videos are: even
    assert first.source == tmp_path / "kept" / "source" / "b.mp4"
    assert first.edited == tmp_path / "kept" / "edited" / "b.mp4"
    assert np.allclose(first.face, FACE)
    assert (second.caption, second.sync) == ("größer", None)


@pytest.mark.parametrize("face", [None, FACE * np.nan])
def test_a_face_that_is_not_known_is_none(tmp_path, face):
    (sample,) = read_set(finish(tmp_path, [row("a", face=face)]))
    assert sample.face is None


def test_a_sample_travels_as_json(tmp_path):
    for sample in read_set(finish(tmp_path, [row("a"), row("b", face=None, sync=None)])):
        text = sample.to_json()
        assert json.loads(text)["pair_id"] == sample.pair_id
        assert Sample.from_json(text) == sample


def test_a_relative_folder_gives_absolute_paths(tmp_path, monkeypatch):
    finish(tmp_path / "set", [row("a")])
    monkeypatch.chdir(tmp_path)
    (sample,) = read_set((tmp_path / "set").relative_to(tmp_path))
    assert sample.source == tmp_path / "set" / "kept" / "source" / "a.mp4"


def broken(kind, folder):
    if kind == "no folder":
        return folder / "none"
    if kind == "a file":
        (folder / "file").write_text("x")
        return folder / "file"
    if kind == "no set":
        (folder / "notes.txt").write_text("x")
    elif kind == "corrupt":
        (folder / "manifest.parquet").write_bytes(b"PAR1 and no more")
    elif kind == "foreign":
        pq.write_table(pa.table({"video": ["a.mp4"]}), folder / "manifest.parquet")
    elif kind == "empty":
        finish(folder, [])
    else:
        finish(folder, [row("a", verdict="rejected"), row("b", verdict="quarantined")])
    return folder


SAID = {
    "no folder": "no such folder; give one that jobs/curate.py made",
    "a file": "no such folder",
    "no set": "holds no manifest.parquet, so it is no curated set",
    "corrupt": "run jobs/curate.py first",
    "foreign": "written by another version",
    "empty": "none of its 0 pairs was kept",
    "nothing kept": "none of its 2 pairs was kept; see its report.html",
}


@pytest.mark.parametrize("kind", SAID)
def test_what_is_no_set_is_refused_on_one_line(tmp_path, kind):
    folder = broken(kind, tmp_path)
    with pytest.raises(TrainSetError) as error:
        read_set(folder)
    assert SAID[kind] in str(error.value)
    assert str(folder) in str(error.value)
    assert "\n" not in str(error.value)


def test_reading_a_set_loads_no_model():
    loaded = "import sys, synclora.train.curated; sys.exit(any(name in sys.modules for name in ('torch', 'mediapipe', 'ray')))"
    assert subprocess.run([sys.executable, "-c", loaded], check=False).returncode == 0
