"""The sound under the pictures: packets that are copied into an MP4 while its pictures are written."""

from collections.abc import Iterator
from fractions import Fraction
from io import BytesIO
from typing import Any

import av

from synclora.media.track import Sound


class Underlay:
    """Copies sound packets into a file as the pictures go by, so that a player finds both close together.

    Args:
        file: open for writing, its movie's clock counting samples.
        sound: empty for none.

    Attributes:
        pictures_start: when the pictures begin in the file, in seconds: later than 0 if the sound begins before them.
        discarded: samples at its start that a decoder must throw away, and that the file does not yet say so of.
    """

    def __init__(self, file: Any, sound: Sound) -> None:
        self._file = file
        self._packets: Iterator[Any] = iter(())
        self.pictures_start, self.discarded = max(Fraction(0), -sound.start), 0
        if sound:
            source = av.open(BytesIO(sound.mp4), "r", format="mp4")
            self._stream = file.add_stream_from_template(source.streams.audio[0])
            self._packets = (packet for packet in source.demux(source.streams.audio[0]) if packet.dts is not None)
        self._next = next(self._packets, None)
        self._later = Fraction(0)
        if self._next is not None and sound.start > 0:
            before = max(Fraction(0), -self._next.pts * Fraction(self._next.time_base))
            self.discarded = round(before * sample_rate(sound))
            self._later = (
                sound.start + before
            )  # a file that begins late cannot hold what lies before its sound: `editlist.discard`

    def up_to(self, seconds: Fraction | None) -> None:
        """Copy all packets before this time of the file; None for the rest."""
        while self._next is not None:
            base = self._next.time_base
            if seconds is not None and self._next.dts * base + self._later >= seconds:
                return
            ticks = round(self._later / base)
            self._next.pts, self._next.dts = self._next.pts + ticks, self._next.dts + ticks
            self._next.stream = self._stream
            self._file.mux(self._next)
            self._next = next(self._packets, None)


def sample_rate(sound: Sound) -> int:
    """Of a sound that is not empty, in Hz."""
    with av.open(BytesIO(sound.mp4), "r", format="mp4") as source:
        return int(source.streams.audio[0].codec_context.sample_rate)
