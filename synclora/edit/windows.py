"""Clips longer than the model sees: windows that overlap, each continuing from the one before.

    for window in plan_windows(frames=200, window=81, overlap=17, stride=8): ...      # 0..81, 64..145, 128..200
    stitcher = Stitcher(windows)
    for picture in stitcher.frames(pictures, make): ...

The later window is given the whole overlap as known: what the earlier one made there, encoded anew. The autoencoders are causal in time, so
the latents of the overlap's 8m + 1 frames do not depend on what follows them, and they are exactly what training would have shown; the
earlier window's own latents would not fit, since the first latent frame of a clip holds one frame and not eight. In the overlap the
pictures of both windows, which show the same, are faded into each other. The last window is filled up to 8k + 1 frames by repeating its
last one, and cut again.

Frames come and go one by one; held are those of one window, and what was made of them.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from synclora.edit.result import Seam
from synclora.media.decode import Picture

STILL = 0.25
"""Levels: a frame difference below it is rounding, and no unit to measure others by."""


@dataclass(frozen=True)
class Window:
    """One call of the model.

    Attributes:
        index: from 0.
        start: its first frame in the clip.
        real: its frames that the clip has.
        frames: the same, filled up to 8k + 1.
        overlap: of them, those that it shares with the window before; 0 for the first.
    """

    index: int
    start: int
    real: int
    frames: int
    overlap: int

    @property
    def stop(self) -> int:
        """The clip's first frame behind it."""
        return self.start + self.real


def plan_windows(frames: int, window: int, overlap: int, stride: int) -> list[Window]:
    """The windows of a clip: one if it fits, else equal ones and a last one that may be shorter.

    Args:
        frames: of the clip, at least one.
        window: frames of a window, stride · k + 1.
        overlap: frames that two windows share, stride · m + 1, less than a window.
        stride: video frames per latent frame.

    Raises:
        ValueError: the numbers are not of that form.
    """
    if (window - 1) % stride or (overlap - 1) % stride or not 0 < overlap < window:
        raise ValueError(
            f"windows of {window} frames with an overlap of {overlap}: both must be {stride}k + 1, the overlap smaller"
        )
    windows = [_window(0, 0, min(window, frames), 0, stride)]
    while windows[-1].stop < frames:
        start = windows[-1].stop - overlap
        windows.append(_window(len(windows), start, min(window, frames - start), overlap, stride))
    return windows


def _window(index: int, start: int, real: int, overlap: int, stride: int) -> Window:
    filled = max(stride, -(-(real - 1) // stride) * stride) + 1  # the model makes nothing of a single latent frame
    return Window(index, start, real, filled, overlap)


Make = Callable[[Window, Sequence[Picture], Sequence[Picture]], Sequence[Picture]]
"""A window, its source pictures (`frames` of them), what was made of the overlap (empty for the first): as many edited pictures."""


class Stitcher:
    """Runs the windows over a stream of pictures, and measures the seams.

    Args:
        windows: as `plan_windows` gives them.
    """

    def __init__(self, windows: Sequence[Window]) -> None:
        self._windows = windows
        self._steps = _Steps(), _Steps()

    def frames(self, source: Iterable[Picture], make: Make) -> Iterator[Picture]:
        """The edited clip, picture by picture; as many as the source has."""
        stream = iter(source)
        held: deque[Picture] = deque()
        tail: Sequence[Picture] = []
        for window in self._windows:
            while len(held) > window.overlap:
                held.popleft()
            held.extend(self._steps[0].over(islice(stream, window.real - len(held))))
            pictures = [*held, *[held[-1]] * (window.frames - len(held))]
            edited = make(window, pictures, tail)
            faded = [*_faded(tail, edited[: window.overlap]), *edited[window.overlap : window.real]]
            last = window.index + 1 == len(self._windows)
            ready = window.real if last else window.real - self._windows[window.index + 1].overlap
            yield from self._steps[1].over(faded[:ready])
            tail = faded[ready:]

    def seams(self) -> list[Seam]:
        """One for each window after the first; after the last frame was taken."""
        source, edited = (steps.relative() for steps in self._steps)
        found = []
        for window in self._windows[1:]:
            alone = min(window.start + window.overlap, window.stop - 1)
            across = slice(max(0, window.start - 1), alone)  # step t leads from frame t to t + 1
            there = float(edited[across].max()) / max(float(source[across].max()), 1.0)
            found.append(Seam(frame=alone, picture=round(there, 3)))
        return found


class _Steps:
    """Mean absolute difference, in levels, of each frame and the one before."""

    def __init__(self) -> None:
        self._last: Picture | None = None
        self._levels: list[float] = []

    def over(self, pictures: Iterable[Picture]) -> Iterator[Picture]:
        for picture in pictures:
            if self._last is not None:
                self._levels.append(float(np.abs(picture.astype(np.int16) - self._last).mean()))
            self._last = picture
            yield picture

    def relative(self) -> NDArray[np.float64]:
        """In units of their median."""
        levels = np.array(self._levels)
        return levels / max(float(np.median(levels)), STILL)


def _faded(before: Sequence[Picture], after: Sequence[Picture]) -> list[Picture]:
    """From the earlier window's pictures to the later one's."""
    mixed = []
    for index, (a, b) in enumerate(zip(before, after, strict=True), start=1):
        share = index / (len(before) + 1)
        mixed.append(np.asarray(np.round((1 - share) * a + share * b.astype(np.float32)), np.uint8))
    return mixed
