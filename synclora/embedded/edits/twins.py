"""Twins of real videos in another light or colour: the motion is the video's own, frame by frame, and so is everything that is not edited.

    for name in LOOKS: edited = LOOKS[name](picture)

The puppets teach what an edit may be; these teach, with the few real pairs there are, how real faces move. Each look is a function of one frame
alone, so that nothing flickers.
"""

from collections.abc import Callable

import cv2
import numpy as np

from synclora.media.decode import Picture
from synclora.pairs.puppet.raster import to_bytes

Look = Callable[[Picture], Picture]


def _hue(turn: int) -> Look:
    """All colours turned around the circle of 180 steps."""

    def turned(picture: Picture) -> Picture:
        hsv = cv2.cvtColor(picture, cv2.COLOR_RGB2HSV)
        hsv[..., 0] = (hsv[..., 0].astype(np.int16) + turn) % 180
        return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB), np.uint8)

    return turned


def _lit(from_left: bool, colour: tuple[float, float, float]) -> Look:
    """A coloured light from one side, shade on the other."""

    def lit(picture: Picture) -> Picture:
        across = np.linspace(1, 0, picture.shape[1], dtype=np.float32)
        across = (across if from_left else across[::-1])[None, :, None]
        gains = 0.45 + across * (np.asarray(colour, np.float32) - 0.45)
        return to_bytes(np.minimum(picture * gains, 250))

    return lit


def _toned(colour: tuple[float, float, float]) -> Look:
    """Grey, then one colour: an old photograph."""

    def toned(picture: Picture) -> Picture:
        grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)[..., None]
        return to_bytes(np.minimum(grey * np.asarray(colour, np.float32), 250))

    return toned


LOOKS: dict[str, Look] = {
    "in other colours": _hue(50),
    "lit warmly from the left": _lit(True, (1.35, 1.05, 0.75)),
    "as an old photograph": _toned((1.05, 0.9, 0.68)),
    "lit coldly from the right": _lit(False, (0.75, 1.0, 1.35)),
    "in violet and green": _hue(120),
    "in black and white": _toned((1.0, 1.0, 1.0)),
}
"""By the words for its caption."""
