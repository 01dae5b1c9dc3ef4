"""The gate opens for what follows the source and stays shut for what does not."""

import math

import numpy as np
import pytest

from synclora.embedded.gate import Row, judge, reconstruct, unseen, verdict
from tests.embedded.conftest import TINY


class Passing:
    """A codec that changes nothing but, if it is frozen, time."""

    def __init__(self, frozen=False):
        self.frozen = frozen

    def encode(self, pixels):
        return pixels

    def decode(self, pixels):
        return pixels[:, :, :1].expand_as(pixels) if self.frozen else pixels


def row(**changes):
    fine = {"name": "a", "split": "held_out", "kind": "real", "frames": 100, "face": 1.0, "psnr": 30.0}
    cues = {"std": {"speech": 0.1, "blink": 0.06, "gaze": 0.1}, "r": {"speech": 0.95, "blink": 0.95, "gaze": 0.5}}
    return Row(**{**fine, **cues, "ceiling": {"speech": 1.0, "blink": 1.0, "gaze": 1.0}, **changes})


def test_only_cues_that_move_and_miss_shut_it():
    assert verdict([row()]) == (True, [])
    still = row(std={"speech": 0.07, "blink": 0.04, "gaze": 0.1}, r={"speech": 0.1, "blink": math.nan, "gaze": 0.1})
    assert verdict([still])[0]
    is_open, findings = verdict([row(r={"speech": 0.89, "blink": math.nan, "gaze": 1.0})])
    assert not is_open
    assert [finding.split()[1] for finding in findings] == ["blink", "speech"]


def test_a_face_that_is_lost_shuts_it():
    assert not verdict([row(face=0.8), row(face=1.0)])[0]
    assert verdict([row(face=0.8, frames=10), row(face=1.0, frames=90)])[0]


def test_windows_cover_the_clip():
    clip = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3), dtype=np.uint8)
    assert (reconstruct(Passing(), clip, 17) == clip).all()
    frozen = reconstruct(Passing(frozen=True), clip, 17)
    assert [int(np.flatnonzero((clip == frame).all((1, 2, 3)))[0]) for frame in frozen[[0, 16, 22, 23, 39]]] == [0, 0, 17, 23, 23]


def test_a_real_clip_that_stands_still_is_seen(index, landmarker):
    (item,) = unseen(index, ["held_out"])
    found, small, made = judge(item, Passing(frozen=True), landmarker, TINY)
    assert found.frames == len(small) == len(made) == 78
    assert found.face > 0.9
    assert found.std["blink"] > 0.04
    assert found.ceiling["blink"] > 0.9
    assert found.r["blink"] < 0.7
    assert found.psnr == pytest.approx(10 * math.log10(255**2 / float(((made.astype(float) - small) ** 2).mean())), rel=1e-4)
