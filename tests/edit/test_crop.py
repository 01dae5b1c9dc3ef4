"""Edits of the part around the face: where it is, what is fitted onto it, and what the edit is compared with. On a real clip."""

from dataclasses import replace
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest

from synclora.backbone.base import Trained
from synclora.edit.editor import Editor
from synclora.edit.judge import Judge
from synclora.edit.library import AdapterInfo, AdapterLibrary
from synclora.edit.plan import Plan, Strides, _crop, make_plan
from synclora.edit.request import EditRequest
from synclora.edit.settings import EditSettings
from synclora.edit.teller import Teller
from synclora.errors import MediaError, Reason
from synclora.media.decode import Decoder
from synclora.media.encode import write_video
from synclora.motion.settings import VerdictSettings
from synclora.motion.stills import still_faces
from synclora.train.adapter import save_adapter
from synclora.train.clips import Crop
from tests.edit.conftest import SMALL, Blind, first_picture, grey, save
from tests.train.adapters import adapted, metadata, stream

pytestmark = pytest.mark.timeout(120)

SHARE = 0.58
FRAMES = 25
TRAINED = Trained(128, 128, 17, SHARE)


@pytest.fixture(scope="module")
def decoder():
    with Decoder() as one:
        yield one


@pytest.fixture(scope="module")
def clip(portraits, decoder, tmp_path_factory) -> Path:
    """A second of a woman in half length, 512 x 640: her face has a fifth of the width."""
    frames = decoder.frames(portraits / "clips" / "c01_woman_coat.mp4", analysis=False)
    path, fps = tmp_path_factory.mktemp("clip") / "clip.mp4", frames.info.fps
    write_video(path, list(islice(frames, FRAMES)), fps)
    return path


@pytest.fixture(scope="module")
def first(clip) -> np.ndarray:
    return first_picture(clip)


def planned(decoder, source, picture, trained=TRAINED, adapter=None, settings=None, **more) -> Plan:
    request = EditRequest.model_validate({"source": source, "first_frame": picture, **more})
    return make_plan(request, adapter, settings or EditSettings(), Strides(16, 4), decoder, trained)


def levels_apart(a, b) -> float:
    return float(np.abs(a.astype(int) - b).mean())


def test_the_face_has_its_share_of_what_is_edited(decoder, clip, first, tmp_path):
    plan = planned(decoder, clip, save(grey(first), tmp_path / "first.png"))
    assert plan.crop.width == plan.crop.height
    assert (plan.size, plan.work) == ((plan.crop.width, plan.crop.height), (128, 128))
    (face,) = still_faces(np.ascontiguousarray(plan.seen(first)))
    low, high = face[:468, :2].min(0), face[:468, :2].max(0)
    assert (high[0] - low[0]) / plan.crop.width == pytest.approx(SHARE, abs=0.04)
    assert ((low + high) / 2 / plan.crop.width).tolist() == pytest.approx([0.5, 0.5], abs=0.04)


def test_a_part_smaller_than_the_model_knows_is_enlarged_as_in_training(decoder, clip, first, tmp_path):
    small = write_video_of(tmp_path / "small.mp4", [cv2.resize(first, (256, 320), interpolation=cv2.INTER_AREA)] * 9)
    plan = planned(decoder, small, save(grey(first), tmp_path / "first.png"))
    assert plan.crop.width < 128
    assert (plan.work, plan.size) == ((128, 128), (plan.crop.width, plan.crop.height))


def write_video_of(path, pictures) -> Path:
    write_video(path, pictures, 25)
    return path


def test_who_asks_for_it(decoder, clip, first, tmp_path):
    def side(trained, share=None, **settings):
        info = AdapterInfo(name="a", path=tmp_path, kind="ltx-video", rank=4, frames=17, width=128, height=128, face_share=share)
        crop = _crop(first, info, trained, EditSettings(**settings), decoder.limits)
        return crop and crop.width

    assert side(None) is None  # a released backbone, an older adapter
    assert side(None, 0.58) == side(TRAINED) == side(TRAINED, 0.58)
    assert side(TRAINED, 0.3) > 1.5 * side(TRAINED)  # the adapter has the last word
    assert side(TRAINED, 0.58, crop="none") is None
    plan = planned(decoder, clip, save(grey(first), tmp_path / "first.png"), settings=EditSettings(crop="none"))
    assert (plan.size, plan.seen(first).shape) == ((512, 640), (640, 512, 3))


@pytest.mark.parametrize(("given", "overlap"), [(None, 9), (1, 1), (2, 5), (3, 9), (9, 9)])
def test_a_window_is_given_no_more_than_the_adapter_ever_was(decoder, clip, first, tmp_path, given, overlap):
    facts = {"frames": 17, "width": 128, "height": 128, "face_share": SHARE, "given_frames": given}
    info = AdapterInfo(name="a", path=tmp_path, kind="ltx-video", rank=4, **facts)
    plan = planned(decoder, clip, save(grey(first), tmp_path / "first.png"), adapter=info)
    assert {window.overlap for window in plan.windows[1:]} == {overlap}


