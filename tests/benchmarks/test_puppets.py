"""Quality where the truth of every frame is known: tracks against scripts, good pairs against bad ones."""

import json

import numpy as np
import pytest

from synclora.errors import SyncLoraError
from synclora.motion.settings import VerdictSettings
from synclora.motion.signals import smooth
from synclora.motion.verdict import Verdict, judge
from synclora.pairs.puppet.settings import PuppetSettings
from synclora.pairs.puppet.source import PuppetPairs

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(1800)]

SCRIPTED = {"speech": "speech", "blink": "blink", "gaze": "gaze", "yaw": "head_yaw", "pitch": "head_pitch", "roll": "head_roll"}
LEAST = {"speech": 0.95, "blink": 0.95, "gaze": 0.95, "yaw": 0.95, "pitch": 0.92, "roll": 0.95}
"""Pitch is read off a face whose jaw moves: MediaPipe takes some of an opening mouth for a nod."""
PAIRS = 60


@pytest.fixture(scope="module")
def judged(tmp_path_factory, measured):
    """Sixty pairs, every defect at least once, none of them in the default set."""
    source = PuppetPairs(PuppetSettings(pairs=PAIRS, seed=1))
    scratch = tmp_path_factory.mktemp("puppets")
    rows = []
    for pair in source.rows():
        made = source.materialise(pair, scratch)
        if made.problem:
            raise SyncLoraError(made.detail)
        halves = measured(made.source.path), measured(made.edited.path)
        rows.append((json.loads(pair.truth), source.scripts(pair), halves, judge(*halves, VerdictSettings())))
    return rows


def test_tracks_follow_the_script(judged, figure):
    for cue, signal in SCRIPTED.items():
        rs = [
            float(np.corrcoef(smooth(script.tracks()[cue]), smooth(half.signals[signal].values))[0, 1])
            for truth, scripts, halves, _ in judged
            if truth["defect"] is None
            for script, half in zip(scripts, halves, strict=True)
        ]
        figure(f"puppet {cue} against its script: median r {np.median(rs):.3f}, lowest {min(rs):.3f} of {len(rs)}")
        assert np.median(rs) >= LEAST[cue]


def test_good_against_bad(judged, figure):
    scores = {True: [], False: []}
    wrong = []
    for truth, _, _, judgement in judged:
        good = truth["defect"] is None
        scores[good].append(judgement.sync.score if judgement.sync else -1.0)
        if good != (judgement.verdict == Verdict.KEPT):
            wrong.append(f"{truth['defect']} {truth['edit']}: {judgement.verdict} {judgement.detail}")
    pairs = [(good > bad) + 0.5 * (good == bad) for good in scores[True] for bad in scores[False]]
    auc = float(np.mean(pairs))
    figure(
        f"puppet pairs: {len(scores[True])} good, {len(scores[False])} bad; AUC of the sync score {auc:.4f}; wrong verdicts {len(wrong)}"
    )
    for line in wrong:
        figure(f"  wrong: {line}")
    assert auc >= 0.99
    assert len(wrong) <= 0.02 * PAIRS


def test_shift_of_two_frames_is_told_from_none(judged, figure):
    lags = {
        defect: [j.sync.lag for t, _, _, j in judged if t["defect"] == defect and j.sync]
        for defect in (None, "shift:2", "shift:3")
    }
    for defect, values in lags.items():
        figure(f"puppet lag, {defect or 'in sync'}: {min(values):+.2f} to {max(values):+.2f} frames of {len(values)}")
    assert max(abs(lag) for lag in lags[None]) < 0.75 < min(lags["shift:2"])
