"""A video's sound, as it travels from the confined child to a new video."""

from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True)
class Sound:
    """One sound track.

    Attributes:
        mp4: an MP4 with this track alone, its first sample at 0; empty for a silent video.
        start: when that sample is heard, in seconds after the first picture is shown; below 0: before.
    """

    mp4: bytes = b""
    start: Fraction = Fraction(0)

    def __bool__(self) -> bool:
        return bool(self.mp4)
