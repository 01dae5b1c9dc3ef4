"""MediaPipe on real clips: what must hold whoever is filmed."""

import numpy as np
import pytest

from synclora.media.decode import Decoder
from synclora.motion.measure import STAMP, Measurement, measure
from synclora.motion.settings import VerdictSettings
from synclora.motion.signals import SIGNALS
from synclora.motion.stills import person_matte, still_faces
from synclora.motion.sync import compare


@pytest.fixture(scope="module")
def clip(portraits):
    with Decoder() as decoder:
        return list(decoder.frames(portraits / "clips" / "c14_woman_reporter_synth.mp4"))[:60]


@pytest.fixture(scope="module")
def measurement(clip, landmarker) -> Measurement:
    return measure(landmarker, clip, 25.0, size=(512, 512), expected=len(clip))


def test_face_is_found_in_every_frame(measurement):
    assert measurement.face_share == 1.0
    assert measurement.second_face == 0.0
    assert measurement.frames == 60
    assert measurement.stamps.shape == (3, STAMP, STAMP, 3)


def test_measuring_twice_gives_the_same_bits(clip, landmarker, measurement):
    """Resuming rests on this: a tracker keeps nothing of the video before."""
    other = clip[::-1]
    measure(landmarker, other, 25.0, size=(512, 512), expected=len(other))
    again = measure(landmarker, clip, 25.0, size=(512, 512), expected=len(clip))
    assert again.to_row() == measurement.to_row()


def test_row_and_back(measurement):
    back = Measurement.from_row(measurement.to_row())
    assert back.to_row() == measurement.to_row()


def test_mirrored_clip_swaps_left_and_right_and_nothing_else(clip, landmarker, measurement):
    mirrored = measure(landmarker, [np.ascontiguousarray(f[:, ::-1]) for f in clip], 25.0, size=(512, 512), expected=len(clip))
    for name in ("speech", "blink"):
        assert np.corrcoef(measurement.signals[name].values, mirrored.signals[name].values)[0, 1] > 0.9
    for name in ("head_yaw", "head_roll"):
        assert np.corrcoef(measurement.signals[name].values, mirrored.signals[name].values)[0, 1] < -0.9


def test_darker_twin_is_in_sync_and_a_shifted_one_is_not(clip, landmarker, measurement):
    darker = measure(landmarker, [(f * 0.7).astype(np.uint8) for f in clip], 25.0, size=(512, 512), expected=len(clip))
    assert compare(measurement, darker, VerdictSettings()).score > 0.9
    late = measure(landmarker, [(f * 0.7).astype(np.uint8) for f in [*clip[:1]] * 3 + clip[:-3]], 25.0, size=(512, 512))
    assert compare(measurement, late, VerdictSettings()).lag == pytest.approx(3, abs=0.4)


def test_no_face(landmarker):
    noise = np.random.default_rng(0).integers(0, 255, (20, 120, 160, 3)).astype(np.uint8)
    nothing = measure(landmarker, noise, 25.0, size=(160, 120))
    assert nothing.face_share == 0.0
    assert not any(nothing.signals[name].seen.any() for name in SIGNALS)


def test_two_people(clip, landmarker, portraits):
    with Decoder() as decoder:
        other = list(decoder.frames(portraits / "clips" / "c06_man_green_screen.mp4"))[:20]
    both = [np.hstack([a, b]) for a, b in zip(clip[:20], other, strict=True)]
    assert measure(landmarker, both, 25.0, size=(1024, 512), expected=20).second_face > 0.4


def test_no_frames(landmarker):
    with pytest.raises(ValueError, match="no frame"):
        landmarker.track([], 25.0)


def test_stills(clip):
    faces = still_faces(clip[0])
    assert len(faces) == 1
    assert faces[0].shape == (478, 3)
    matte = person_matte(clip[0])
    assert matte.shape == (512, 512)
    assert matte[300, 256] > 0.9 > 0.1 > matte[5, 5]
