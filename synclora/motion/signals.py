"""Landmarks to signals: one number per frame for each thing that moves, with its noise and the frames in which it was seen.

Four cues (speech, gaze, blink, pose) are read from thirteen signals; pose is made of three parts (head, shoulders, arms left and
right), each of several signals. Formulas of speech, gaze and blink: Sync-LoRA (arXiv 2512.03013), as recovered from the authors'
published curves, which they fit at r >= .99; head, shoulders and arms are ours.

Shapes: t frames, k landmarks, c coordinates (x, y in pixels of the analysed picture).
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synclora.motion.landmarks import Floats, Landmarks
from synclora.motion.settings import Cue

# MediaPipe face mesh (478 points with irises).
INNER_LIP_TOP, INNER_LIP_BOTTOM = 13, 14
MOUTH_RIGHT, MOUTH_LEFT = 61, 291
RIGHT_EYE = (33, 160, 158, 133, 153, 144)
LEFT_EYE = (362, 385, 387, 263, 373, 380)
RIGHT_IRIS = 468
NOSE_TIP, NASION, RIGHT_EAR, LEFT_EAR = 1, 168, 234, 454
FACE_FRAME = (10, 152, 234, 454, 33, 133, 362, 263, 1, 61, 291)
"""Forehead, chin, ears, eye corners, nose tip, mouth corners: where the face is in the first frame."""
# MediaPipe pose (33 points). Left is the person's left.
SHOULDERS = (11, 12)
ARMS = {"left": (11, 13, 15), "right": (12, 14, 16)}

PARTS: dict[str, tuple[Cue, tuple[str, ...]]] = {
    "mouth": ("speech", ("speech",)),
    "iris": ("gaze", ("gaze",)),
    "lids": ("blink", ("blink",)),
    "head": ("pose", ("head_yaw", "head_pitch", "head_roll")),
    "shoulders": ("pose", ("shoulders_roll",)),
    "left_arm": ("pose", ("left_elbow", "left_wrist_x", "left_wrist_y")),
    "right_arm": ("pose", ("right_elbow", "right_wrist_x", "right_wrist_y")),
}
"""Part -> the cue it belongs to and its signals. A part is what is judged."""

SIGNALS: tuple[str, ...] = tuple(signal for _cue, signals in PARTS.values() for signal in signals)

NOISE_FLOOR = {
    "speech": 0.008,
    "gaze": 0.006,
    "blink": 0.005,
    "head_yaw": 0.005,
    "head_pitch": 0.004,
    "head_roll": 0.002,
    "shoulders_roll": 0.015,
    "left_elbow": 0.02,
    "right_elbow": 0.02,
    "left_wrist_x": 0.01,
    "left_wrist_y": 0.01,
    "right_wrist_x": 0.01,
    "right_wrist_y": 0.01,
}
"""The least noise that a signal is ever credited with, in its own unit: two looks can agree on an error by chance. About the median of
what 14 real clips differ by from six photometric copies of themselves, smoothed (over sqrt 2); pitch and shoulders stand above it, twice
and three times, since a moving jaw and a rocking body fooled both looks alike."""

MIN_BODY_VISIBILITY = 0.5
"""MediaPipe's own visibility of a joint; it is generous (jitter remains at .95), so noise is measured besides."""

ANGLES = frozenset({"head_roll", "shoulders_roll"})
"""Signals that live on a circle: unwrapped along time, compared modulo a turn."""

SMOOTH_WINDOW, SMOOTH_ORDER = 9, 2


@dataclass(frozen=True)
class Signal:
    """One signal of one video.

    Attributes:
        values: (t,) raw, gaps bridged by straight lines, angles unwrapped; zeros if it was never seen.
        noise: standard deviation of the smoothed signal's measuring error, in the signal's unit.
        seen: (t,) bool, where it was really seen.
    """

    values: Floats
    noise: float
    seen: NDArray[np.bool_]


def signals_of(landmarks: Landmarks) -> dict[str, Signal]:
    """All signals of one video, keyed by `SIGNALS`."""
    scale = np.array([landmarks.width, landmarks.height], np.float32)
    first, again = (_face_signals(face * scale) for face in (landmarks.face_tkc, landmarks.face_again_tkc))
    looks = [_body_signals(look[..., :2] * scale, look[..., 2], landmarks) for look in landmarks.body_tkc]
    face = {name: _watched_signal(first[name], again[name], name) for name in first}
    body = {name: _turn_taking_signal(looks[0][name], looks[1][name], landmarks.body_look_t, name) for name in looks[0]}
    return {name: (face | body)[name] for name in SIGNALS}


