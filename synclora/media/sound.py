"""The sound of a video, as an MP4 in memory that holds nothing else. Runs inside the confined child.

The parent copies its packets beside new pictures (`encode.py`) and never decodes a stranger's sound.
"""

from io import BytesIO
from typing import TYPE_CHECKING, Any

import av

from synclora.errors import MediaError, Reason
from synclora.media import container as outside
from synclora.media import probe
from synclora.media.reader import open_container

if TYPE_CHECKING:
    from synclora.media.settings import MediaLimits

FITS_MP4 = {"aac", "mp3", "ac3", "eac3", "alac", "opus", "flac"}  # the others, PCM and Vorbis above all, become AAC
AAC_RATE = 48000  # Hz, what players and cameras share
MAX_BYTES = 64 * 1024**2  # 120 s of stereo 24-bit ALAC at 96 kHz; keeps the reply far below the child's memory


def extract(path: str, limits: "MediaLimits", start: float, seconds: float) -> bytes:
    """The first sound track from `start` to `start + seconds`, both in seconds since the first picture.

    Returns b"" when the file is silent. The packets are copied when MP4 can hold them, else encoded to AAC. A packet is
    taken whole when it begins inside the span, so copied sound is cut to its packets (about 0.02 s).

    Raises:
        MediaError: the file cannot be opened or its sound is damaged.
    """
    with outside.open_regular(path) as file:
        probe.check_bytes(outside.size_of(file), limits)
        demuxer = outside.sniff(file)
    try:
        with open_container(path, demuxer, limits) as source:
            probe.check_streams(len(source.streams), limits)
            if not source.streams.audio:
                return b""
            track = source.streams.audio[0]
            pictures = [one for one in source.streams.video if one.start_time is not None]
            start += float(pictures[0].start_time * pictures[0].time_base) if pictures else 0.0
            for other in source.streams:
                if other is not track:
                    other.discard = av.stream.Discard.all
            take = _copy if track.codec_context.codec.canonical_name in FITS_MP4 else _encode
            return take(source, track, start, start + seconds)
    except av.error.MemoryError:
        raise
    except av.error.FFmpegError as error:
        raise MediaError(Reason.BROKEN_MEDIA, f"its sound: {error.strerror}") from error


def _copy(source: Any, track: Any, start: float, stop: float) -> bytes:
    buffer = BytesIO()
    with av.open(buffer, "w", format="mp4") as sound:
        out = sound.add_stream_from_template(track)
        for packet in source.demux(track):
            if packet.pts is None or not start <= packet.pts * track.time_base < stop or _full(buffer):
                continue
            shift = round(start / track.time_base)
            packet.pts, packet.dts = packet.pts - shift, packet.pts - shift  # sound is never reordered
            packet.stream = out
            sound.mux(packet)
    return buffer.getvalue()


def _encode(source: Any, track: Any, start: float, stop: float) -> bytes:
    buffer = BytesIO()
    with av.open(buffer, "w", format="mp4") as sound:
        layout = "mono" if track.codec_context.layout.nb_channels == 1 else "stereo"
        out = sound.add_stream("aac", rate=AAC_RATE, layout=layout, options={"threads": "1"})
        resampler = av.AudioResampler(format="fltp", layout=layout, rate=AAC_RATE)
        for frame in source.decode(track):
            if frame.pts is None or not start <= frame.pts * track.time_base < stop or _full(buffer):
                continue
            frame.pts -= round(start / track.time_base)
            for piece in resampler.resample(frame):
                sound.mux(out.encode(piece))
        for piece in resampler.resample(None):
            sound.mux(out.encode(piece))
        sound.mux(out.encode(None))
    return buffer.getvalue()


def _full(buffer: BytesIO) -> bool:
    return buffer.tell() > MAX_BYTES
