"""What an edit gives back. Plain values: they go into the job table and over HTTP as they are. Imports no torch."""

from pydantic import Field

from synclora.motion.settings import Cue
from synclora.settings import Settings


class PartReport(Settings):
    """One part of the body: how well edit and source agree in it, and both tracks."""

    part: str
    cue: Cue
    signal: str
    """Whose tracks are given, of those that the part has."""
    evidence: bool
    why: str = ""
    """Why it is no evidence; else empty."""
    r: float | None = None
    lag_frames: float | None = None
    gain: float | None = None
    snr: float | None = None
    visible: float | None = None
    source: tuple[float | None, ...] = ()
    """One value per frame, smoothed, in standard deviations of the clip; None where it was not seen in both."""
    edited: tuple[float | None, ...] = ()


class SyncReport(Settings):
    """Curation's scorer on source and edit."""

    score: float | None
    """Mean of the cues that have evidence; None when nothing could be compared, and `detail` says why."""
    low: float | None = None
    high: float | None = None
    """90 % interval."""
    lag_frames: float | None = None
    verdict: str
    """kept, rejected or quarantined, as curation would say."""
    reason: str | None = None
    detail: str = ""
    cues: dict[Cue, float | None]
    parts: tuple[PartReport, ...] = ()


class Seam(Settings):
    """Where two windows of a long clip meet."""

    frame: int
    """First frame of the later window alone."""
    picture: float
    """Largest frame difference across the seam (from the overlap's first frame to this one) over the source's own there, each in units of its
    clip's median. 1: nothing to see."""
    cues: float | None = None
    """Largest step of a cue's smoothed curve across the seam over the largest that the source makes anywhere; None if no cue has evidence."""


class Fit(Settings):
    """How the edited first frame was brought onto the source's: x' = scale · R(turn) · x + shift, about the picture's middle."""

    kind: str
    """Onto the whole picture, or onto its crop where a picture of that part alone was given. none, scaled, cropped, or aligned."""
    scale: float = 1.0
    turn_degrees: float = 0.0
    shift_x_px: float = 0.0
    shift_y_px: float = 0.0
    misalignment_before: float | None = None
    """Distance of the faces, in face widths; None when one of the two shows no face: then the size alone was fitted."""
    misalignment_after: float | None = None
    filled: float = 0.0
    """Share of the picture that the edited one did not cover, filled with the source's own."""


class Crop(Settings):
    """A part of the source's upright picture, in its pixels."""

    left: int
    top: int
    width: int
    height: int


class Attempt(Settings):
    """One seed tried."""

    seed: int
    score: float | None


class EditResult(Settings):
    """All that is known of a finished edit."""

    frames: int
    fps: str
    """A fraction, such as 30000/1001."""
    width: int
    height: int
    seconds: float
    has_audio: bool
    adapter: str
    """`none` for the bare model."""
    backbone: str
    prompt: str
    seed: int
    """Of the attempt that came back."""
    steps: int
    random_base: bool
    """The model's weights are random: the video proves plumbing only."""
    report: SyncReport
    edit_strength: float | None
    """Distance of edit and source, 0 to 1; a copy is 0."""
    first_frame_distance: float | None
    """Distance of the video's first frame and the edited first frame that was given, 0 to 1."""
    fit: Fit
    crop: Crop | None = None
    """What of the source was edited, which is what the video shows; None: all of it. Every figure here compares with that part."""
    seams: tuple[Seam, ...] = ()
    attempts: tuple[Attempt, ...] = Field(default=(), max_length=8)
    working_size: str = ""
    """WIDTHxHEIGHT that the model worked at."""
    took_seconds: dict[str, float] = Field(default_factory=dict)
    """By stage."""
