"""The page of edits, from results as an editor gives them."""

import base64
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from synclora.edit.result import EditResult, Fit, PartReport, SyncReport
from synclora.media.decode import Decoder
from synclora.media.encode import write_video
from synclora.media.images import read_picture
from synclora.report.contact import write_png
from synclora.report.edit import write_edit_page, write_edits_page
from synclora.report.tracks import Entry
from tests.report.conftest import Tags, assert_alone
from tests.serve.page.browser import Chromium, find_chromium

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


def _bare(**changed) -> EditResult:
    """What the model makes alone: another movement, and its clearest turn of the head is another one."""
    wave, other = (tuple(np.sin(np.arange(FRAMES) / k).round(3).tolist()) for k in (3, 2))
    seen = (*other[:5], None, *other[6:])
    common = {"evidence": True, "lag_frames": -4.0, "snr": 9.0}
    parts = [
        PartReport(part="mouth", cue="speech", signal="speech", r=-0.2, source=wave, edited=seen, **common),
        PartReport(part="head", cue="pose", signal="head_roll", r=0.1, source=wave, edited=other, **common),
    ]
    report = SyncReport(score=-0.05, low=-0.3, high=0.2, verdict="rejected", reason="speech", cues={}, parts=tuple(parts))
    return _result(**{"adapter": "none", "report": report, "random_base": False, "took_seconds": {"sampling": 3.0}} | changed)


def _with() -> EditResult:
    result = _result(random_base=False)
    wave = result.report.parts[0].source
    head = PartReport(
        part="head", cue="pose", signal="head_yaw", evidence=True, r=0.9, lag_frames=0.0, snr=9.0, source=wave, edited=wave
    )
    return result.model_copy(update={"report": result.report.model_copy(update={"parts": (*result.report.parts, head)})})


def _two(tmp_path: Path, files, *results: EditResult, **more) -> str:
    made = [
        Entry(label, result, files["edited"])
        for label, result in zip(("with <the> adapter", "without it", "a third"), results, strict=False)
    ]
    out = tmp_path / "edits.html"
    write_edits_page(out, made, source=files["source"], first_frame=files["first_frame"], lead="Look here.", **more)
    return out.read_text()


def _row(page: str, label: str) -> str:
    """The text of a line of the table."""
    line = next(line for line in page.splitlines() if "<tr>" in line and label in line)
    return " ".join(re.sub("<[^>]+>", " ", line).split())


def test_two_edits_stand_beside_the_source_with_their_figures(tmp_path, files):
    page = _two(tmp_path, files, _with(), _bare(), note="Of a set.")
    videos = [attrs["aria-label"] for tag, attrs in Tags(page).found if tag == "video"]
    assert videos == ["source", "with <the> adapter", "without it"]
    assert "Look here." in page
    assert "Of a set." in page
    assert _row(page, "with &lt;the&gt; adapter") == "with &lt;the&gt; adapter 0.97 (0.90 to 0.99) kept 0.100 0.000 2.0"
    assert _row(page, "without it").startswith(
        "without it −0.05 (−0.30 to 0.20) rejected: speech The mouths do not open together. "
    )
    assert "<dt>adapter</dt><dd>beard; none</dd>" in page
    assert "<dt>seed</dt><dd>3</dd>" in page
    assert_alone(page)


def test_every_edit_has_its_own_curve_and_its_own_r(tmp_path, files):
    page = _two(tmp_path, files, _with(), _bare())
    charts = re.findall(r'<svg [^>]*class="chart lines[^"]*".*?</svg></?', page)
    speech = next(chart for chart in charts if 'aria-label="speech' in chart)
    assert [name for name in ("source", "edited", "second") if f'class="curve {name}"' in speech] == [
        "source",
        "edited",
        "second",
    ]
    assert "with &lt;the&gt; adapter (r 0.97) and without it (r −0.20)" in speech
    assert speech.count('class="curve second"') == 2  # its gap
    assert speech.count('class="unseen"') == 0  # in no frame were both unseen
    assert "r −0.20, lag −4.0" in page


def test_two_signals_are_never_laid_on_each_other(tmp_path, files):
    page = _two(tmp_path, files, _with(), _bare())
    heads = re.findall(r'aria-label="pose, (head, \w+): source and (.+?) \(', page)
    assert heads == [("head, turn", "with &lt;the&gt; adapter"), ("head, tilt", "without it")]


def test_an_edit_that_could_not_be_measured_has_no_curve(tmp_path, files):
    nothing = SyncReport(score=None, verdict="rejected", reason="no_face", detail="no face", cues={})
    page = _two(tmp_path, files, _with(), _bare(report=nothing, random_base=True))
    assert page.count('class="curve second"') == len(re.findall('class="sample"[^>]*><line class="curve second"', page))
    assert "No face was found." in page
    assert "Random weights" in page  # of one of them


