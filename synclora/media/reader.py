"""One video, read inside the confined child: opened, measured without decoding, then decoded frame by frame.

with Video("clip.mp4", limits) as video:
    for frame, times_shown in video.frames(): ...
"""

import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import av

from synclora.errors import MediaError, Reason
from synclora.media import container as outside
from synclora.media import probe
from synclora.media.timing import Timeline, plan

if TYPE_CHECKING:
    from synclora.media.settings import MediaLimits

CODED_MARGIN = 128  # pixels that a codec may add to a side, two of the largest blocks
REFUSED_SIZE = re.compile(r"Picture size (\d+x\d+)")
VP8_SHOWN = 0x10  # RFC 6386, 9.1: show_frame in a frame's first byte; hidden frames are only referred to


class Video:
    """A video whose envelope, header and timestamps were checked; decoding starts with `frames`.

    Raises:
        MediaError: a limit is broken, or the file is.
    """

    def __init__(self, path: str, limits: "MediaLimits") -> None:
        self.limits = limits
        self.path = path
        with outside.open_regular(path) as file:
            size = outside.size_of(file)
            probe.check_bytes(size, limits)
            self.demuxer = outside.sniff(file)
            self._missing = outside.missing_end(file, self.demuxer, size)
            if self.demuxer == "mov":
                probe.check_length(outside.declared_samples(file, size), 0, limits)
        self._container: Any = None
        try:
            self._open()
            self.timeline = self._scan()
            self._open()  # once more from the start: not every demuxer can go back
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Give the file back; the child has few descriptors."""
        if self._container is not None:
            self._container.close()

    def frames(self) -> Iterator[tuple[Any, int]]:
        """Every frame in presentation order, and how often it is shown on the constant grid.

        Raises:
            MediaError: BROKEN_MEDIA with the number of the first frame that cannot be decoded.
        """
        shown = self.timeline.times_shown
        codec = self._stream.codec_context
        codec.thread_count = 1  # parent and child share one core
        codec.options = {"err_detect": "explode"}  # a concealed frame would be judged as if it had been filmed
        index, kind = 0, ""
        try:
            for frame in self._container.decode(self._stream):
                if index == len(shown) or frame.is_corrupt:
                    raise MediaError(Reason.BROKEN_MEDIA, f"frame {index} of {len(shown)} is damaged")
                found = f"{frame.width}x{frame.height} {frame.format.name}"
                kind = kind or found
                if found != kind:
                    raise MediaError(Reason.BROKEN_MEDIA, f"frame {index} of {len(shown)} is {found}, the first was {kind}")
                yield frame, shown[index]
                index += 1
        except av.error.MemoryError:
            raise
        except av.error.FFmpegError as error:
            raise MediaError(Reason.BROKEN_MEDIA, f"frame {index} of {len(shown)}: {error.strerror}") from error
        if index < len(shown):
            raise MediaError(Reason.BROKEN_MEDIA, f"frame {index} of {len(shown)} cannot be decoded")

    def info(self, first: Any) -> probe.VideoInfo:
        """The facts; the rotation is known from the first frame only."""
        rotation = round(first.rotation / 90) * 90 % 360
        width, height = (first.height, first.width) if rotation % 180 else (first.width, first.height)
        probe.check_picture(width, height, self.limits)
        return probe.VideoInfo(
            frames=self.timeline.frames,
            fps=self.timeline.fps,
            width=width,
            height=height,
            rotation=rotation,
            seconds=float(self.timeline.frames / self.timeline.fps),
            variable_rate=self.timeline.variable,
            has_audio=bool(self._container.streams.audio),
            container=self.demuxer,
            codec=self._stream.codec_context.codec.canonical_name,
            pix_fmt=first.format.name,
            pixel_aspect=_pixel_aspect(self._stream),
        )

    def _open(self) -> None:
        self.close()
        self._container = open_container(self.path, self.demuxer, self.limits, self._missing)
        self._stream = self._picture_stream()
        for other in self._container.streams:
            if other is not self._stream:
                other.discard = av.stream.Discard.all

    def _picture_stream(self) -> Any:
        """The first video stream that is no cover picture, its header within limits."""
        container = self._container
        probe.check_streams(len(container.streams), self.limits)
        pictures = [one for one in container.streams.video if not one.disposition & av.stream.Disposition.attached_pic]
        if not pictures:
            kinds = sorted({stream.type for stream in container.streams}) or ["nothing"]
            raise MediaError(Reason.NO_VIDEO_STREAM, f"the file holds {' and '.join(kinds)}, but no video")
        stream = pictures[0]
        if stream.codec_context is None:
            raise MediaError(Reason.BROKEN_MEDIA, "no decoder knows its video codec")
        probe.check_picture(stream.codec_context.width, stream.codec_context.height, self.limits)
        duration = float(stream.duration * stream.time_base) if stream.duration else (container.duration or 0) / av.time_base
        probe.check_length(stream.frames, duration, self.limits)
        return stream

    def _scan(self) -> Timeline:
        """Read every packet's timestamp: the rate is known and the end of the file is seen before anything is decoded."""
        stream, broken = self._stream, self._missing
        pts: list[int | None] = []
        try:
            for packet in self._container.demux(stream):
                if packet.size and not packet.is_discard and not _hidden(packet, stream.codec_context.name):
                    broken = broken or ("its data ends early" if packet.is_corrupt else "")
                    pts.append(packet.pts)
                    self._check_extent(pts, stream.time_base)
        except av.error.FFmpegError as error:
            broken = broken or str(error.strerror)
        if broken or not pts:
            raise MediaError(Reason.BROKEN_MEDIA, f"broken after frame {len(pts)}: {broken or 'it holds no frame'}")
        rates = [Fraction(rate) for rate in (stream.average_rate, stream.guessed_rate, stream.base_rate) if rate]
        timeline = plan(pts, Fraction(stream.time_base), rates)
        if timeline is None:
            raise MediaError(Reason.FRAME_RATE, "the file gives neither timestamps nor a rate")
        probe.check_rate(timeline.frames, timeline.fps, self.limits)
        probe.check_length(timeline.frames, float(timeline.frames / timeline.fps), self.limits)
        return timeline

    def _check_extent(self, pts: list[int | None], time_base: Fraction) -> None:
        first, last = pts[0], pts[-1]
        seconds = 0.0 if first is None or last is None else float((last - first) * time_base)
        probe.check_length(len(pts), seconds, self.limits)