def test_a_face_too_large_for_its_share_has_all_there_is(decoder, first, clip, tmp_path):
    crop = planned(decoder, clip, save(grey(first), tmp_path / "first.png")).crop
    close = first[crop.top + 20 : crop.top + crop.height - 20, crop.left + 30 : crop.left + crop.width - 30]
    source = write_video_of(tmp_path / "close.mp4", [np.ascontiguousarray(close)] * 9)
    plan = planned(decoder, source, save(grey(first_picture(source)), tmp_path / "close.png"))
    assert plan.crop.width == plan.crop.height == min(close.shape[:2]) // 2 * 2


def test_pictures_of_the_whole_and_of_the_part_are_both_taken(decoder, clip, first, tmp_path):
    """The edited picture that the model is given is the same, to what scaling costs."""
    whole = save(grey(first), tmp_path / "whole.png")
    plan = planned(decoder, clip, whole, key_frames=[{"frame": 3, "picture": whole}])
    wanted = cv2.resize(plan.seen(grey(first)), (128, 128), interpolation=cv2.INTER_AREA)
    part = cv2.resize(plan.seen(grey(first)), (256, 256), interpolation=cv2.INTER_CUBIC)
    of_part = planned(decoder, clip, save(part, tmp_path / "part.png"))
    assert (plan.fit.kind, of_part.fit.kind) == ("none", "scaled")
    assert plan.crop == of_part.crop
    assert levels_apart(plan.pictures[0], wanted) < 0.5
    assert levels_apart(plan.pictures[3], wanted) < 0.5
    assert levels_apart(of_part.pictures[0], wanted) < 4


def test_a_size_is_asked_of_the_part(decoder, clip, first, tmp_path):
    picture = save(grey(first), tmp_path / "first.png")
    assert planned(decoder, clip, picture, size="384x384").size == (384, 384)
    with pytest.raises(MediaError, match="of another shape than what is edited"):
        planned(decoder, clip, picture, size="512x640")


def test_a_face_that_is_too_small_is_refused(decoder, first):
    far = cv2.resize(first, (128, 160), interpolation=cv2.INTER_AREA)
    with pytest.raises(MediaError, match=r"the part around its face is 4.x4., min_side is 64") as caught:
        _crop(far, None, TRAINED, EditSettings(), decoder.limits)
    assert caught.value.reason is Reason.PICTURE_SIZE


def test_no_face_in_the_first_frame_is_said_in_one_line(decoder, first, tmp_path):
    blank = write_video_of(tmp_path / "blank.mp4", [np.full((128, 128, 3), 90, np.uint8)] * 9)
    picture = save(first, tmp_path / "first.png")
    with pytest.raises(MediaError, match="its first frame shows no face") as caught:
        planned(decoder, blank, picture)
    assert caught.value.reason is Reason.NO_FACE
    assert "choose crop: none" in caught.value.detail
    assert "\n" not in caught.value.detail
    assert planned(decoder, blank, picture, None).crop is None


def test_an_edit_is_judged_against_the_part(decoder, landmarker, clip, first, tmp_path):
    """The part itself as the edit: in step, and no edit at all. Against the whole picture it would be another one."""
    picture = save(first, tmp_path / "first.png")
    plan = planned(decoder, clip, picture, replace(TRAINED, frames=FRAMES))  # one window: no seams
    part = tmp_path / "part.mp4"
    write_video(part, [plan.seen(one) for one in decoder.frames(clip, analysis=False)], plan.info.fps)
    judged = Judge(plan, landmarker, decoder, VerdictSettings()).of(part, [], Teller(lambda _now: None))
    assert judged.edit_strength < 0.01
    assert judged.first_frame_distance < 0.01
    assert judged.report.score > 0.95
    assert judged.scorable


def test_the_edit_is_the_part(clip, first, tmp_path):
    """An unedited first frame, a miniature with an adapter that was trained on parts: whatever it makes has the part's size."""
    facts = {"base_model": "tiny:ltx-video", "frames": 17, "width": 64, "height": 64, "face_share": SHARE, "random_base": True}
    save_adapter(tmp_path / "shelf" / "cut", adapted(stream()), metadata(**facts))
    request = EditRequest(source=clip, first_frame=save(first, tmp_path / "first.png"), adapter="cut")
    with Editor("tiny:ltx-video", settings=SMALL, landmarker=Blind(), library=AdapterLibrary(tmp_path / "shelf")) as editor:
        result = editor.edit(request, tmp_path / "out.mp4")
    crop = Crop(**result.crop.model_dump())
    assert (result.width, result.height, result.frames, result.working_size) == (crop.width, crop.height, FRAMES, "64x64")
    assert crop.width % 2 == 0
    assert first_picture(tmp_path / "out.mp4").shape == (crop.height, crop.width, 3)
