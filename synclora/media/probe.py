"""What is known of a video before its frames are delivered, and the limits that its header must keep."""

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from synclora.errors import MediaError, Reason

if TYPE_CHECKING:  # pydantic doubles the child's start, and the child gets its limits as JSON
    from synclora.media.settings import MediaLimits


@dataclass(frozen=True)
class VideoInfo:
    """One video file.

    Attributes:
        frames: how many frames are delivered, on a constant grid.
        fps: their rate; frame k is shown at k / fps seconds.
        width: pixels of the upright picture, before any cut or scaling.
        height: pixels of the upright picture.
        rotation: degrees (0, 90, 180, 270) counter-clockwise by which the stored picture was turned upright.
        seconds: frames / fps.
        variable_rate: the file's own timestamps were uneven, so frames were repeated or left out (`timing.py`).
        has_audio: there is at least one sound track.
        container: FFmpeg's name of the container.
        codec: FFmpeg's name of the video codec.
        pix_fmt: FFmpeg's name of the stored pixel format.
        pixel_aspect: width over height of a stored pixel, before the picture is turned upright. Pictures are delivered pixel by pixel.
    """

    frames: int
    fps: Fraction
    width: int
    height: int
    rotation: int
    seconds: float
    variable_rate: bool
    has_audio: bool
    container: str
    codec: str
    pix_fmt: str
    pixel_aspect: Fraction = Fraction(1)

    def to_json(self) -> dict[str, Any]:
        """Plain values, for the wire and for manifests."""
        return {**self.__dict__, "fps": str(self.fps), "pixel_aspect": str(self.pixel_aspect)}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "VideoInfo":
        """The inverse of `to_json`."""
        return cls(**{**values, "fps": Fraction(values["fps"]), "pixel_aspect": Fraction(values.get("pixel_aspect", 1))})


def check_bytes(size: int, limits: "MediaLimits") -> None:
    """Refuse an empty or a huge file."""
    if size == 0:
        raise MediaError(Reason.EMPTY_FILE, "0 bytes")
    if size > limits.max_bytes:
        raise MediaError(Reason.TOO_LARGE, f"{size} bytes, max_bytes is {limits.max_bytes}")


def check_streams(count: int, limits: "MediaLimits") -> None:
    """Refuse a container with very many streams."""
    if count > limits.max_streams:
        raise MediaError(Reason.TOO_MANY_STREAMS, f"{count} streams, max_streams is {limits.max_streams}")


def check_picture(width: int, height: int, limits: "MediaLimits", what: str = "picture") -> None:
    """Refuse a picture that is too small to judge or too large to decode."""
    if min(width, height) < limits.min_side:
        raise MediaError(Reason.PICTURE_SIZE, f"{what} is {width}x{height}, min_side is {limits.min_side}")
    if max(width, height) > limits.max_side:
        raise MediaError(Reason.PICTURE_SIZE, f"{what} is {width}x{height}, max_side is {limits.max_side}")


def check_length(frames: int, seconds: float, limits: "MediaLimits") -> None:
    """Refuse a video that is too long; zeros mean unknown."""
    if frames > limits.max_frames:
        raise MediaError(Reason.TOO_LONG, f"{frames} frames or more, max_frames is {limits.max_frames}")
    if seconds > limits.max_seconds:
        raise MediaError(Reason.TOO_LONG, f"{seconds:.1f} s, max_seconds is {limits.max_seconds:g}")


def check_rate(frames: int, fps: Fraction, limits: "MediaLimits") -> None:
    """Refuse a video with too few frames or an odd rate."""
    if frames < limits.min_frames:
        raise MediaError(Reason.TOO_SHORT, f"{frames} frames, min_frames is {limits.min_frames}")
    if not limits.min_fps <= fps <= limits.max_fps:
        raise MediaError(Reason.FRAME_RATE, f"{float(fps):.2f} fps, the limits are {limits.min_fps:g} to {limits.max_fps:g}")
