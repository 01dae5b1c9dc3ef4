"""Puppets and real pairs in one table, of people who are trained on alone."""

import json
from fractions import Fraction

import cv2
import numpy as np
import pytest

from synclora.embedded.edits.twins import LOOKS
from synclora.embedded.joined import drawn, main, real_pairs
from synclora.errors import Reason
from synclora.media.decode import Decoder
from synclora.media.encode import write_video
from synclora.motion.verdict import Judgement, Verdict
from synclora.pairs.base import Pair, View
from synclora.pairs.detect import find_pairs
from synclora.pairs.manifest import manifest_row, write_rows
from synclora.pairs.puppet.portrait import default_picture


@pytest.fixture
def made(tmp_path):
    """Portraits of one person of each side, with a clip and a pair; a curation of two puppets, the videos of one gone."""
    portraits, curated = tmp_path / "portraits", tmp_path / "set"
    manifest = {"clips": [], "pairs": [], "faces": []}
    for identity in ("anna", "mic_woman"):
        for file in (f"clips/{identity}.mp4", f"pairs/{identity}/source.mp4", f"pairs/{identity}/hat.mp4"):
            video(portraits / file)
            manifest[file.split("/")[0]].append({"file": file, "identity": identity})
    (portraits / "MANIFEST.json").write_text(json.dumps(manifest))
    for half in ("source", "edited"):
        video(curated / "generated" / "puppet" / "a" / f"{half}.mp4")
    lost = Judgement.unmeasured(Verdict.QUARANTINED, Reason.MISSING, "")
    views = [[View(f"generated/puppet/{name}/{half}.mp4") for half in ("source", "edited")] for name in ("a", "b")]
    views.append([View(str(portraits / "pairs" / "anna" / name)) for name in ("source.mp4", "hat.mp4")])  # of an earlier table
    write_rows(curated / "manifest.parquet", [manifest_row(v[0].path, Pair("p", *v, "3d1t"), lost, None, "") for v in views])
    return portraits, curated


def video(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    ramp = np.linspace(20, 200, 64, dtype=np.uint8)
    picture = np.stack(
        [np.broadcast_to(ramp, (64, 64)), np.broadcast_to(ramp[:, None], (64, 64)), np.full((64, 64), 90, np.uint8)], -1
    )
    write_video(path, [picture] * 17, Fraction(25))


def test_one_table_of_puppets_real_pairs_and_twins(made, tmp_path, capsys):
    portraits, curated = made
    words = ["--portraits", str(portraits), "--set", str(curated), "--out", str(tmp_path / "out")]
    assert main(words) == 0
    assert "1 puppets, 1 real pairs, 4 twins of real videos, 0 edits drawn on real videos" in capsys.readouterr().out
    rows = find_pairs(str(tmp_path / "out" / "metadata.jsonl"), caption="3d1t").rows()  # as jobs/curate.py reads it
    assert len(rows) == 6
    assert all(row.problem is None for row in rows)
    paths = [view.path for row in rows for view in (row.source, row.edited)]
    assert not any("mic_woman" in path for path in paths)
    assert len({row.edited.path for row in rows}) == 6
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "twins").iterdir()}
    assert main(words) == 0
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "twins").iterdir()} == before


def test_edits_are_drawn_once_on_the_videos_of_who_is_trained_on(made, tmp_path):
    portraits, _ = made
    astronaut = cv2.resize(default_picture(), (256, 256), interpolation=cv2.INTER_AREA)
    write_video(portraits / "clips" / "anna.mp4", [astronaut] * 34, Fraction(25))
    named = list(drawn(portraits, tmp_path / "out"))
    assert len(named) == 8
    assert len({row.caption for row in named}) == 8
    with Decoder() as decoder:
        assert [decoder.probe(path).frames for row in named[:1] for path in (row.source, row.edited)] == [34, 34]
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "drawn").rglob("*.mp4")}
    assert len(before) == 9
    assert list(drawn(portraits, tmp_path / "out")) == named
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "drawn").rglob("*.mp4")} == before


def test_real_pairs_are_edits_beside_their_source(made):
    portraits, _ = made
    assert [(row.source.name, row.edited.name) for row in real_pairs(portraits)] == [("source.mp4", "hat.mp4")]


@pytest.mark.parametrize("name", LOOKS)
def test_a_look_changes_colours_and_nothing_else(made, name):
    portraits, _ = made
    with Decoder() as decoder:
        picture = next(decoder.frames(portraits / "clips" / "anna.mp4", analysis=False))
    twin = LOOKS[name](picture)
    assert twin.shape == picture.shape
    assert twin.dtype == np.uint8
    assert float(np.abs(twin.astype(int) - picture).mean()) > 8
    assert np.array_equal(LOOKS[name](picture), twin)
