"""Frames to an H.264 MP4 that every player and trainer reads: constant rate, exact timestamps, equal bytes for equal input.

write_video("edited.mp4", pictures, Fraction(25))
write_video("edited.mp4", pictures, info.fps, audio_from="source.mp4")
"""

import os
from collections.abc import Iterable, Iterator
from fractions import Fraction
from io import BytesIO
from itertools import chain
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter

from synclora.media.decode import Decoder, Picture

BT709 = 1  # H.273: primaries, transfer and matrix of HD video; untagged files are shown with differing colours


def write_video(
    path: str | Path,
    frames: Iterable[Picture],
    fps: Fraction | int,
    *,
    crf: int = 16,
    preset: str = "fast",
    audio_from: str | Path | None = None,
    audio_start: float = 0.0,
    decoder: Decoder | None = None,
) -> int:
    """Write a video and return its number of frames. The file appears whole or not at all.

    4:2:0 chroma needs even sides: the last column of an odd width and the last row of an odd height are dropped.

    Args:
        path: the MP4; its folder exists.
        frames: (height, width, 3) uint8 RGB, all of one size.
        fps: frame k is shown at k / fps seconds.
        crf: x264's constant quality; 16 is visually lossless, 23 its default.
        preset: x264's effort; for 512 x 512 "fast" takes 7 ms a frame on one core, "veryfast" 3.5.
        audio_from: a video whose sound is laid under the frames; a silent one is no error.
        audio_start: seconds into that video at which the frames begin.
        decoder: reads the sound; without one, a decoder is started for this call.

    Raises:
        ValueError: there are no frames, or they differ in size or type.
        MediaError: the sound cannot be read.
        OSError: the disk is full or the folder missing; nothing is left behind.
    """
    target = Path(path)
    stream_of_frames = _checked(frames)
    first = next(stream_of_frames, None)
    if first is None:
        raise ValueError(f"{target}: there are no frames to write")
    sound = b""
    if audio_from is not None:
        sound = _sound(audio_from, audio_start, decoder)
    scratch = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        count = _encode(scratch, chain([first], stream_of_frames), Fraction(fps), {"crf": str(crf), "preset": preset}, sound)
        scratch.replace(target)
    finally:
        scratch.unlink(missing_ok=True)
    return count


def _sound(audio_from: str | Path, start: float, decoder: Decoder | None) -> bytes:
    if decoder is not None:
        return decoder.sound(audio_from, start)
    with Decoder() as own:
        return own.sound(audio_from, start)


def _checked(frames: Iterable[Picture]) -> Iterator[Picture]:
    shape = None
    for index, picture in enumerate(frames):
        shape = shape or picture.shape
        if picture.shape != shape or picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
            raise ValueError(f"frame {index} is {picture.dtype} {picture.shape}; give uint8 (height, width, 3) of one size")
        yield np.ascontiguousarray(picture[: shape[0] // 2 * 2, : shape[1] // 2 * 2])


def _encode(scratch: Path, frames: Iterator[Picture], fps: Fraction, quality: dict[str, str], sound: bytes) -> int:
    flags = {"movflags": "+faststart", "fflags": "+bitexact"}  # playable while it loads; no version or date inside
    first = next(frames)
    count = 0
    with av.open(f"file:{scratch.absolute()}", "w", format="mp4", options=flags) as file:
        repeatable = {"threads": "1", "x264-params": "mbtree=0"}  # threads change the bytes; so did mbtree, at 192 pixels
        stream = file.add_stream("libx264", rate=fps, options={**quality, **repeatable})
        stream.height, stream.width, stream.pix_fmt = first.shape[0], first.shape[1], "yuv420p"
        context = stream.codec_context
        context.time_base = 1 / fps
        context.color_primaries = context.color_trc = context.colorspace = BT709
        context.color_range = ColorRange.MPEG
        underlay = _Underlay(file, sound)
        reformatter = VideoReformatter()
        for picture in chain([first], frames):
            frame = _to_yuv(reformatter, picture)
            frame.pts, frame.time_base = count, 1 / fps
            for packet in stream.encode(frame):
                underlay.up_to(Fraction(packet.dts or 0) * packet.time_base)
                file.mux(packet)
            count += 1
        file.mux(stream.encode(None))
        underlay.up_to(count / fps)
    return count


def _to_yuv(reformatter: VideoReformatter, picture: Picture) -> Any:
    return reformatter.reformat(
        av.VideoFrame.from_numpy_buffer(picture, format="rgb24"),
        format="yuv420p",
        dst_colorspace=Colorspace.ITU709,
        dst_color_range=ColorRange.MPEG,
        interpolation=Interpolation.BILINEAR | Interpolation.ACCURATE_RND,
        threads=1,
    )


class _Underlay:
    """Copies sound packets into the file as the pictures go by, so that a player finds both close together."""

    def __init__(self, file: Any, sound: bytes) -> None:
        self._file = file
        self._packets: Iterator[Any] = iter(())
        if sound:
            source = av.open(BytesIO(sound), "r", format="mp4")
            self._stream = file.add_stream_from_template(source.streams.audio[0])
            self._packets = (packet for packet in source.demux(source.streams.audio[0]) if packet.dts is not None)
        self._next = next(self._packets, None)

    def up_to(self, seconds: Fraction) -> None:
        while self._next is not None and self._next.dts * self._next.time_base < seconds:
            self._next.stream = self._stream
            self._file.mux(self._next)
            self._next = next(self._packets, None)