def smooth(values: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Savitzky-Golay along the last axis, window 9, order 2: the smoothing of the authors' plotted curves. Shorter clips, shorter window."""
    frames = values.shape[-1]
    window = min(SMOOTH_WINDOW, frames - 1 + frames % 2)
    if window <= SMOOTH_ORDER:
        return np.asarray(values, np.float64)
    from scipy.signal import savgol_filter  # a third of a second that most processes need not spend

    return np.asarray(savgol_filter(np.asarray(values, np.float64), window, SMOOTH_ORDER, axis=-1))


def face_seen(landmarks: Landmarks) -> NDArray[np.bool_]:
    """(t,) whether a face was found."""
    seen: NDArray[np.bool_] = np.isfinite(landmarks.face_tkc[:, NOSE_TIP, 0])
    return seen


def _face_signals(face_tkc: Floats) -> dict[str, Floats]:
    def gap(a: int, b: int) -> Floats:
        distance: Floats = np.linalg.norm(face_tkc[:, a] - face_tkc[:, b], axis=-1)
        return distance

    def aspect(eye: tuple[int, ...]) -> Floats:
        outer, top1, top2, inner, bottom2, bottom1 = eye
        return (gap(top1, bottom1) + gap(top2, bottom2)) / (2 * gap(outer, inner))

    outer, inner = RIGHT_EYE[0], RIGHT_EYE[3]
    across = face_tkc[:, LEFT_EAR] - face_tkc[:, RIGHT_EAR]
    width = np.linalg.norm(across, axis=-1)
    nasion = face_tkc[:, NASION] - (face_tkc[:, LEFT_EAR] + face_tkc[:, RIGHT_EAR]) / 2  # the nose's tip moves with the jaw
    right, left = gap(NOSE_TIP, RIGHT_EAR), gap(NOSE_TIP, LEFT_EAR)
    eyes = face_tkc[:, LEFT_EYE[3]] - face_tkc[:, outer]
    iris = face_tkc[:, RIGHT_IRIS, 0] - (face_tkc[:, outer, 0] + face_tkc[:, inner, 0]) / 2
    return {
        "speech": gap(INNER_LIP_TOP, INNER_LIP_BOTTOM) / gap(MOUTH_RIGHT, MOUTH_LEFT),
        "gaze": -iris / gap(outer, inner),
        "blink": -(aspect(RIGHT_EYE) + aspect(LEFT_EYE)) / 2,
        "head_yaw": (right - left) / (right + left),
        "head_pitch": (across[:, 0] * nasion[:, 1] - across[:, 1] * nasion[:, 0]) / width**2,
        "head_roll": np.arctan2(eyes[:, 1], eyes[:, 0]),
    }


def _body_signals(body_tkc: Floats, visibility_tk: Floats, landmarks: Landmarks) -> dict[str, Floats]:
    """Arms in units of the shoulder width, seen from the middle of the shoulders. NaN where a joint is hidden or out of the picture."""
    inside = (body_tkc > 0) & (body_tkc < np.array([landmarks.width, landmarks.height]))
    joints = np.where(((visibility_tk >= MIN_BODY_VISIBILITY) & inside.all(-1))[..., None], body_tkc, np.nan)
    across = joints[:, SHOULDERS[0]] - joints[:, SHOULDERS[1]]
    middle = (joints[:, SHOULDERS[0]] + joints[:, SHOULDERS[1]]) / 2
    lengths = np.linalg.norm(across, axis=-1)
    unit = np.nanmedian(lengths) if np.isfinite(lengths).any() else np.nan
    signals = {"shoulders_roll": np.arctan2(across[:, 1], across[:, 0])}
    for side, (shoulder, elbow, wrist) in ARMS.items():
        upper, fore = joints[:, shoulder] - joints[:, elbow], joints[:, wrist] - joints[:, elbow]
        turn = upper[:, 0] * fore[:, 1] - upper[:, 1] * fore[:, 0]
        signals[f"{side}_elbow"] = np.arctan2(np.abs(turn), (upper * fore).sum(-1))  # 0 folded .. pi straight: cannot wrap
        signals[f"{side}_wrist_x"], signals[f"{side}_wrist_y"] = ((joints[:, wrist] - middle) / unit).T
    return signals


def _watched_signal(look_a: Floats, look_b: Floats, name: str) -> Signal:
    """A signal with two looks at every frame: the first one's value, which fits the authors' curves better than the mean (gaze .99, .96)."""
    filled = _bridge(look_a, name)
    return Signal(filled, _noise(_wrapped(look_b - filled, name), name, share=0.5), np.isfinite(look_a))


def _turn_taking_signal(look_a: Floats, look_b: Floats, look_t: NDArray[np.int8], name: str) -> Signal:
    """A signal whose two looks take turns: the mean of the two, each drawn through its own frames."""
    looks = [np.where(look_t == turn, look, np.nan) for turn, look in enumerate((look_a, look_b))]
    drawn = [_bridge(look, name) for look in looks]
    covered = [_covered(np.isfinite(look), look_t == turn) for turn, look in enumerate(looks)]
    both = covered[0] & covered[1]
    difference = _wrapped(drawn[1] - drawn[0], name)
    values = np.where(both | ~covered[1], drawn[0], drawn[0] + difference) + np.where(both, difference / 2, 0)
    return Signal(_unwrap(values, name), _noise(np.where(both, difference, np.nan), name, share=0.25), covered[0] | covered[1])


def _noise(error: NDArray[np.floating[Any]], name: str, share: float) -> float:
    """Spread of the smoothed error; `share` of the two looks' squared difference is the error of the value that is used."""
    floor = NOISE_FLOOR[name]
    if np.isfinite(error).sum() < SMOOTH_WINDOW:
        return floor
    spread = float(smooth(_unwrap(_bridge(error, ""), name)).std())
    return max(floor, spread * math.sqrt(share))


def _covered(found: NDArray[np.bool_], looked: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Frames between two looks that both found it (or at one that did)."""
    at = np.flatnonzero(looked)
    if not at.size:
        return np.zeros_like(found)
    frames = np.arange(len(found))
    return np.interp(frames, at, found[at].astype(float), left=0.0, right=0.0) >= 1.0


def _bridge(values: NDArray[np.floating[Any]], name: str) -> Floats:
    known = np.flatnonzero(np.isfinite(values))
    if not known.size:
        return np.zeros(len(values), np.float32)
    return np.interp(np.arange(len(values)), known, _unwrap(values[known], name)).astype(np.float32)


def _unwrap(values: NDArray[np.floating[Any]], name: str) -> Floats:
    return (np.unwrap(values) if name in ANGLES else values).astype(np.float32)


def _wrapped(difference: NDArray[np.floating[Any]], name: str) -> NDArray[np.floating[Any]]:
    return (difference + np.pi) % (2 * np.pi) - np.pi if name in ANGLES else difference
