import numpy as np
import pytest

from synclora.pairs.puppet.script import Script

SEEDS = range(12)


def test_same_seed_same_script():
    a, b, c = Script.random(3, 57, 25), Script.random(3, 57, 25), Script.random(4, 57, 25)
    assert all(np.array_equal(x, y) for x, y in zip(a.tracks().values(), b.tracks().values(), strict=True))
    assert not any(np.array_equal(x, y) for x, y in zip(a.tracks().values(), c.tracks().values(), strict=True))


@pytest.mark.parametrize("fps", [15, 25, 50])
def test_values_stay_in_range(fps):
    for seed in SEEDS:
        script = Script.random(seed, round(2.28 * fps), fps)
        assert 0 <= script.speech.min() <= script.speech.max() <= 1
        assert 0 <= script.blink.min() <= script.blink.max() <= 1
        assert np.abs(script.gaze).max() <= 1
        assert np.degrees(np.abs(script.yaw).max()) <= 13.01


def test_every_cue_is_lively():
    for seed in SEEDS:
        script = Script.random(seed, 57, 25)
        shut = script.blink > 0.85
        assert np.sum(shut[1:] & ~shut[:-1]) >= 2, "two whole blinks"
        assert script.speech.std() > 0.2
        assert script.gaze.std() > 0.45
        assert np.degrees(script.yaw.std()) > 3


def test_motion_is_smooth():
    for seed in SEEDS:
        script = Script.random(seed, 57, 25)
        assert np.degrees(np.abs(np.diff(script.yaw)).max()) < 3.5, "degrees of yaw per frame"
        assert np.abs(np.diff(script.speech)).max() < 0.5


def test_taken_mirrors_beyond_the_ends():
    script = Script.random(0, 20, 25)
    taken = script.taken(np.arange(20) - 3.0)
    assert np.array_equal(taken.yaw[3:], script.yaw[:-3])
    assert np.array_equal(taken.yaw[:3], script.yaw[[3, 2, 1]])


def test_of_rests_elsewhere():
    script = Script.of(3, gaze=[0, 1, 0])
    assert script.gaze[1] == 1
    assert not script.speech.any()
