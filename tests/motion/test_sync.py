import math

import numpy as np
import pytest

from synclora.motion.settings import VerdictSettings
from synclora.motion.signals import SIGNALS
from synclora.motion.sync import compare
from tests.motion.motions import FRAMES, edited, person, retimed, with_signals

RULE = VerdictSettings()


def part(sync, name):
    return next(p for p in sync.parts if p.part == name)


def test_twin_agrees_in_every_part_without_delay():
    source = person()
    sync = compare(source, edited(source), RULE)
    assert all(p.evidence and p.r > 0.98 for p in sync.parts)
    assert abs(sync.lag) < 0.1
    assert abs(sync.local_lag) < 0.3
    assert sync.low <= sync.score <= sync.high


@pytest.mark.parametrize("delay", [-5, -2, -1, 1, 2, 3, 8])
def test_delay_is_measured_with_its_sign(delay):
    source = person()
    frames = np.arange(20, FRAMES - 20)
    late = compare(retimed(source, frames), retimed(edited(source), frames - delay), RULE)
    assert late.lag == pytest.approx(delay, abs=0.2)


def test_fraction_of_a_frame_is_measured():
    source = person()
    frames = np.arange(20, FRAMES - 20)
    late = compare(retimed(source, frames), retimed(edited(source), frames - 0.5), RULE)
    assert late.lag == pytest.approx(0.5, abs=0.2)


def test_retiming_in_the_middle_shows_as_local_delay_only():
    source = person()
    at = np.arange(FRAMES) + 5 * np.exp(-(((np.arange(FRAMES) - 50) / 15) ** 2))
    sync = compare(source, retimed(edited(source), np.clip(at, 0, FRAMES - 1)), RULE)
    assert abs(sync.local_lag) > 2
    assert 20 < sync.local_at < 80


def test_still_signal_is_no_evidence_and_has_no_number():
    source = person(still=("speech",))
    mouth = part(compare(source, edited(source), RULE), "mouth")
    assert not mouth.evidence
    assert mouth.why == "still"
    assert math.isnan(mouth.r)
    assert mouth.snr < RULE.min_snr


def test_hidden_part_is_no_evidence():
    source = person(hidden=("left_wrist_x",))
    arm = part(compare(source, edited(source), RULE), "left_arm")
    assert not arm.evidence
    assert arm.why == "hidden"


def test_frozen_edit_of_a_moving_source_is_evidence_against_it():
    source = person()
    frozen = with_signals(edited(source), blink=np.zeros(FRAMES))
    lids = part(compare(source, frozen, RULE), "lids")
    assert lids.evidence
    assert lids.r < 0.5


def test_movement_added_to_a_still_source_is_evidence_against_it():
    source = person(still=("speech",))
    talking = with_signals(edited(source), speech=person(7).signals["speech"].values)
    mouth = part(compare(source, talking, RULE), "mouth")
    assert mouth.evidence
    assert mouth.r < 0.7


def test_gain_sees_what_correlation_does_not():
    source = person()
    half = with_signals(edited(source), blink=0.25 * source.signals["blink"].values)
    lids = part(compare(source, half, RULE), "lids")
    assert lids.r > 0.95
    assert lids.gain == pytest.approx(0.25, abs=0.03)


def test_noisy_component_does_not_drown_a_clear_one():
    """Yaw is as noisy as it moves, roll is clear: the head is judged by roll."""
    source = person(still=("head_yaw", "head_pitch"))
    head = part(compare(source, edited(source), RULE), "head")
    assert head.evidence
    assert head.r > 0.98


def test_slow_motion_does_not_pick_a_delay_from_noise():
    """A nod of a whole clip fits almost as well a few frames off: that is no delay."""
    slow = np.sin(np.linspace(0, np.pi, FRAMES))
    rng = np.random.default_rng(3)
    source = person(still=SIGNALS)
    for trial in range(20):
        halves = [with_signals(source, head_pitch=0.2 * slow + 0.0008 * rng.normal(size=FRAMES)) for _ in range(2)]
        assert abs(compare(*halves, RULE).lag) < 0.75, trial


@pytest.mark.parametrize("start", [20, 64])
def test_frozen_stretch_shows_in_the_local_gain(start):
    source = person()
    at = np.arange(FRAMES, dtype=float)
    at[start : start + 36] = start
    sync = compare(source, retimed(edited(source), at), RULE)
    assert sync.local_gain < 1 / RULE.max_local_gain
    assert start <= sync.local_gain_at <= start + 36


def test_stretch_at_the_very_end_is_looked_at():
    source = person()
    at = np.arange(FRAMES, dtype=float)
    at[-36:] -= 6
    assert compare(source, retimed(edited(source), at), RULE).local_lag == pytest.approx(6, abs=0.5)


def test_left_out_cue_is_not_looked_at():
    source = person()
    sync = compare(source, edited(source), VerdictSettings(cues=("speech", "pose")))
    assert {p.cue for p in sync.parts} == {"speech", "pose"}
    assert math.isnan(sync.cue("gaze"))


def test_nothing_moves():
    source = person(still=SIGNALS)
    sync = compare(source, edited(source), RULE)
    assert math.isnan(sync.score)
    assert math.isnan(sync.lag)


def test_score_is_the_mean_of_cues_not_of_parts():
    source = person()
    sync = compare(source, with_signals(edited(source), blink=person(9).signals["blink"].values), RULE)
    assert sync.score == pytest.approx(np.mean([sync.cue(cue) for cue in RULE.cues]))


def test_unseen_frames_do_not_count():
    """A hand passes over the mouth: what the tracker makes up there is ignored."""
    from dataclasses import replace

    source = person()
    twin = edited(source)
    speech = twin.signals["speech"]
    seen = speech.seen.copy()
    seen[30:50] = False
    values = speech.values.copy()
    values[30:50] = np.linspace(values[29], values[50], 20)  # as the signals room bridges a gap
    covered = replace(twin, signals=twin.signals | {"speech": replace(speech, values=values, seen=seen)})
    assert part(compare(source, covered, RULE), "mouth").r > 0.8
