import numpy as np

from synclora.motion.measure import Measurement
from synclora.motion.signals import Signal
from synclora.report.curves import curves_of
from synclora.report.moments import MAX_MOMENTS, moments_of
from tests.report.conftest import FPS, RULE, measured, row, wave


def moments(made, focus=None):
    return moments_of(made, curves_of(made, RULE), focus)


def test_the_largest_disagreement_of_the_failing_cue_is_shown():
    lips = wave(0)
    lips[40:50] -= 9 * np.hanning(10)
    found = moments(row("dubbed", measured(), measured(tint=130, speech=lips)), "speech")
    assert all(moment.cue == "speech" for moment in found)
    assert any(abs(moment.frame - 44.5) < 3 for moment in found)


def test_kept_pairs_show_their_movements_in_order_and_apart(rows):
    found = moments(rows[0])
    frames = [moment.frame for moment in found]
    assert len(found) == MAX_MOMENTS
    assert frames == sorted(frames)
    assert min(np.diff(frames)) > 0.1 * FPS
    assert len({moment.cue for moment in found}) >= 3


def test_a_lost_face_is_shown_where_it_is_lost():
    edited = measured(tint=130)
    seen = np.arange(75) < 20
    signals = {name: Signal(signal.values, signal.noise, seen) for name, signal in edited.signals.items()}
    lost = row("lost", measured(), Measurement(**{**vars(edited), "signals": signals, "face_share": 0.27}))
    assert lost["reason"] == "face_lost"
    assert [(moment.frame, moment.label) for moment in moments(lost)] == [(19, "last face found"), (47, "no face found")]


def test_a_copy_shows_its_last_frame(rows):
    copy = next(made for made in rows if made["name"] == "copy")
    assert [moment.frame for moment in moments(copy)] == [74]
