import numpy as np

from synclora.errors import Reason
from synclora.motion.signals import SIGNALS
from synclora.report.curves import curves_of
from tests.report.conftest import FRAMES, RULE, measured, row, unread, wave


def test_the_four_curves_are_standardised_over_the_clip(rows):
    curves = curves_of(rows[0], RULE)
    assert [curve.cue for curve in curves] == ["speech", "gaze", "blink", "pose"]
    for curve in curves:
        assert curve.evidence
        np.testing.assert_allclose([curve.source_t.mean(), curve.source_t.std()], [0, 1], atol=1e-6)


def test_a_still_signal_stays_flat_instead_of_being_blown_up():
    tremble = np.random.default_rng(0).normal(0, 0.02, FRAMES)
    still = row("still", measured(speech=tremble), measured(tint=130, speech=tremble[::-1]))
    speech = curves_of(still, RULE)[0]
    assert not speech.evidence
    assert np.abs(speech.source_t).max() < 0.3


def test_pose_shows_the_failing_part_else_the_clearest():
    stiff = {name: np.zeros(FRAMES) for name in SIGNALS if name.startswith("head")}
    kept = curves_of(row("kept", measured(**stiff), measured(tint=9, **stiff)), RULE)[3]
    assert kept.part != "head"
    gesture = row("gesture", measured(right_elbow=3 * wave(60)), measured(tint=130, right_elbow=3 * wave(61)))
    assert gesture["reason"] == "pose"
    assert curves_of(gesture, RULE)[3].part == "right_arm"


def test_hidden_parts_are_marked_unseen():
    hidden = curves_of(row("masked", measured(), measured(tint=130, speech=None)), RULE)[0]
    assert not hidden.seen_t.any()
    assert not hidden.evidence


def test_a_pair_that_was_never_measured_has_no_curves():
    assert curves_of(unread("torn", Reason.BROKEN_MEDIA, ""), RULE) == []
