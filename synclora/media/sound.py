"""The sound of a video, as an MP4 in memory that holds nothing else. Runs inside the confined child.

The parent copies its packets beside new pictures (`encode.py`) and never decodes a stranger's sound.

A whole track comes along sample for sample: its packets are copied where MP4 holds them, players know them, and what they decode to was
compared and is the same. Else (PCM, ALAC, AC-3, Vorbis, a track whose last packet is cut in a way that MP4 cannot tell) the decoded
samples are stored in FLAC: integers of up to 24 bits exactly, the decimals of lossy codecs rounded to 24 bits, an error of 2⁻²⁴ at
most.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from io import BytesIO
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import av

from synclora.errors import MediaError, Reason
from synclora.media import container as outside
from synclora.media import probe
from synclora.media.flac import GAP_S, Clock, check_size, flac
from synclora.media.reader import open_container
from synclora.media.track import Sound

if TYPE_CHECKING:
    from synclora.media.settings import MediaLimits

FITS_MP4 = {"aac", "mp3", "opus", "flac"}  # MP4 holds ALAC and AC-3 too, but Chromium and Firefox are silent then
FEW = 2  # packets at the ends that may be broken in any sound, 0.04 s; of a longer one a twentieth
LONGER_S = 10.0  # a sound may outlast the longest video by so much: recorders stop the two one after the other


def whole(path: str, limits: "MediaLimits") -> Sound:
    """The first sound track, sample for sample.

    Raises:
        MediaError: the file cannot be opened, its sound is damaged, outlasts every video, or is too large.
    """
    with _in_our_words():
        heard = _listen(_open(path, limits), limits)
        if heard is None:
            return Sound()
        if heard.copyable and (copied := _faithful_copy(path, limits, heard)):
            return Sound(copied, heard.start)
        clock = Clock(heard.rate, heard.channels, heard.start + heard.pictures_start)
        return Sound(_encode(_open(path, limits), clock), heard.start)


def extract(path: str, limits: "MediaLimits", start: float, seconds: float) -> Sound:
    """The first sound track from `start` to `start + seconds`, both in seconds since the first picture.

    Its packets are copied when MP4 can hold them: then a packet is taken whole when it begins inside the span (about 0.02 s). Else FLAC.

    Raises:
        MediaError: the file cannot be opened or its sound is damaged.
    """
    with _in_our_words():
        heard = _listen(_open(path, limits), limits)
        if heard is None:
            return Sound()
        begin = heard.pictures_start + Fraction(start)
        span = begin, begin + Fraction(seconds)
        if heard.copyable:
            return Sound(_cut(_open(path, limits), span))
        return Sound(_encode(_open(path, limits), Clock(heard.rate, heard.channels, begin, round(seconds * heard.rate))))


@dataclass(frozen=True)
class _Heard:
    """What a track decodes to.

    Attributes:
        start: of the first sample, in seconds after the first picture.
        pictures_start: of the first picture, on the file's clock.
        rate: Hz.
        channels: how many.
        digest: of all samples, their format and rate.
        copyable: MP4 holds such packets.
    """

    start: Fraction
    pictures_start: Fraction
    rate: int
    channels: int
    digest: str
    copyable: bool


def _faithful_copy(path: str, limits: "MediaLimits", heard: _Heard) -> bytes:
    """The packets in an MP4, if they decode to the same samples there; else nothing."""
    try:
        copied = _copy(_open(path, limits), heard)
        again = _listen(av.open(BytesIO(copied), "r", format="mp4"), limits)
    except av.error.MemoryError:
        raise
    except av.error.FFmpegError:  # MP4 does not hold every packet of its codecs
        return b""
    return copied if again is not None and again.digest == heard.digest else b""


def _decoded(source: Any, track: Any) -> Iterator[Any]:
    """Frames of sound. A few packets that cannot be decoded are passed over, as players do: broadcasts begin in the middle of one."""
    packets = failed = 0
    for packet in source.demux(track):
        packets += 1
        try:
            frames = packet.decode()
        except av.error.MemoryError:
            raise
        except av.error.FFmpegError:  # the AAC decoder has numbers of its own beside "invalid data"
            failed += 1
        else:
            yield from frames
    if failed > FEW and failed * 20 > packets:
        raise MediaError(Reason.BROKEN_MEDIA, f"its sound: {failed} of {packets} packets cannot be decoded")


def _open(path: str, limits: "MediaLimits") -> Any:
    with outside.open_regular(path) as file:
        probe.check_bytes(outside.size_of(file), limits)
        demuxer = outside.sniff(file)
    return open_container(path, demuxer, limits)


def _track(source: Any) -> Any:
    """The first sound track, the others not read."""
    track = source.streams.audio[0] if source.streams.audio else None
    for other in source.streams:
        if other is not track:
            other.discard = av.stream.Discard.all
    return track


def _listen(source: Any, limits: "MediaLimits") -> _Heard | None:
    """Decode a track once; None if there is none, or nothing is heard."""
    with source:
        probe.check_streams(len(source.streams), limits)
        track = _track(source)
        if track is None:
            return None
        digest, first, count, kind = hashlib.sha256(), None, 0, None
        for frame in _decoded(source, track):
            found = frame.sample_rate, frame.format.name, frame.layout.nb_channels
            kind = kind or found
            if found != kind:
                raise MediaError(Reason.BROKEN_MEDIA, f"its sound: {found} after {count} samples, began as {kind}")
            first = frame if first is None else first
            count += frame.samples
            clock = 0.0 if frame.pts is None or first.pts is None else float((frame.pts - first.pts) * frame.time_base)
            if max(clock, count / kind[0]) > limits.max_seconds + LONGER_S:
                raise MediaError(Reason.TOO_LONG, f"its sound lasts more than max_seconds = {limits.max_seconds:g}")
            for plane in _planes(frame):
                digest.update(plane)
        if first is None or kind is None:
            return None
        digest.update(repr((kind, count)).encode())
        covers = av.stream.Disposition.attached_pic
        pictures = [one for one in source.streams.video if one.start_time is not None and not one.disposition & covers]
        zero = pictures[0].start_time * Fraction(pictures[0].time_base) if pictures else Fraction(0)
        start = (first.pts or 0) * Fraction(first.time_base) - zero
        name = track.codec_context.codec.canonical_name
        return _Heard(start, zero, kind[0], kind[2], digest.hexdigest(), name in FITS_MP4)


def _planes(frame: Any) -> Iterator[memoryview]:
    """The samples' bytes without what pads a plane."""
    planar = frame.format.is_planar
    length = frame.samples * frame.format.bytes * (1 if planar else frame.layout.nb_channels)
    for plane in frame.planes:
        yield memoryview(plane)[:length]