def test_colours_are_not_needed_to_tell_curves_apart(tmp_path, files):
    page = _two(tmp_path, files, _with(), _bare(), _bare())
    dashes = re.findall(r"\.several \.curve\.(\w+) { stroke-dasharray: ([\d ]+);", page)
    assert {name for name, _ in dashes} == {"edited", "second", "third"}
    assert len({dash for _, dash in dashes}) == 3


@pytest.mark.parametrize("count", [0, 4])
def test_shows_one_to_three_edits(tmp_path, files, count):
    with pytest.raises(ValueError, match=f"{count} edits on one page; give 1 to 3"):
        write_edits_page(
            tmp_path / "x.html",
            [Entry("one", _result(), files["edited"])] * count,
            source=files["source"],
            first_frame=files["first_frame"],
        )


def test_the_source_is_cut_as_the_edit_is(tmp_path):
    picture = np.zeros((96, 128, 3), np.uint8)
    picture[16:80, 40:104] = np.linspace(60, 220, 64, dtype=np.uint8)[None, :, None]  # what is cut out: a ramp
    write_video(tmp_path / "source.mp4", [picture] * FRAMES, 25)
    write_png(tmp_path / "whole.png", np.repeat(np.repeat(picture, 2, 0), 2, 1))
    write_png(tmp_path / "part.png", picture[16:80, 40:104])
    cut = _result().model_copy(update={"crop": SimpleNamespace(left=40, top=16, width=64, height=64)})
    for given in ("whole.png", "part.png"):
        write_edit_page(
            tmp_path / "edit.html",
            cut,
            source=tmp_path / "source.mp4",
            first_frame=tmp_path / given,
            edited=tmp_path / "source.mp4",
        )
        found = Tags(page := (tmp_path / "edit.html").read_text()).found
        for name, tag in (("video.mp4", "video"), ("first.jpg", "img")):
            data = next(attrs["src"] for one, attrs in found if one == tag)
            (tmp_path / name).write_bytes(base64.b64decode(data.partition(",")[2]))
        with Decoder() as decoder:
            shown = list(decoder.frames(tmp_path / "video.mp4", analysis=False))
        assert len(shown) == FRAMES
        assert np.abs(shown[0].astype(int) - picture[16:80, 40:104]).mean() < 2
        first = read_picture(tmp_path / "first.jpg")
        assert abs(first[:, 0].mean() - 60) < 8
        assert abs(first[:, -1].mean() - 220) < 8
        assert "cut as the edit is" in page
    assert not list(tmp_path.glob(".*"))


PICTURES = """[...document.querySelectorAll('video')].map((video) => {
  const context = Object.assign(document.createElement('canvas'), {width: 64, height: 64}).getContext('2d');
  context.drawImage(video, 0, 0);
  return Math.round(context.getImageData(32, 32, 1, 1).data[1] / 10);
})"""
"""The frame that each player shows: frame k is as grey as 10 k."""


def test_one_control_moves_all_players(tmp_path, files):
    if find_chromium() is None:
        pytest.skip("no Chromium here (Debian: apt-get install chromium)")
    _two(tmp_path, files, _with(), _bare())
    with Chromium(tmp_path / "profile") as browser:
        page = browser.page()
        page.go((tmp_path / "edits.html").as_uri())

        def at(frame: int) -> None:
            page.wait("[...document.querySelectorAll('video')].every((video) => video.readyState >= 2 && !video.seeking)")
            page.wait(f"String({PICTURES}) === '{[frame] * 3}'.replace(/[^0-9,]/g, '')")
            assert page.text("#when").startswith(f"frame {frame},")

        at(0)
        page.click("#on")
        page.press("ArrowRight")
        at(2)
        page.click("#back")
        at(1)
        page.eval("at.value = 15; at.dispatchEvent(new Event('input'))")
        at(15)
        page.eval("speed.value = '0.5'; loop.checked = false; document.activeElement.blur()")
        page.press(" ")
        assert page.text("#play") == "Pause"
        page.wait("!document.querySelector('video').paused")
        assert set(page.eval("[...document.querySelectorAll('video')].map((video) => video.paused)")) == {False}
        assert page.eval("document.querySelector('video').playbackRate") == 0.5
        page.wait("play.textContent === 'Play'")  # its end
        at(FRAMES - 1)
        page.click("svg.lines", x=8 / (FRAMES - 1))
        at(8)
        assert page.complaints() == []
