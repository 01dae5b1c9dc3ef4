"""Frames to an H.264 MP4 that every player and trainer reads: constant rate, exact timestamps, equal bytes for equal input.

write_video("edited.mp4", pictures, Fraction(25))
write_video("edited.mp4", pictures, info.fps, audio_from="source.mp4")
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter

from synclora.media import editlist
from synclora.media.decode import Decoder, Picture
from synclora.media.track import Sound
from synclora.media.underlay import Underlay, sample_rate

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
    sound: Sound | None = None,
    rotation: int = 0,
    pixel_aspect: Fraction = Fraction(1),
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
        sound: the sound itself, as `Decoder.sound` gives it, instead of a video to take it from; all of it is laid under the frames, however
            long it is, and begins as long before or after them as in its video.
        rotation: degrees (0, 90, 180, 270) counter-clockwise by which players turn the stored picture: the frames, which are upright, are
            stored turned back, as a phone held sideways does.

        pixel_aspect: width over height of a stored pixel.

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
    whole = sound is not None
    if audio_from is not None and sound is None:
        sound = _sound(audio_from, audio_start, decoder)
    scratch = target.with_name(f".{target.name}.{os.getpid()}.part")
    look = _Look(Fraction(fps), {"crf": str(crf), "preset": preset}, rotation, pixel_aspect)
    try:
        count = _encode(scratch, chain([first], stream_of_frames), look, sound or Sound(), whole=whole)
        scratch.replace(target)
    finally:
        scratch.unlink(missing_ok=True)
    return count


def _sound(audio_from: str | Path, start: float, decoder: Decoder | None) -> Sound:
    if decoder is not None:
        return decoder.sound(audio_from, start)
    with Decoder() as own:
        return own.sound(audio_from, start)


@dataclass(frozen=True)
class _Look:
    """How pictures are stored."""

    fps: Fraction
    quality: dict[str, str]
    rotation: int
    pixel_aspect: Fraction

    def stored(self, picture: Picture) -> Picture:
        return np.ascontiguousarray(np.rot90(picture, -self.rotation // 90)) if self.rotation else picture


def _checked(frames: Iterable[Picture]) -> Iterator[Picture]:
    shape = None
    for index, picture in enumerate(frames):
        shape = shape or picture.shape
        if picture.shape != shape or picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
            raise ValueError(f"frame {index} is {picture.dtype} {picture.shape}; give uint8 (height, width, 3) of one size")
        yield np.ascontiguousarray(picture[: shape[0] // 2 * 2, : shape[1] // 2 * 2])


def _encode(scratch: Path, frames: Iterator[Picture], look: _Look, sound: Sound, *, whole: bool) -> int:
    """Write the file. The sound goes on to its own end if it is whole, else to the end of the frames."""
    flags = {"movflags": "+faststart", "fflags": "+bitexact"}  # playable while it loads; no version or date inside
    if sound:
        flags["movie_timescale"] = str(sample_rate(sound))  # where a track begins is told in this unit; its default is 1/1000 s
    first = look.stored(next(frames))
    count = 0
    with av.open(f"file:{scratch.absolute()}", "w", format="mp4", options=flags) as file:
        stream = _picture_stream(file, look, first)
        underlay = Underlay(file, sound)
        reformatter = VideoReformatter()
        for picture in chain([first], map(look.stored, frames)):
            frame = _to_yuv(reformatter, picture)
            frame.pts, frame.time_base = count, 1 / look.fps
            _mux(file, stream, stream.encode(frame), underlay)
            count += 1
        _mux(file, stream, stream.encode(None), underlay)
        underlay.up_to(None if whole else count / look.fps)
    if underlay.discarded:
        editlist.discard(scratch, underlay.discarded)
    return count


def _picture_stream(file: Any, look: _Look, first: Picture) -> Any:
    repeatable = {"threads": "1", "x264-params": "mbtree=0"}  # threads change the bytes; so did mbtree, at 192 pixels
    stream = file.add_stream("libx264", rate=look.fps, options={**look.quality, **repeatable})
    stream.height, stream.width, stream.pix_fmt = first.shape[0], first.shape[1], "yuv420p"
    context = stream.codec_context
    context.time_base = 1 / look.fps
    context.color_primaries = context.color_trc = context.colorspace = BT709
    context.color_range = ColorRange.MPEG
    if look.pixel_aspect != 1:
        context.sample_aspect_ratio = look.pixel_aspect
    if look.rotation:
        stream.set_display_rotation(look.rotation)
    return stream


def _mux(file: Any, stream: Any, packets: Iterable[Any], underlay: Underlay) -> None:
    """Write packets of pictures, the sound up to each before it."""
    late = underlay.pictures_start
    for packet in packets:
        underlay.up_to(Fraction(packet.dts or 0) * packet.time_base + late)
        if late:
            file.start_encoding()  # settles the stream's clock, which is finer than the encoder's
            ticks = [round((stamp * packet.time_base + late) / stream.time_base) for stamp in (packet.pts, packet.dts)]
            packet.pts, packet.dts = ticks
            packet.duration, packet.time_base = round(packet.duration * packet.time_base / stream.time_base), stream.time_base
        file.mux(packet)


def _to_yuv(reformatter: VideoReformatter, picture: Picture) -> Any:
    return reformatter.reformat(
        av.VideoFrame.from_numpy_buffer(picture, format="rgb24"),
        format="yuv420p",
        dst_colorspace=Colorspace.ITU709,
        dst_color_range=ColorRange.MPEG,
        interpolation=Interpolation.BILINEAR | Interpolation.ACCURATE_RND,
        threads=1,
    )
