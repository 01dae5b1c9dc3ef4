"""The sync report of an edit is curation's own, with both tracks."""

import cv2
import numpy as np
import pytest

from synclora.edit.editor import Editor
from synclora.edit.engine import Engine
from synclora.edit.request import EditRequest
from synclora.edit.result import EditResult
from synclora.edit.settings import EditSettings
from synclora.media.decode import Decoder
from synclora.motion.measure import measure
from synclora.motion.settings import VerdictSettings
from synclora.motion.verdict import edit_strength, judge
from tests.edit.conftest import first_picture, grey, save

pytestmark = pytest.mark.timeout(200)

SETTINGS = EditSettings(max_pixels=256 * 256, window_frames=41, overlap_frames=17, steps=1, preset="veryfast")


@pytest.fixture(scope="module")
def perfect(landmarker):
    """An editor whose model is perfect at one thing: it makes a video grey. All around it is real."""
    patch = pytest.MonkeyPatch()
    sources = []

    def encode(self, pictures):
        sources.append(pictures)
        return real(self, pictures)

    def decode(self, _tokens_bnc, _grid):
        source = next(pictures for pictures in reversed(sources) if len(pictures) == _grid.video_frames)
        return [grey(picture) for picture in source]

    real = Engine.encode
    patch.setattr(Engine, "encode", encode)
    patch.setattr(Engine, "decode", decode)
    with Editor("tiny:ltx-video", settings=SETTINGS, landmarker=landmarker) as editor:
        yield editor
    patch.undo()


@pytest.fixture(scope="module")
def edited(perfect, portraits, tmp_path_factory):
    """Source, video and result of a real clip of three windows."""
    folder = tmp_path_factory.mktemp("edit")
    source = portraits / "clips" / "c06_man_green_screen.mp4"
    first = save(grey(first_picture(source)), folder / "first.png")
    return source, folder / "out.mp4", perfect.edit(EditRequest(source=source, first_frame=first), folder / "out.mp4")


def test_a_perfect_edit_scores_as_one(edited):
    _, _, result = edited
    report = result.report
    assert report.score > 0.93
    assert report.low <= report.score <= report.high
    assert (report.verdict, report.reason, report.detail) == ("kept", None, "")
    assert report.lag_frames == pytest.approx(0, abs=0.5)
    assert result.edit_strength > 0.02
    assert result.first_frame_distance < 0.02


def test_the_report_is_what_curation_says_of_the_two_files(edited, landmarker):
    source, out, result = edited
    both = []
    with Decoder() as decoder:
        for path in (source, out):
            frames = decoder.frames(path)
            size = frames.info.width, frames.info.height
            both.append(measure(landmarker, frames, float(frames.info.fps), size=size, expected=frames.info.frames))
    judgement = judge(*both, VerdictSettings())
    assert judgement.sync.score == pytest.approx(result.report.score, abs=1e-3)
    assert {part.part: part.evidence for part in judgement.sync.parts} == {
        part.part: part.evidence for part in result.report.parts
    }
    assert edit_strength(*both) == pytest.approx(result.edit_strength, abs=1e-3)


def test_both_tracks_of_every_part_come_with_it(edited):
    _, _, result = edited
    assert {part.part for part in result.report.parts} == {"mouth", "iris", "lids", "head", "shoulders", "left_arm", "right_arm"}
    for part in result.report.parts:
        assert len(part.source) == len(part.edited) == result.frames
        assert [value is None for value in part.source] == [value is None for value in part.edited]
        if part.evidence:
            a, b = (np.array([value for value in track if value is not None]) for track in (part.source, part.edited))
            assert np.corrcoef(a, b)[0, 1] > 0.7, part.part
            assert a.std() == pytest.approx(1, abs=0.05)
            assert part.r is not None
        else:
            assert part.why in ("hidden", "still")
    assert EditResult.model_validate_json(result.model_dump_json()) == result


def test_no_seam_shows_in_pictures_or_cues(edited):
    """Three windows of a real clip: no jump beyond the source's own."""
    _, _, result = edited
    assert [seam.frame for seam in result.seams] == [41, 65]
    for seam in result.seams:
        assert seam.picture < 1.2
        assert seam.cues < 1.2


def test_a_jump_of_a_cue_at_a_seam_is_seen(perfect, portraits, tmp_path, monkeypatch):
    """A model whose second window stands elsewhere, scaled about the picture's corner: the stitcher fades it, the cues still tell."""
    calls = []

    def apart(self, _tokens_bnc, grid):
        pictures = honest(self, _tokens_bnc, grid)
        calls.append(grid)
        if len(calls) == 2:
            height, width = pictures[0].shape[:2]
            turn = cv2.getRotationMatrix2D((width / 2, height / 2), 25, 1)
            pictures = [cv2.warpAffine(picture, turn, (width, height), borderMode=cv2.BORDER_REPLICATE) for picture in pictures]
        return pictures

    honest = Engine.decode
    monkeypatch.setattr(Engine, "decode", apart)
    source = portraits / "clips" / "c06_man_green_screen.mp4"
    first = save(grey(first_picture(source)), tmp_path / "first.png")
    result = perfect.edit(EditRequest(source=source, first_frame=first), tmp_path / "out.mp4")
    assert max(seam.cues for seam in result.seams) > 2
