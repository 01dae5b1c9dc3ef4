import numpy as np
import pytest

from synclora.pairs.puppet.probe import gaze, openness, speech
from synclora.pairs.puppet.script import Script


def test_same_script_same_frames(stage):
    _, puppet, layers = stage.astronaut()
    script = Script.random(5, 4, stage.FPS)
    pairs = zip(puppet.frames(layers, script), puppet.frames(layers, script), strict=True)
    assert all(np.array_equal(a, b) for a, b in pairs)


def test_at_rest_it_is_nearly_the_portrait(stage):
    portrait, puppet, layers = stage.astronaut()
    frame = puppet.frame(layers, Script.of(1), 0)
    far_from_mouth = np.abs(frame.astype(int) - portrait.picture)[:140]
    assert frame.dtype == np.uint8
    assert far_from_mouth.mean() < 3


def test_measured_cues_follow_the_script(stage):
    _, puppet, layers = stage.astronaut()
    found: dict[str, list[float]] = {}
    for seed in (1, 2, 3):
        script = Script.random(seed, stage.FRAMES, stage.FPS)
        points = stage.landmarks(puppet.frames(layers, script))
        assert all(p is not None for p in points)
        measured, truth = stage.cues(points), script.tracks()
        for name, curve in measured.items():
            found.setdefault(name, []).append(stage.agreement(curve, truth[name]))
        assert measured["speech"].std() > 0.05
        assert measured["gaze"].std() > 0.05
    for name, values in found.items():
        floor = 0.9 if name == "pitch" else 0.95  # MediaPipe reads an opening jaw as a little pitch
        assert np.median(values) >= floor, (name, values)
        assert min(values) >= 0.9, (name, values)


def test_eyes_close_mouth_opens_irises_move(stage):
    _, puppet, layers = stage.astronaut()
    script = Script.of(5, blink=[0, 1, 0, 0, 0], gaze=[0, 0, -1, 1, 0], speech=[0, 0, 0, 0, 1])
    still, shut, left, right, wide = (stage.landmarks([frame])[0] for frame in puppet.frames(layers, script))
    assert openness(shut) < 0.5 * openness(still)
    assert gaze(left) - gaze(right) > 0.15
    assert speech(wide) - speech(still) > 0.2


@pytest.mark.parametrize(("track", "amount"), [("yaw", 0.22), ("roll", 0.11)])
def test_the_head_turns_as_told(stage, track, amount):
    _, puppet, layers = stage.astronaut()
    script = Script.of(2, **{track: [-amount, amount]})
    before, after = stage.cues([stage.landmarks([frame])[0] for frame in puppet.frames(layers, script)])[track]
    assert 0.5 * 2 * amount < after - before < 1.5 * 2 * amount


def test_the_scene_behind_stands_still(stage):
    _, puppet, layers = stage.astronaut()
    frames = list(puppet.frames(layers, Script.random(2, 6, stage.FPS)))
    corner = [frame[:60, :25].astype(int) for frame in frames]
    assert max(np.abs(c - corner[0]).max() for c in corner) <= 1