def _copy(source: Any, heard: _Heard) -> bytes:
    """All packets, on a clock that counts samples: the first one that is heard is at 0, what a decoder throws away lies before it."""
    buffer = BytesIO()
    with source, av.open(buffer, "w", format="mp4", options={"movie_timescale": str(heard.rate)}) as sound:
        track = _track(source)
        out = sound.add_stream_from_template(track)
        packets = [packet for packet in source.demux(track) if packet.size and packet.pts is not None]
        if not packets:
            return b""
        lengths = _samples(packets, track, heard.rate)
        place = -_discarded(packets, track, heard)
        drift = packets[0].pts * Fraction(track.time_base) * heard.rate - place
        for packet, samples in zip(packets, lengths, strict=True):
            due = packet.pts * Fraction(track.time_base) * heard.rate - drift
            place = round(due) if due - place > GAP_S * heard.rate else place
            packet.time_base = Fraction(1, heard.rate)
            packet.pts = packet.dts = place
            packet.duration, place = samples, place + samples
            packet.stream = out
            sound.mux(packet)
            check_size(buffer)
    return buffer.getvalue()


def _samples(packets: list[Any], track: Any, rate: int) -> list[int]:
    """How many samples each packet holds: by the codec where all hold as many, else by the timestamps."""
    fixed = track.codec_context.frame_size
    if fixed:
        return [int(fixed * rate // track.codec_context.sample_rate)] * len(packets)
    base = Fraction(track.time_base) * rate
    places = [round(packet.pts * base) for packet in packets] + [round((packets[-1].pts + packets[-1].duration) * base)]
    return [max(1, after - now) for now, after in pairwise(places)]


def _discarded(packets: list[Any], track: Any, heard: _Heard) -> int:
    """Samples that a decoder throws away at the beginning, as the packets say, or else as the first frame's time shows."""
    told = [bytes(packet.get_sidedata("skip_samples")) for packet in packets if packet.has_sidedata("skip_samples")]
    if told:
        return sum(int.from_bytes(one[:4], "little") for one in told)
    begun = Fraction(packets[0].pts * track.time_base)
    return max(0, round((heard.start + heard.pictures_start - begun) * heard.rate))


def _cut(source: Any, span: tuple[Fraction, Fraction]) -> bytes:
    buffer = BytesIO()
    with source, av.open(buffer, "w", format="mp4") as sound:
        track = _track(source)
        out = sound.add_stream_from_template(track)
        shift = round(span[0] / track.time_base)
        for packet in source.demux(track):
            if packet.pts is None or not span[0] <= packet.pts * track.time_base < span[1]:
                continue
            packet.pts, packet.dts = packet.pts - shift, packet.pts - shift  # sound is never reordered
            packet.stream = out
            sound.mux(packet)
            check_size(buffer)
    return buffer.getvalue()


def _encode(source: Any, clock: Clock) -> bytes:
    with source:
        track = _track(source)
        return flac(_decoded(source, track), clock)


@contextmanager
def _in_our_words() -> Iterator[None]:
    try:
        yield
    except av.error.MemoryError:
        raise
    except av.error.FFmpegError as error:
        raise MediaError(Reason.BROKEN_MEDIA, f"its sound: {error.strerror}") from error
