from dataclasses import replace

import numpy as np
import pytest

from synclora.errors import Reason
from synclora.motion.settings import VerdictSettings
from synclora.motion.signals import SIGNALS
from synclora.motion.sync import Agreement
from synclora.motion.verdict import Verdict, edit_hold, edit_strength, first_frame_misalignment, judge, least_r
from tests.motion.motions import FRAMES, edited, person, retimed, with_signals

RULE = VerdictSettings()


def outcome(source, other, rule=RULE):
    judgement = judge(source, other, rule)
    return judgement.verdict, judgement.reason


def test_twin_with_an_edit_is_kept():
    source = person()
    judgement = judge(source, edited(source), RULE)
    assert (judgement.verdict, judgement.reason, judgement.detail) == (Verdict.KEPT, None, "")


def test_copy_is_no_edit():
    source = person()
    assert outcome(source, source) == (Verdict.REJECTED, Reason.NO_EDIT)


@pytest.mark.parametrize(
    ("signals", "reason"),
    [
        (("speech",), Reason.SPEECH),
        (("gaze",), Reason.GAZE),
        (("blink",), Reason.BLINK),
        (("head_yaw", "head_pitch", "head_roll"), Reason.POSE),
        (("left_elbow", "left_wrist_x", "left_wrist_y"), Reason.POSE),
    ],
)
def test_each_part_fails_by_itself_while_the_mean_stays_high(signals, reason):
    source = person()
    other = person(11)
    judgement = judge(source, with_signals(edited(source), **{n: other.signals[n].values for n in signals}), RULE)
    assert (judgement.verdict, judgement.reason) == (Verdict.REJECTED, reason)


def test_dub_passes_when_speech_is_left_out():
    source = person()
    dub = with_signals(edited(source), speech=person(11).signals["speech"].values)
    rule = VerdictSettings(cues=("gaze", "blink", "pose"))
    assert outcome(source, dub, rule) == (Verdict.KEPT, None)


def test_late_twin_is_late():
    source = person()
    frames = np.arange(10, FRAMES - 10)
    assert outcome(retimed(source, frames), retimed(edited(source), frames - 2)) == (Verdict.REJECTED, Reason.LATE)


def test_half_closed_blink_fails_by_gain():
    source = person()
    judgement = judge(source, with_signals(edited(source), blink=0.2 * source.signals["blink"].values), RULE)
    assert judgement.reason == Reason.BLINK
    assert "times as far" in judgement.detail


def test_stillness_proves_nothing():
    source = person(still=SIGNALS)
    assert outcome(source, edited(source)) == (Verdict.REJECTED, Reason.NO_EVIDENCE)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"face_share": 0.0}, Reason.NO_FACE),
        ({"face_share": 0.5}, Reason.FACE_LOST),
        ({"second_face": 0.9}, Reason.TWO_FACES),
    ],
)
def test_unfit_source_is_quarantined(change, reason):
    source = person()
    assert outcome(replace(source, **change), edited(source)) == (Verdict.QUARANTINED, reason)


@pytest.mark.parametrize(("share", "reason"), [(0.0, Reason.NO_FACE), (0.5, Reason.FACE_LOST)])
def test_failed_edit_of_a_good_source_is_rejected(share, reason):
    source = person()
    assert outcome(source, replace(edited(source), face_share=share)) == (Verdict.REJECTED, reason)


def test_lengths_and_rates():
    source = person()
    twin = edited(source)
    assert outcome(source, retimed(twin, np.arange(FRAMES - 4))) == (Verdict.KEPT, None)
    assert outcome(source, retimed(twin, np.arange(FRAMES - 20))) == (Verdict.QUARANTINED, Reason.LENGTH_MISMATCH)
    assert outcome(source, replace(twin, fps=30.0)) == (Verdict.QUARANTINED, Reason.FPS_MISMATCH)


def test_too_short_to_compare():
    source = retimed(person(), np.arange(16))
    assert outcome(source, edited(source)) == (Verdict.REJECTED, Reason.NO_EVIDENCE)


def test_half_that_freezes_for_a_while():
    source = person()
    at = np.arange(FRAMES, dtype=float)
    at[60:] = 60
    judgement = judge(source, retimed(edited(source), at), RULE)
    assert judgement.verdict == Verdict.REJECTED
    assert "times as fast around frame" in judgement.detail


def test_misaligned_first_frame():
    source = person()
    moved = replace(edited(source), first_face_kc=source.first_face_kc + np.array([0.2, 0.0], np.float32))
    assert first_frame_misalignment(source, moved) == pytest.approx(0.2 / 0.3, rel=1e-4)
    assert outcome(source, moved) == (Verdict.REJECTED, Reason.MISALIGNED)


def test_edit_strength_is_the_root_mean_square_difference():
    source = person(shade=100)
    assert edit_strength(source, edited(source, shade=151)) == pytest.approx(0.2)


def test_edit_that_fades_after_the_first_frame():
    source = person(shade=100)
    fading = edited(source, shade=140)
    fading.stamps[1:] = 104
    assert edit_hold(source, fading) == pytest.approx(0.1)
    assert outcome(source, fading) == (Verdict.REJECTED, Reason.EDIT_FADES)


def test_every_finding_is_in_the_detail():
    source = person()
    other = person(11)
    wrong = with_signals(edited(source), speech=other.signals["speech"].values, blink=other.signals["blink"].values)
    detail = judge(source, wrong, RULE).detail
    assert "mouth r" in detail
    assert "lids r" in detail


def test_hand_that_starts_elsewhere_is_misaligned():
    source = person()
    wrist = source.signals["left_wrist_x"].values
    moved = with_signals(edited(source), left_wrist_x=wrist + 0.6)
    assert outcome(source, moved) == (Verdict.REJECTED, Reason.MISALIGNED)


def test_hidden_hand_is_not_misaligned():
    source = person(hidden=("left_wrist_x",))
    moved = with_signals(edited(source), left_wrist_x=source.signals["left_wrist_x"].values + 0.6)
    assert outcome(source, moved) == (Verdict.KEPT, None)


def test_noisy_part_is_asked_for_what_its_noise_allows():
    """At three times its noise a perfect twin reaches r = .90, so .63 is asked of a mouth instead of .70."""

    def mouth(snr):
        return Agreement("mouth", "speech", True, "", 0.66, snr, 1.0, 1.0, 0.0)

    assert least_r(mouth(3.0), RULE) == pytest.approx(0.63)
    assert least_r(mouth(30.0), RULE) == pytest.approx(0.70, abs=1e-3)
