"""Videos inside a page, the source cut to what an edit shows of it.

    address = embed(cut(Path("source.mp4"), crop, scratch))

A cut is encoded anew and not made by the page's style: the frames then lie on the edit's own constant grid, whatever the source's rate and
rotation, and nothing of the rest of the picture is handed on with the page.
"""

import base64
from itertools import chain
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from synclora.media.decode import Decoder, Picture
from synclora.media.encode import write_video

_STAMP = (48, 48)


class Box(Protocol):
    """A part of the source's upright picture, in its pixels; even sides."""

    @property
    def left(self) -> int:
        """First column."""

    @property
    def top(self) -> int:
        """First row."""

    @property
    def width(self) -> int:
        """Columns."""

    @property
    def height(self) -> int:
        """Rows."""


def embed(video: Path) -> str:
    """A `data:` address of an MP4.

    Raises:
        OSError: the file cannot be read.
    """
    return "data:video/mp4;base64," + base64.b64encode(video.read_bytes()).decode("ascii")


def cut(source: Path, box: Box, out: Path) -> Picture:
    """Write the part of the source, without its sound, and return its whole first frame.

    Raises:
        MediaError: the source cannot be used.
        OSError: the file cannot be written.
    """
    with Decoder() as decoder:
        frames = decoder.frames(source, analysis=False)
        info, first = frames.info, next(frames)
        aspect = 1 / info.pixel_aspect if info.rotation % 180 else info.pixel_aspect
        write_video(out, (of(picture, box) for picture in chain([first], frames)), info.fps, pixel_aspect=aspect)
    return first


def of(picture: Picture, box: Box) -> Picture:
    """The part of a picture."""
    return picture[box.top : box.top + box.height, box.left : box.left + box.width]


def same_part(given: Picture, source: Picture, box: Box) -> Picture:
    """What the box is of a picture that stands for the source's, at any scale; one that shows just that part already stays as it is."""
    whole, part = (_likeness(given, one) for one in (source, of(source, box)))
    if part > whole:
        return given
    across, down = given.shape[1] / source.shape[1], given.shape[0] / source.shape[0]
    rows = slice(round(box.top * down), round((box.top + box.height) * down))
    return given[rows, round(box.left * across) : round((box.left + box.width) * across)]


def _likeness(a: Picture, b: Picture) -> float:
    """Correlation of two pictures' light and shade, which an edit changes little; 0 where one is plain."""
    first, second = (_standard(one) for one in (a, b))
    return float((first * second).mean())


def _standard(picture: Picture) -> NDArray[np.float64]:
    grey = cv2.cvtColor(cv2.resize(np.ascontiguousarray(picture), _STAMP), cv2.COLOR_RGB2GRAY).astype(np.float64)
    return np.asarray((grey - grey.mean()) / max(float(grey.std()), 1e-6))
