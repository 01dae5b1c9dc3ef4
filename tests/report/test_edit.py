"""The page of one edit, from a result as an editor gives it."""

import re
from pathlib import Path

import numpy as np
import pytest

from synclora.edit.result import EditResult, Fit, PartReport, SyncReport
from synclora.media.encode import write_video
from synclora.report.contact import write_png
from synclora.report.edit import write_edit_page

FRAMES = 20


def _result(**changed) -> EditResult:
    wave = tuple(np.sin(np.arange(FRAMES) / 3).round(3).tolist())
    moving = PartReport(
        part="mouth",
        cue="speech",
        signal="speech",
        evidence=True,
        r=0.97,
        lag_frames=0.1,
        gain=1.0,
        snr=20.0,
        visible=1.0,
        source=wave,
        edited=(None, *wave[1:]),
    )
    still = PartReport(part="iris", cue="gaze", signal="gaze", evidence=False, why="moves too little", source=wave, edited=wave)
    cues = {"speech": 0.97, "gaze": None, "blink": None, "pose": None}
    report = SyncReport(score=0.97, low=0.9, high=0.99, lag_frames=0.1, verdict="kept", cues=cues, parts=(moving, still))
    values = {"frames": FRAMES, "fps": "25", "width": 64, "height": 64, "seconds": 0.8, "has_audio": False, "adapter": "beard"}
    values |= {"backbone": "tiny:ltx-video", "prompt": "3d1t", "seed": 3, "steps": 4, "random_base": True, "report": report}
    values |= {"edit_strength": 0.1, "first_frame_distance": 0.0, "fit": Fit(kind="none"), "took_seconds": {"sampling": 2.0}}
    return EditResult(**{**values, **changed})


@pytest.fixture
def files(tmp_path):
    pictures = [np.full((64, 64, 3), 10 * k, np.uint8) for k in range(FRAMES)]
    for name in ("source", "edited"):
        write_video(tmp_path / f"{name}.mp4", pictures, 25)
    write_png(tmp_path / "first.png", pictures[3])
    return {
        name: tmp_path / file for name, file in (("source", "source.mp4"), ("edited", "edited.mp4"), ("first_frame", "first.png"))
    }


def _page(tmp_path: Path, files, **changed) -> str:
    write_edit_page(tmp_path / "edit.html", _result(**changed), **files)
    return (tmp_path / "edit.html").read_text()


def test_shows_both_videos_the_first_frame_and_every_cue(tmp_path, files):
    page = _page(tmp_path, files)
    assert page.count('<video src="data:video/mp4;base64,') == 2
    assert 'data-frames="20" data-fps="25.0"' in page
    assert re.findall(r"<h4>(\w+)</h4>", page) == ["speech", "gaze", "blink", "pose"]
    assert "r 0.97, lag +0.1" in page
    assert "no evidence: moves too little" in page
    assert page.count("not compared") == 2  # blink and pose were not measured


def test_a_frame_that_was_not_seen_is_a_gap(tmp_path, files):
    assert _page(tmp_path, files).count('class="unseen"') == 1  # of speech; gaze was seen throughout


def test_random_weights_are_said(tmp_path, files):
    assert "Random weights" in _page(tmp_path, files)
    assert "Random weights" not in _page(tmp_path, files, random_base=False)


def test_a_rejected_edit_says_why_in_words(tmp_path, files):
    report = SyncReport(score=None, verdict="rejected", reason="no_face", detail="edited half shows <no> face", cues={})
    page = _page(tmp_path, files, report=report)
    assert "rejected: no_face" in page
    assert "No face was found." in page
    assert "&lt;no&gt; face" in page  # whatever it says is text


def test_needs_nothing_but_itself(tmp_path, files):
    page = _page(tmp_path, files)
    assert not re.findall(r"""(?:src|href)=["'](?!data:|#)""", page)
