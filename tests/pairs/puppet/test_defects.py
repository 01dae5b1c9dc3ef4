import numpy as np
import pytest

from synclora.pairs.puppet.defects import apply_defect, failing_cues, parse_defect
from synclora.pairs.puppet.script import Script

SEEDS = range(6)
TRACKS = ("speech", "blink", "gaze", "yaw", "pitch", "roll", "sway", "rounding")


def spoil(name: str, seed: int) -> tuple[Script, Script]:
    script = Script.random(seed, 57, 25)
    return script, apply_defect(name, script, seed, 25)


def changed(a: Script, b: Script) -> set[str]:
    return {name for name in TRACKS if not np.array_equal(getattr(a, name), getattr(b, name))}


@pytest.mark.parametrize("frames", [2, 3, 8, -4])
def test_shift_moves_everything_by_whole_frames(frames):
    script, spoilt = spoil(f"shift:{frames}", 0)
    kept = slice(max(frames, 0), 57 + min(frames, 0))
    origin = slice(max(-frames, 0), 57 - max(frames, 0))
    for name in TRACKS:
        assert np.array_equal(getattr(spoilt, name)[kept], getattr(script, name)[origin])


@pytest.mark.parametrize("seed", SEEDS)
def test_one_blink_is_dropped(seed):
    script, spoilt = spoil("blink", seed)

    def blinks(track: np.ndarray) -> int:
        return int(np.sum((track[1:] > 0.5) & (track[:-1] <= 0.5)))

    assert blinks(spoilt.blink) == blinks(script.blink) - 1
    assert changed(script, spoilt) == {"blink"}
    assert np.all((spoilt.blink == script.blink) | (spoilt.blink == 0))


@pytest.mark.parametrize(
    ("name", "tracks", "cues"),
    [
        ("speech", {"speech", "rounding"}, ["speech"]),
        ("gaze", {"gaze"}, ["gaze"]),
        ("blink", {"blink"}, ["blink"]),
        ("blinks", {"blink"}, ["blink"]),
        ("pose", {"yaw", "pitch", "roll", "sway"}, ["pose"]),
    ],
)
@pytest.mark.parametrize("seed", SEEDS)
def test_replaced_cues_fail_and_no_other(name, tracks, cues, seed):
    script, spoilt = spoil(name, seed)
    assert changed(script, spoilt) == tracks
    assert failing_cues(script, spoilt) == cues


@pytest.mark.parametrize("seed", SEEDS)
def test_frozen_stands_still(seed):
    script, spoilt = spoil("frozen", seed)
    for name in TRACKS:
        assert np.array_equal(getattr(spoilt, name)[:14], getattr(script, name)[:14])
        assert np.ptp(getattr(spoilt, name)[14:]) == 0


@pytest.mark.parametrize("seed", SEEDS)
def test_retimed_meets_at_both_ends(seed):
    script, spoilt = spoil("retimed", seed)
    assert spoilt.yaw[0] == script.yaw[0]
    assert spoilt.yaw[-1] == pytest.approx(script.yaw[-1], abs=1e-5)
    assert failing_cues(script, spoilt)


@pytest.mark.parametrize("name", ["shift:3", "shift:8", "stranger", "retimed", "frozen"])
@pytest.mark.parametrize("seed", SEEDS)
def test_whole_defects_fail_somewhere(name, seed):
    assert failing_cues(*spoil(name, seed))


def test_a_good_pair_fails_nowhere():
    script = Script.random(0, 57, 25)
    assert failing_cues(script, script) == []


@pytest.mark.parametrize("name", ["shift", "shift:0", "shift:x", "wink", "gaze:2", ""])
def test_unknown_defects_are_named(name):
    with pytest.raises(ValueError, match="no defect called"):
        parse_defect(name)
