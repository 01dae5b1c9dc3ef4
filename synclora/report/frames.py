"""Frames for the report: a few pictures of a video, cut to the face where the face is the matter, as JPEG inside the page."""

import base64
from collections.abc import Collection

import cv2
import numpy as np
from numpy.typing import NDArray

from synclora.media.decode import Decoder, Picture
from synclora.pairs.base import View

MAX_HEIGHT = 160
"""Pixels. Sixteen cards with five pairs of frames stay near a megabyte."""

QUALITY = 80

_FACE_ROOM = 1.7
"""Side of the picture over the face's own: room for a head that moves after the first frame, where its place is known."""


def pictures(decoder: Decoder, view: View, wanted: Collection[int]) -> tuple[dict[int, Picture], str]:
    """The wanted frames of a video that could be had, by number, and in words why others could not ("" if all could).

    Nothing that is wrong with a video ends a report: it was judged, and may have been moved since.
    """
    found: dict[int, Picture] = {}
    try:
        for number, picture in enumerate(decoder.frames(view)):
            if number in wanted:
                found[number] = picture
            if number >= max(wanted):
                break
    except Exception as error:
        return found, " ".join(str(error).split()) or type(error).__name__
    return found, "" if len(found) == len(set(wanted)) else f"the video ends after {number + 1} frames"


def face_box(face_kc: NDArray[np.float32], width: int, height: int) -> tuple[slice, slice] | None:
    """Rows and columns of a square around a face, inside the picture.

    Args:
        face_kc: (k, 2) points in picture heights.
        width: of the picture to cut, in pixels.
        height: of the picture to cut, in pixels.
    """
    if not len(face_kc) or not np.isfinite(face_kc).all():
        return None
    points = np.asarray(face_kc, np.float64) * height
    low, high = points.min(0), points.max(0)
    side = round(min(_FACE_ROOM * float((high - low).max()), width, height))
    if side < 16:
        return None
    x, y = ((low + high) / 2 - side / 2).round().astype(int)
    x, y = int(np.clip(x, 0, width - side)), int(np.clip(y, 0, height - side))
    return slice(y, y + side), slice(x, x + side)


def jpeg(picture: Picture, most: int = MAX_HEIGHT) -> str:
    """A `data:` address of the picture, at most so many pixels high."""
    height, width = picture.shape[:2]
    if height > most:
        size = max(1, round(width * most / height)), most
        picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA).astype(np.uint8)
    _done, data = cv2.imencode(".jpg", np.ascontiguousarray(picture[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode("ascii")
