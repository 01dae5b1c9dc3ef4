"""What the puppet does, frame by frame: speech, blinks, gaze, head pose and sway, all from one seed.

script = Script.random(seed=7, frames=56, fps=25)
script.tracks()["blink"]      # the curve that a measurement of the rendered video should follow
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

Track = npt.NDArray[np.float32]

YAW = np.deg2rad(13.0)
PITCH = np.deg2rad(6.0)
ROLL = np.deg2rad(6.5)
"""Largest head angles (radians). Past about 15° of yaw the far cheek has no pixels in a frontal portrait."""

LEAN = np.deg2rad(1.6)
"""Lean of the body (radians) at sway = 1: shoulders and head tilt by as much."""


@dataclass(frozen=True)
class Script:
    """One performance; every array has one value per frame.

    Attributes:
        speech: mouth opening, 0 closed to 1 wide.
        rounding: lips spread (-1) to pursed (1).
        blink: 0 eyes open to 1 shut.
        gaze: eyes to the picture's left (-1) to its right (1).
        yaw: radians, positive turns the nose to the picture's right.
        pitch: radians, positive nods down.
        roll: radians, positive tilts clockwise as seen.
        sway: lean of the body, -1..1.
    """

    speech: Track
    rounding: Track
    blink: Track
    gaze: Track
    yaw: Track
    pitch: Track
    roll: Track
    sway: Track

    def __len__(self) -> int:
        return len(self.speech)

    @classmethod
    def random(cls, seed: int, frames: int, fps: float) -> "Script":
        """A lively performance in which every cue moves enough to be measured."""
        rng = np.random.default_rng([seed, 0x9A7])
        blink = _blinks(rng, frames, fps)
        speech = _syllables(rng, frames, fps)
        return cls(
            speech=speech,
            rounding=_wander(rng, frames, fps, 0.3),
            blink=blink,
            gaze=_glances(rng, frames, fps),
            yaw=(YAW * _wander(rng, frames, fps, 0.85)).astype(np.float32),
            pitch=(PITCH * _wander(rng, frames, fps, 0.65)).astype(np.float32),
            roll=(ROLL * _wander(rng, frames, fps, 0.8)).astype(np.float32),
            sway=_wander(rng, frames, fps, 1.3),
        )

    @classmethod
    def of(cls, frames: int, **tracks: Sequence[float]) -> "Script":
        """A script that rests except for the given tracks."""
        rest = {f.name: np.zeros(frames, np.float32) for f in fields(cls)}
        return cls(**{**rest, **{name: np.asarray(track, np.float32) for name, track in tracks.items()}})

    def taken(self, at: npt.NDArray[np.float64]) -> "Script":
        """The script read at other moments (frames, fractions allowed; beyond an end it is mirrored)."""
        last = len(self) - 1
        inside = last - np.abs(last - np.mod(at, 2 * last)) if last else np.zeros_like(at)
        known = np.arange(len(self))
        read = {f.name: np.interp(inside, known, getattr(self, f.name)).astype(np.float32) for f in fields(self)}
        return Script(**read)

    def tracks(self) -> dict[str, Track]:
        """The measured cues as predicted, up to scale and offset: speech, blink, gaze, yaw, pitch, roll.

        Signs follow the measures: blink is -EAR (up when the eye shuts), gaze is minus the iris' offset to the right.
        """
        return {
            "speech": self.speech,
            "blink": self.blink,
            "gaze": (-self.gaze).astype(np.float32),
            "yaw": self.yaw,
            "pitch": self.pitch,
            "roll": (self.roll + LEAN * self.sway).astype(np.float32),
        }


def _wander(rng: np.random.Generator, frames: int, fps: float, seconds: float) -> Track:
    """A smooth curve through random heights about every `seconds`, alternating sides so that it never stands still."""
    count = int(np.ceil(frames / (fps * seconds))) + 3
    side = np.where(np.arange(count) % 2 == 0, 1.0, -1.0) * rng.choice([-1.0, 1.0])
    heights = side * rng.uniform(0.45, 1.0, count)
    knots = np.cumsum(rng.uniform(0.75, 1.25, count)) * fps * seconds
    knots -= knots[0] + rng.uniform(0, 1) * (knots[1] - knots[0])
    return _eased(np.arange(frames, dtype=np.float64), knots, heights)


def _eased(at: npt.NDArray[np.float64], knots: npt.NDArray[np.float64], heights: npt.NDArray[np.float64]) -> Track:
    cell = np.clip(np.searchsorted(knots, at, side="right") - 1, 0, len(knots) - 2)
    t = np.clip((at - knots[cell]) / (knots[cell + 1] - knots[cell]), 0, 1)
    ease = t * t * (3 - 2 * t)
    return np.asarray(heights[cell] + (heights[cell + 1] - heights[cell]) * ease, dtype=np.float32)


def _syllables(rng: np.random.Generator, frames: int, fps: float) -> Track:
    """About 3.5 syllables a second in words of two to five, the mouth almost shut between them."""
    at = np.arange(frames) / fps
    track = np.zeros(frames)
    moment = rng.uniform(-0.1, 0.15)
    while moment < at[-1] + 0.3:
        for _ in range(int(rng.integers(2, 6))):
            length = rng.uniform(0.23, 0.33)
            height = rng.uniform(0.35, 1.0)
            bump = np.clip(1 - np.abs(at - moment) / (0.72 * length), 0, 1)
            track = np.maximum(track, height * bump * bump * (3 - 2 * bump))
            moment += length
        moment += rng.uniform(0.12, 0.4)
    return np.clip(track, 0, 1).astype(np.float32)


BLINK_SHAPE = (0.0, 0.4, 0.95, 1.0, 0.95, 0.55, 0.2, 0.0)
"""Closure at 25 fps: shut in about 80 ms, held for three frames, opened in about 120 ms."""


def _blinks(rng: np.random.Generator, frames: int, fps: float) -> Track:
    at = np.arange(frames) / fps
    shape_at = (np.arange(len(BLINK_SHAPE)) - 3) / 25
    track = np.zeros(frames)
    moment = rng.uniform(0.3, 0.6)
    while moment < at[-1] - 0.12:
        track = np.maximum(track, np.interp(at - moment, shape_at, BLINK_SHAPE))
        moment += rng.uniform(0.75, 1.3)
    return track.astype(np.float32)


LIVELY_GAZE = 0.65
"""Spread of the gaze that is aimed for: with half of it the measure's own errors at blinks show."""


def _glances(rng: np.random.Generator, frames: int, fps: float) -> Track:
    """Quick moves between held directions, mostly from one side to the other."""
    count = int(frames / fps / 0.3) + 4
    holds = rng.uniform(0.3, 0.65, count)
    starts = np.cumsum(holds) - holds[0] - rng.uniform(0, 0.3)
    side = np.where(np.arange(count) % 2 == 0, 1.0, -1.0) * rng.choice([-1.0, 1.0])
    aims = side * rng.uniform(0.55, 1.0, count)
    centre = (rng.uniform(size=count) < 0.25) & (np.arange(count) % 3 == 0)  # two looks aside between two ahead
    aims = np.where(centre, rng.uniform(-0.2, 0.2, count), aims)
    move = 3 / 25  # a saccade of three frames at 25 fps: slower than life, but it survives the nine-frame smoother
    knots = np.stack([starts, starts + move], axis=1).ravel()
    heights = np.stack([np.roll(aims, 1), aims], axis=1).ravel()
    track = _eased(np.arange(frames) / fps, knots, heights)
    lively = min(1.4, max(1.0, LIVELY_GAZE / max(float(track.std()), 1e-3)))
    return np.clip(track * lively, -1, 1).astype(np.float32)
