"""Real videos with the puppet's catalogue drawn on every frame: real motion beside itself, with an edit that lasts.

    source, edited = drawn_pictures(pictures, [partial(Sitter.drawn, edit="hat", seed=3), partial(Sitter.painted, seed=3)])

Puppets move as their mesh does, and the real pairs there are know few edits. Here a beard opens with the mouth that was filmed. Every frame is
drawn on its own, by its own landmarks and colours, with one choice and one seed for all.
"""

from collections.abc import Callable, Iterable, Sequence

import cv2
import numpy as np

from synclora.embedded.edits.still import Sitter
from synclora.errors import MediaError
from synclora.media.decode import Picture
from synclora.pairs.puppet.portrait import crop_box, find_face

Brush = Callable[[Sitter], tuple[Picture, str]]
"""Draws one edit, and says it in words, the same for every frame."""

SIDE = 320
"""Pixels of head and shoulders: at these irises are still measured, and drawing takes a third of the time it takes at 600."""


def drawn_pictures(pictures: Iterable[Picture], brushes: Sequence[Brush]) -> tuple[list[Picture], dict[str, list[Picture]]]:
    """A video's frames, shrunk until head and shoulders are `SIDE` wide, and by its words each edit of them.

    The video ends before its first frame without one face from the front. An edit that does not show on some frame is left out.

    Args:
        pictures: (height, width, 3) uint8 RGB, all of one size.
        brushes: one for each edit.

    Raises:
        MediaError: no face in the first frame.
    """
    source: list[Picture] = []
    edited: dict[str, list[Picture]] = {}
    size: tuple[int, int] | None = None
    for picture in pictures:
        height, width = picture.shape[:2]
        if size is None:
            shrunk = min(1.0, SIDE / crop_box(find_face(picture), width, height)[2])
            size = round(width * shrunk), round(height * shrunk)
        small = np.ascontiguousarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
        try:
            sitter = Sitter.of(small)
        except MediaError:
            break
        source.append(small)
        for brush in brushes:
            try:
                drawn, words = brush(sitter)
            except MediaError:
                continue
            edited.setdefault(words, []).append(drawn)
    return source, {words: frames for words, frames in edited.items() if len(frames) == len(source)}
