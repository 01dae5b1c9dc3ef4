"""Known-bad pairs: what goes wrong in the edited half, as pure functions from script to script.

spoilt = apply_defect("shift:3", script, seed=7, fps=25)
failing_cues(script, spoilt)       # which cues no longer agree
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from synclora.pairs.puppet.script import Script, Track

NO_FACE = "no_face"
"""The one defect that is no change of script: the edited half shows the scene without the person."""

AGREES = 0.8
"""Correlation of two smoothed tracks below which a cue is expected to fail: three frames of shift give about 0.7."""

ALTERNATIVES, ALTERNATIVES_APART = 8, 1_000_003
"""Other performances to choose of, and how far their seeds are apart: what a spoilt half does instead."""

CUES = {"speech": ("speech",), "blink": ("blink",), "gaze": ("gaze",), "pose": ("yaw", "pitch", "roll")}


def shift(script: Script, frames: int) -> Script:
    """The same performance, late by some frames; its beginning is mirrored."""
    return script.taken(np.arange(len(script)) - float(frames))


def drop_blink(script: Script, _: Script) -> Script:
    """One blink, the first whole one, does not happen."""
    shut = np.concatenate([[False], script.blink > 0.5, [False]])
    starts, ends = np.flatnonzero(shut[1:] & ~shut[:-1]), np.flatnonzero(~shut[1:] & shut[:-1])
    if not len(starts):
        return script
    first, last = int(starts[0]), int(ends[0])
    while first > 0 and 0 < script.blink[first - 1] <= script.blink[first]:
        first -= 1
    while last < len(script) and 0 < script.blink[last] <= script.blink[last - 1]:
        last += 1
    blink = script.blink.copy()
    blink[first:last] = 0
    return replace(script, blink=blink)


def replace_speech(script: Script, other: Script) -> Script:
    """Another script's mouth: a dubbed clip."""
    return replace(script, speech=other.speech, rounding=other.rounding)


def replace_gaze(script: Script, other: Script) -> Script:
    """Another script's eyes."""
    return replace(script, gaze=other.gaze)


def replace_blinks(script: Script, other: Script) -> Script:
    """Another script's lids: every blink at another moment."""
    return replace(script, blink=other.blink)


def replace_pose(script: Script, other: Script) -> Script:
    """Another script's head and body; the face goes on as it was."""
    return replace(script, yaw=other.yaw, pitch=other.pitch, roll=other.roll, sway=other.sway)


def freeze(script: Script, _: Script) -> Script:
    """The picture stands still after a quarter of the clip."""
    return script.taken(np.minimum(np.arange(len(script)), len(script) // 4).astype(np.float64))


def retime(script: Script, _: Script) -> Script:
    """Starts and ends in sync, and runs ahead by up to a seventh of the clip between."""
    at = np.arange(len(script)) / max(len(script) - 1, 1)
    return script.taken((at + np.sin(np.pi * at) / 7) * (len(script) - 1))


def stranger(_: Script, other: Script) -> Script:
    """Another performance altogether."""
    return other


DEFECTS: dict[str, Callable[[Script, Script], Script]] = {
    "shift": lambda script, _: script,  # takes a number of frames: see apply_defect
    "blink": drop_blink,
    "speech": replace_speech,
    "gaze": replace_gaze,
    "blinks": replace_blinks,
    "pose": replace_pose,
    "frozen": freeze,
    "retimed": retime,
    "stranger": stranger,
    NO_FACE: lambda script, _: script,
}


def parse_defect(name: str) -> tuple[str, int]:
    """The kind of a defect, and the frames of a shift (0 for the others).

    Raises:
        ValueError: the name is no defect.
    """
    kind, _, number = name.partition(":")
    whole = number.removeprefix("-").isdigit()
    if kind not in DEFECTS or (kind == "shift") != whole or (number and kind != "shift") or (whole and not int(number)):
        raise ValueError(
            f"no defect called {name!r}; choose from shift:<frames>, {', '.join(k for k in DEFECTS if k != 'shift')}"
        )
    return kind, int(number) if whole else 0


def apply_defect(name: str, script: Script, seed: int, fps: float) -> Script:
    """Spoil a script."""
    kind, frames = parse_defect(name)
    if kind == "shift":
        return shift(script, frames)
    return DEFECTS[kind](script, _unlike(script, kind, seed, fps))


def failing_cues(source: Script, edited: Script) -> list[str]:
    """The cues on which two scripts disagree, after the smoothing that the judge applies."""
    ours, theirs = source.tracks(), edited.tracks()
    return [cue for cue, names in CUES.items() if min(_agreement(ours[n], theirs[n]) for n in names) < AGREES]


def _unlike(script: Script, kind: str, seed: int, fps: float) -> Script:
    """Of eight other scripts the one least like this one: by chance two clips can agree, and a known-bad pair must be bad."""
    names = CUES.get("blink" if kind == "blinks" else kind, tuple(script.tracks()))
    others = [Script.random(seed + ALTERNATIVES_APART * (1 + k), len(script), fps) for k in range(ALTERNATIVES)]
    return min(others, key=lambda other: sum(_agreement(script.tracks()[n], other.tracks()[n]) for n in names))


def _agreement(a: Track, b: Track) -> float:
    from scipy.signal import savgol_filter  # a third of a second that most processes need not spend

    window = min(9, len(a) - 1 + len(a) % 2)
    a, b = (savgol_filter(x, window, 2) for x in (a, b))
    if min(a.std(), b.std()) < 1e-6:
        return 0.0
    return float(np.corrcoef(a, b)[0, 1])
