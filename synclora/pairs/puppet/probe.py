"""Does a puppet do what its script says? Asked once per portrait, on five still frames.

Landmarks are a guess where nothing shows: behind dark glasses the irises drawn here are not the ones that are found, and the
truth of every pair would be wrong.
"""

import numpy as np

from synclora.errors import MediaError, Reason
from synclora.pairs.puppet.portrait import Portrait, find_face
from synclora.pairs.puppet.raster import Array
from synclora.pairs.puppet.render import Look, Puppet
from synclora.pairs.puppet.script import Script

GAZE_MOVES = 0.12
"""Least change of the gaze cue from one side to the other: a third of what is drawn; portraits that work show 0.15 and more."""

EYE_SHUTS = 0.7
"""Largest eye aspect ratio of a shut eye over the open one; portraits that work show 0.34 to 0.66, dark glasses 0.77."""

MOUTH_MOVES = 0.1
"""Least change of the speech cue from shut to wide; portraits that work show 0.2 and more."""

# The six points of the eye aspect ratio, per eye, in the order corner, two above, corner, two below.
EAR_RIGHT = (33, 160, 158, 133, 153, 144)
EAR_LEFT = (362, 385, 387, 263, 373, 380)


def check_puppet(portrait: Portrait, puppet: Puppet) -> None:
    """Refuse a portrait whose eyes or mouth do not show.

    Raises:
        MediaError: what does not follow the script.
    """
    script = Script.of(5, gaze=[-1, 1, 0, 0, 0], blink=[0, 0, 1, 0, 0], speech=[0, 0, 0, 0, 1])
    left, right, shut, closed, wide = (find_face(frame) for frame in puppet.frames(puppet.dress(Look.of(portrait)), script))
    faults = []
    if gaze(left) - gaze(right) < GAZE_MOVES:
        faults.append("its irises cannot be followed")
    if openness(shut) > EYE_SHUTS * openness(closed):
        faults.append("its eyes cannot be seen to shut")
    if speech(wide) - speech(closed) < MOUTH_MOVES:
        faults.append("its mouth cannot be seen to open")
    if faults:
        raise MediaError(Reason.NO_FACE, f"{' and '.join(faults)}; use a frontal face with nothing before eyes and mouth")


def speech(points: Array) -> float:
    """Inner-lip gap over mouth width."""
    return _distance(points, 13, 14) / _distance(points, 61, 291)


def openness(points: Array) -> float:
    """The eye aspect ratio, both eyes averaged."""
    ratios = []
    for a, b, c, d, e, f in (EAR_RIGHT, EAR_LEFT):
        ratios.append((_distance(points, b, f) + _distance(points, c, e)) / (2 * _distance(points, a, d)))
    return float(np.mean(ratios))


def gaze(points: Array) -> float:
    """Minus the right iris' horizontal offset from the eye's middle, over the eye's width."""
    middle = (points[33, 0] + points[133, 0]) / 2
    return float(-(points[468, 0] - middle) / _distance(points, 33, 133))


def _distance(points: Array, a: int, b: int) -> float:
    return float(np.linalg.norm(points[a, :2] - points[b, :2]))
