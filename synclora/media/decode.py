"""Frames of a video, decoded in a confined child process that serves many videos.

    with Decoder() as decoder:
        frames = decoder.frames("clip.mp4")
        print(frames.info)
        for picture in frames:          # (height, width, 3) uint8 RGB, upright
            ...

One decoder serves one video at a time: asking for the next ends the one before. To read two at once, make two decoders.
"""

import json
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from synclora.errors import MediaError, Reason
from synclora.media.probe import VideoInfo
from synclora.media.process import Child
from synclora.media.settings import MediaLimits
from synclora.media.track import Sound
from synclora.media.view import Half, View

Picture = npt.NDArray[np.uint8]
"""(height, width, 3) RGB."""


class Decoder:
    """Owns the child. Give each worker its own; nothing is started before the first video (then about 0.1 s)."""

    def __init__(self, limits: MediaLimits | None = None) -> None:
        self._child: Child | None = None
        self.limits = limits or MediaLimits()

    def frames(self, view: View | str | Path, half: Half = "whole", *, analysis: bool = True) -> "Frames":
        """Open a video and return its frames, the facts first.

        Every decodable frame comes in presentation order, turned upright, cut to its half (the width exactly in two; the
        last column of an odd width is dropped). A constant-rate file gives each frame exactly once; an uneven one is
        put on a constant grid (`timing.py` states the rule).

        Args:
            view: a file, or a view that names a file and its half (then `half` is not looked at).
            half: which half of a file.
            analysis: scale down to `analysis_side`, as the landmarkers want; else the full size, for training pairs.

        Raises:
            MediaError: the video cannot be used. Damage further on is raised when the iteration meets it.
        """
        path, half = (view.path, view.half) if isinstance(view, View) else (str(view), half)
        side = self.limits.analysis_side if analysis else None
        return Frames(self._ask({"ask": "frames", "path": path, "half": half, "side": side}))

    def probe(self, view: View | str | Path) -> VideoInfo:
        """The facts alone: header and timestamps are read, one frame is decoded.

        Raises:
            MediaError: the video cannot be used.
        """
        child = self._ask({"ask": "probe", "path": view.path if isinstance(view, View) else str(view)})
        facts = json.loads(child.payload(child.header()[1]))
        child.header()
        return VideoInfo.from_json(facts["info"])

    def sound(self, path: str | Path, start: float | None = None) -> Sound:
        """The first sound track; nothing for a silent video.

        Args:
            path: the video.
            start: None for the whole track, sample for sample. Else from so many seconds on, cut to the packets of the file.

        Raises:
            MediaError: the file cannot be opened, its sound is damaged or lasts longer than any video may.
        """
        child = self._ask({"ask": "sound", "path": str(path), "start": start})
        facts = json.loads(child.payload(child.header()[1]))
        mp4 = bytes(child.payload(child.header()[1]))
        child.header()
        return Sound(mp4, Fraction(facts["start"]))

    def close(self) -> None:
        """End the child; the next video would start another."""
        child, self._child = self._child, None
        if child is not None:
            child.kill()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def _ask(self, request: dict[str, Any]) -> Child:
        child = self._child
        if child is not None and (child.busy or not child.alive or child.asked >= self.limits.videos_per_child):
            self.close()
        if self._child is None:
            self._child = Child(self.limits)
        self._child.ask(request)
        return self._child


class Frames(Iterator[Picture]):
    """The frames of one video as they arrive. Leaving early is fine; it costs a fresh child for the next video.

    Attributes:
        info: what is known of the video.
        width: pixels of the delivered pictures.
        height: pixels of the delivered pictures.
    """

    def __init__(self, child: Child) -> None:
        self._child, self._number = child, child.asked
        facts = json.loads(child.payload(child.header()[1]))
        self.info = VideoInfo.from_json(facts["info"])
        self.width: int = facts["width"]
        self.height: int = facts["height"]
        self._left = self.info.frames

    def __len__(self) -> int:
        """Frames still to come."""
        return self._left

    def __next__(self) -> Picture:
        if not self._left:
            raise StopIteration
        if self._number != self._child.asked or not self._child.busy:
            raise RuntimeError("these frames were ended: the decoder was closed or asked for another video")
        _, length = self._child.header()
        picture = np.empty((self.height, self.width, 3), np.uint8)
        if length != picture.nbytes:
            self._child.kill()
            raise MediaError(Reason.CRASHED, f"the decoder sent {length} bytes for a picture of {picture.nbytes}")
        self._child.fill(picture.data.cast("B"))
        self._left -= 1
        if not self._left:
            self._child.header()
        return picture
