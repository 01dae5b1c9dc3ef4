"""From a decoded frame to the rows of RGB bytes that are sent: turned upright, cut to its half, scaled down.

Without rotation and scaling the bytes are those of FFmpeg's own conversion to RGB, and no row is copied on the way.
"""

from typing import Any

import av.filter
from av.video.reformatter import Interpolation, VideoReformatter


class Shaper:
    """Turns each frame of one video into rows of RGB.

    Args:
        rotation: degrees counter-clockwise that make the stored picture upright.
        half: "whole", "left" or "right"; the width is cut exactly in two, the last column of an odd width is dropped.
        side: longest side of the delivered picture, larger ones are scaled down; None keeps the size.
    """

    def __init__(self, width: int, height: int, rotation: int, half: str, side: int | None) -> None:
        self._cut_width = width if half == "whole" else width // 2
        self._left = self._cut_width if half == "right" else 0
        scale = min(1.0, side / max(self._cut_width, height)) if side else 1.0
        self.width, self.height = max(1, round(self._cut_width * scale)), max(1, round(height * scale))
        self._rotation = rotation
        self._scaled = scale < 1
        self._to_rgb, self._to_size = VideoReformatter(), VideoReformatter()
        self._turn: _Filters | None = None
        self._cut: _Filters | None = None

    def rows(self, frame: Any) -> list[memoryview]:
        """The picture as pieces of contiguous bytes; they hold the frame's memory alive."""
        if self._rotation:
            self._turn = self._turn or _Filters(frame, _TURNS[self._rotation])
            frame = self._turn(frame)
        if self._scaled and self._cut_width < frame.width:
            frame = self._convert(self._to_rgb, frame, frame.width, frame.height)
            window = f"w={self._cut_width}:h={frame.height}:x={self._left}:y=0:exact=1"
            self._cut = self._cut or _Filters(frame, [("crop", window)])
            return _pieces(self._convert(self._to_size, self._cut(frame), self.width, self.height), 0, self.width)
        if self._scaled:
            return _pieces(self._convert(self._to_size, frame, self.width, self.height), 0, self.width)
        return _pieces(self._convert(self._to_rgb, frame, frame.width, frame.height), self._left, self.width)

    @staticmethod
    def _convert(reformatter: VideoReformatter, frame: Any, width: int, height: int) -> Any:
        return reformatter.reformat(frame, width, height, "rgb24", interpolation=Interpolation.BILINEAR, threads=1)


_TURNS = {90: [("transpose", "cclock")], 180: [("hflip", ""), ("vflip", "")], 270: [("transpose", "clock")]}


class _Filters:
    """A chain of FFmpeg's picture filters, made for frames like the first one."""

    def __init__(self, frame: Any, chain: list[tuple[str, str]]) -> None:
        self._graph = av.filter.Graph()
        buffer = self._graph.add_buffer(
            width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base, name="in"
        )
        nodes = [self._graph.add(name, options or None) for name, options in chain]
        self._graph.link_nodes(buffer, *nodes, self._graph.add("buffersink")).configure()

    def __call__(self, frame: Any) -> Any:
        self._graph.vpush(frame)
        return self._graph.vpull()


def _pieces(frame: Any, left: int, width: int) -> list[memoryview]:
    plane = frame.planes[0]
    data, stride = memoryview(plane), plane.line_size
    if stride == 3 * width:
        return [data[: stride * frame.height]]
    start, stop = 3 * left, 3 * (left + width)
    return [data[row * stride + start : row * stride + stop] for row in range(frame.height)]
