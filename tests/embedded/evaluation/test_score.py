"""What a video is worth: the source says what is asked for, and nothing that stands still earns anything."""

from dataclasses import replace

import numpy as np
import pytest

from synclora.embedded.evaluation.score import Score, distance, score_of
from synclora.motion.settings import CUES
from synclora.motion.signals import NOISE_FLOOR, Signal
from tests.motion.motions import FRAMES, edited, person, retimed, with_signals


def without_face(measurement):
    hidden = {name: replace(one, seen=np.zeros(FRAMES, bool)) for name, one in measurement.signals.items()}
    return replace(measurement, signals=hidden, face_share=0.0)


def jittering(measurement, like=None):
    """Standing still; its noise follows another's motion, a tenth of its own size."""
    signals = {}
    for name, one in measurement.signals.items():
        moved = (like.signals[name].values if like else 0 * one.values) * 0.1
        signals[name] = Signal(moved.astype(np.float32), NOISE_FLOOR[name], one.seen)
    return replace(measurement, signals=signals)


def test_a_twin_is_worth_one():
    source = person()
    score = score_of(source, edited(source))
    assert score.mean > 0.98
    assert all(score.cues[cue] > 0.98 for cue in CUES)
    assert score.verdict == "kept"
    assert score.mean == pytest.approx(np.mean(list(score.cues.values())), abs=1e-3)


def test_a_picture_that_stands_still_is_worth_nothing_even_where_its_jitter_agrees():
    source = person()
    for still in (jittering(source), jittering(source, like=source)):
        score = score_of(source, still)
        assert score.cues == dict.fromkeys(CUES, 0.0)
        assert score.mean == 0
    assert max(score.raw.values()) > 0.9  # the scorer alone would have praised it


def test_what_the_source_does_not_move_is_not_asked_for():
    source = person(still=("speech",))
    lively = with_signals(edited(source), speech=person(3).signals["speech"].values)  # the edit speaks, the source does not
    score = score_of(source, lively)
    assert score.cues["speech"] is None
    assert score.mean == pytest.approx(np.mean([score.cues[cue] for cue in ("gaze", "blink", "pose")]), abs=1e-3)
    nothing = person(still=tuple(source.signals))
    assert score_of(nothing, edited(nothing)).mean is None


def test_one_part_that_is_still_counts_in_its_cue():
    source = person()
    flat = with_signals(edited(source), shoulders_roll=np.zeros(FRAMES))
    score = score_of(source, flat)
    assert score.cues["pose"] == pytest.approx(0.75, abs=0.01)  # three parts of four
    assert score.cues["blink"] > 0.98


def test_no_face_is_zero_and_a_stranger_near_it():
    source = person()
    lost = score_of(source, without_face(edited(source)))
    assert lost.cues == dict.fromkeys(CUES, 0.0)
    assert lost.face == 0
    assert lost.sync is None
    other = score_of(source, edited(person(7)))
    assert abs(other.mean) < 0.3
    assert other.verdict == "rejected"


def test_a_late_edit_says_by_how_much():
    source = person()
    frames = np.arange(20, FRAMES - 20)
    score = score_of(retimed(source, frames), retimed(edited(source), frames - 3))
    assert score.lag == pytest.approx(3, abs=0.3)


def test_strength_and_first_frame_are_distances_of_pictures():
    source = person(shade=100)
    twin = edited(source, shade=151)
    score = score_of(source, twin, first=np.full((32, 32, 3), 151, np.uint8))
    assert (score.strength, score.first, score.hold) == pytest.approx((0.2, 0, 1), abs=1e-3)
    assert distance(np.zeros((32, 32, 3), np.uint8), np.full((32, 32, 3), 255, np.uint8)) == 1


def test_figures_by_name_and_back_from_json():
    from dataclasses import asdict

    score = score_of(person(), edited(person()))
    assert score.figure("blink") == score.cues["blink"]
    assert score.figure("kept") == 1
    assert Score.from_json(asdict(score)) == score