def open_container(path: str, demuxer: str, limits: "MediaLimits", missing: str = "") -> Any:
    """Open a file with one demuxer, nothing but plain files within its reach.

    Raises:
        MediaError: it cannot be opened, or its header asks for a picture that is never allowed.
    """
    options = {
        "protocol_whitelist": "file,pipe",
        "format_whitelist": demuxer,
        "threads": "1",
        "max_pixels": str((limits.max_side + CODED_MARGIN) ** 2),  # FFmpeg decodes a frame to learn the pixel format
        **({"enable_drefs": "0", "use_absolute_path": "0"} if demuxer == "mov" else {}),  # tracks that live in other files
    }
    av.logging.set_level(av.logging.ERROR)
    try:
        with av.logging.Capture() as log:
            container = av.open(f"file:{Path(path).absolute()}", format=demuxer, options=options, metadata_errors="replace")
    except av.error.MemoryError:
        raise
    except av.error.FFmpegError as error:
        raise MediaError(Reason.BROKEN_MEDIA, f"cannot be opened: {missing or error.strerror}") from error
    finally:
        av.logging.set_level(av.logging.PANIC)
    for _, _, text in log:
        if found := REFUSED_SIZE.search(text):  # FFmpeg then reports 0x0
            container.close()
            raise MediaError(Reason.PICTURE_SIZE, f"picture is {found[1]}, max_side is {limits.max_side}")
    return container


def _pixel_aspect(stream: Any) -> Fraction:
    """1 where the file says nothing, or nonsense."""
    told = Fraction(stream.sample_aspect_ratio or 1).limit_denominator(1000)  # H.264 has 16 bits for either number
    return told if Fraction(1, 8) <= told <= 8 else Fraction(1)


def _hidden(packet: Any, codec: str) -> bool:
    return codec in ("vp8", "libvpx") and not memoryview(packet)[0] & VP8_SHOWN
