"""Where the face is: one fixed square per clip, and which pixels are eyes and lips.

    square = square_of(landmarks_tkc, width, height, share=0.46)
    labels_tyx = labels_of(landmarks_tkc, square, side_px=160)

Shapes: t frames, k face-mesh landmarks, c coordinates x and y in pixels of the whole picture.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from synclora.pairs.puppet import landmarks as lm

Floats = NDArray[np.float32]
Labels = NDArray[np.uint8]

EYE, MOUTH = 1, 2

_OUTLINE = 468
"""Landmarks of the face proper; irises follow."""

_EYES = (lm.RIGHT_EYE_FOLD + lm.RIGHT_EYE_UNDER[::-1], lm.LEFT_EYE_FOLD + lm.LEFT_EYE_UNDER[::-1])
_LIPS = lm.LIP_OUTER_UPPER + lm.LIP_OUTER_LOWER[::-1]


@dataclass(frozen=True)
class Square:
    """A part of the picture, in its pixels.

    Attributes:
        left: of its first column.
        top: of its first row.
        side: pixels.
        face: width of the face over the side, median over the clip.
    """

    left: int
    top: int
    side: int
    face: float

    def cut(self, picture: NDArray[np.uint8], side_px: int) -> NDArray[np.uint8]:
        """The part, brought to a side."""
        part = picture[self.top : self.top + self.side, self.left : self.left + self.side]
        how = cv2.INTER_AREA if self.side >= side_px else cv2.INTER_CUBIC
        return np.asarray(cv2.resize(np.ascontiguousarray(part), (side_px, side_px), interpolation=how), np.uint8)


def square_of(face_tkc: Floats, width: int, height: int, share: float) -> Square:
    """The square in which the face has that share of the width, around where it mostly is; smaller where the picture ends.

    Args:
        face_tkc: (t, 478, 2) in pixels, NaN where no face was found.
        width: of the picture.
        height: of the picture.
        share: of the face's width.

    Raises:
        ValueError: no frame shows a face.
    """
    seen = np.isfinite(face_tkc[:, 0, 0])
    if not seen.any():
        raise ValueError("no frame shows a face")
    points = face_tkc[seen, :_OUTLINE]
    low, high = points.min(1), points.max(1)
    face = float(np.median(high[:, 0] - low[:, 0]))
    side = min(round(face / share), width, height)
    # the middle of the places it is at: a head that turns aside once does not pull the square along
    x, y = ((np.percentile(low, 10, axis=0) + np.percentile(high, 90, axis=0)) / 2).tolist()
    left = min(max(0, round(x - side / 2)), width - side)
    top = min(max(0, round(y - side / 2)), height - side)
    return Square(left, top, side, face / side)


def labels_of(face_tkc: Floats, square: Square, side_px: int) -> Labels:
    """(t, side_px, side_px) uint8: EYE within the folds around an eye, MOUTH within the lips, 0 elsewhere and where no face was found."""
    labels = np.zeros((len(face_tkc), side_px, side_px), np.uint8)
    places = (face_tkc[..., :2] - (square.left, square.top)) * (side_px / square.side)
    for frame, points in zip(labels, places, strict=True):
        if np.isfinite(points[0, 0]):
            for part, label in ((_LIPS, MOUTH), *((eye, EYE) for eye in _EYES)):
                cv2.fillPoly(frame, [np.round(points[list(part)]).astype(np.int32)], (label,))
    return labels
