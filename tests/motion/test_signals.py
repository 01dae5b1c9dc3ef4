"""Signals against landmarks made by hand, so that every formula has a number it must give."""

import numpy as np
import pytest

from synclora.motion.landmarks import BODY_POINTS, FACE_POINTS, Landmarks
from synclora.motion.signals import ANGLES, NOISE_FLOOR, PARTS, SIGNALS, face_seen, signals_of, smooth

T, W, H = 40, 200, 100


def landmarks(face=None, again=None, body=None, looks=None) -> Landmarks:
    face = np.random.default_rng(0).uniform(0.3, 0.7, (T, FACE_POINTS, 2)).astype(np.float32) if face is None else face
    body = np.full((2, T, BODY_POINTS, 3), np.nan, np.float32) if body is None else body
    looks = np.resize([0, 1], T).astype(np.int8) if looks is None else looks
    return Landmarks(face, face if again is None else again, body, looks, 0.0, W, H)


def place(points: dict[int, tuple[float, float]]) -> np.ndarray:
    """Face points in pixels; all others somewhere harmless."""
    face = np.random.default_rng(2).uniform(0.3, 0.7, (1, FACE_POINTS, 2)).astype(np.float32).repeat(T, axis=0)
    for index, (x, y) in points.items():
        face[:, index] = x / W, y / H
    return face


def body(points: dict[int, tuple[float, float]], visibility: float = 0.9) -> np.ndarray:
    looks = np.full((2, T, BODY_POINTS, 3), np.nan, np.float32)
    for index, (x, y) in points.items():
        looks[:, :, index] = x / W, y / H, visibility
    return looks


def test_speech_is_lip_gap_over_mouth_width():
    face = place({13: (100, 40), 14: (100, 50), 61: (80, 45), 291: (120, 45)})
    assert signals_of(landmarks(face))["speech"].values[0] == pytest.approx(10 / 40, rel=1e-3)


def test_blink_is_minus_the_eye_aspect_ratio_of_both_eyes():
    right = {33: (50, 50), 160: (55, 47), 158: (65, 47), 133: (70, 50), 153: (65, 53), 144: (55, 53)}
    left = {362: (130, 50), 385: (135, 48), 387: (145, 48), 263: (150, 50), 373: (145, 52), 380: (135, 52)}
    assert signals_of(landmarks(place(right | left)))["blink"].values[0] == pytest.approx(-(6 / 20 + 4 / 20) / 2, rel=1e-3)


def test_gaze_is_the_iris_offset_of_the_right_eye():
    face = place({33: (50, 50), 133: (70, 50), 468: (64, 50)})
    assert signals_of(landmarks(face))["gaze"].values[0] == pytest.approx(-(64 - 60) / 20, rel=1e-3)


def test_roll_is_unwrapped_and_in_radians():
    face = place({33: (50, 50)})
    angles = np.linspace(2.8, 3.6, T)
    face[:, 263, 0], face[:, 263, 1] = (50 + 40 * np.cos(angles)) / W, (50 + 40 * np.sin(angles)) / H
    roll = signals_of(landmarks(face))["head_roll"].values
    assert np.allclose(roll - roll[0], angles - angles[0], atol=1e-3)


def test_elbow_is_the_inner_angle():
    straight = signals_of(landmarks(body=body({11: (100, 20), 12: (60, 20), 13: (100, 50), 15: (100, 80)})))
    bent = signals_of(landmarks(body=body({11: (100, 20), 12: (60, 20), 13: (100, 50), 15: (130, 50)})))
    assert straight["left_elbow"].values[0] == pytest.approx(np.pi, abs=1e-3)
    assert bent["left_elbow"].values[0] == pytest.approx(np.pi / 2, abs=1e-3)


def test_wrist_is_in_shoulder_widths_from_their_middle():
    signals = signals_of(landmarks(body=body({11: (100, 20), 12: (60, 20), 13: (100, 50), 15: (120, 60)})))
    assert signals["left_wrist_x"].values[0] == pytest.approx((120 - 80) / 40, rel=1e-3)
    assert signals["left_wrist_y"].values[0] == pytest.approx((60 - 20) / 40, rel=1e-3)


@pytest.mark.parametrize("hidden", [{"visibility": 0.2}, {"at": (100, 110)}])
def test_joint_that_is_unsure_or_outside_is_not_seen(hidden):
    points = {11: (100, 20), 12: (60, 20), 13: (100, 50), 15: hidden.get("at", (100, 80))}
    signals = signals_of(landmarks(body=body(points, hidden.get("visibility", 0.9))))
    assert not signals["left_elbow"].seen.any()


def test_noise_is_half_the_spread_between_two_full_looks_by_variance():
    rng = np.random.default_rng(1)
    base = place({13: (100, 40), 14: (100, 50), 61: (80, 45), 291: (120, 45)})
    face, again = base.copy(), base.copy()
    gap = rng.normal(0, 4 / H, T)
    again[:, 14, 1] += gap
    expected = smooth(gap * H / 40).std() * np.sqrt(0.5)
    assert signals_of(landmarks(face, again))["speech"].noise == pytest.approx(expected, rel=0.05)


def test_looks_that_agree_by_chance_are_credited_with_the_floor():
    for name, signal in signals_of(landmarks()).items():
        if name in PARTS["mouth"][1] + PARTS["iris"][1] + PARTS["lids"][1]:
            assert signal.noise == NOISE_FLOOR[name]


def test_looks_that_take_turns_are_drawn_through_their_own_frames():
    """Look 0 sees the elbow 0.2 rad wider than look 1: the value lies between, the noise is a quarter of the squared spread."""
    looks = np.resize([0, 1], T).astype(np.int8)
    both = body({11: (100, 20), 12: (60, 20), 13: (100, 50), 15: (130, 50)})
    for look, shift in ((0, 6.0), (1, 0.0)):
        both[look, :, 15, 1] += shift / H
    signal = signals_of(landmarks(body=both, looks=looks))["left_elbow"]
    wide = np.pi / 2 + np.arctan2(6, 30)
    assert np.allclose(signal.values[2:-2], (wide + np.pi / 2) / 2, atol=1e-3)


def test_gap_in_the_face_is_bridged_but_not_seen():
    face = place({13: (100, 40), 14: (100, 50), 61: (80, 45), 291: (120, 45)})
    face[10:14] = np.nan
    result = landmarks(face)
    signal = signals_of(result)["speech"]
    assert np.isfinite(signal.values).all()
    assert not signal.seen[10:14].any()
    assert face_seen(result).sum() == T - 4


def test_nothing_found_at_all():
    nothing = landmarks(np.full((T, FACE_POINTS, 2), np.nan, np.float32))
    for signal in signals_of(nothing).values():
        assert np.isfinite(signal.values).all()
        assert not signal.seen.any()


def test_every_signal_belongs_to_one_part():
    assert len(SIGNALS) == len(set(SIGNALS))
    assert set(SIGNALS) == set(NOISE_FLOOR)
    assert set(SIGNALS) >= ANGLES


@pytest.mark.parametrize("frames", [1, 2, 3, 8, 9, 50])
def test_smoothing_takes_any_length(frames):
    values = np.arange(frames, dtype=float)
    assert np.allclose(smooth(values), values)
