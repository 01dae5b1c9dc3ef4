"""Settings of the motion room: how landmarks are taken, and by which rule a pair is judged."""

from typing import Annotated, Literal

from pydantic import Field

from synclora.settings import Settings

Cue = Literal["speech", "gaze", "blink", "pose"]
CUES: tuple[Cue, ...] = ("speech", "gaze", "blink", "pose")

Share = Annotated[float, Field(ge=0.0, le=1.0)]


class LandmarkSettings(Settings):
    """What MediaPipe is asked to do with a video. Any change makes every video be measured again."""

    pose_step_s: float = Field(default=0.12, ge=0.0, le=0.5)
    """Seconds between two looks at the body, 0 for every frame. Pose costs five times the face mesh. The clearest gestures (sign language)
    stand twenty times above their noise at .08, 7 to 14 times at .12, 4 to 8 times at .16: less would lose them as evidence."""

    face_count_looks: int = Field(default=4, ge=1, le=32)
    """Frames, evenly spread, on which a face detector counts the people."""

    min_detection_confidence: Share = 0.5
    min_tracking_confidence: Share = 0.5
    """MediaPipe's own defaults."""


class VerdictSettings(Settings):
    """The rule that keeps a pair. A change needs no video: `--rescore` applies it to an existing manifest.

    Defaults were set on the 14 real clips with photometric twins, on the real pairs with their authors' verdicts, and on puppets
    with known truth; `tests/benchmarks` measures them again.
    """

    cues: tuple[Cue, ...] = Field(default=CUES, min_length=1)

    min_snr: float = Field(default=3.0, ge=1.0)
    """A signal is evidence from this ratio of its movement to its own measuring noise: at 3 a perfect pair reaches r = .90."""
    min_frames: int = Field(default=17, ge=9)
    """Shorter pairs are no evidence: between 9 and 16 frames a shift of three has nowhere to show. 17 is the backbones' shortest clip."""
    min_visible: Share = 0.5
    """Share of frames in which a part must be seen in both halves to be evidence."""
    min_face: Share = 0.9
    """Share of frames with a face, in each half: the person is in the picture."""
    second_face: float = Field(default=0.4, ge=0.0)
    """A second face is a person from this share of the first one's width: smaller ones are posters and passers-by."""
    max_trim_s: float = Field(default=0.2, ge=0.0)
    """The longer half is trimmed at its end by at most this much: encoders drop or double a few frames there."""

    min_r_speech: float = 0.7
    min_r_gaze: float = 0.7
    min_r_blink: float = 0.8
    min_r_pose: float = 0.7
    min_sync: float = 0.75
    max_lag_frames: float = Field(default=0.75, ge=0.0)
    max_local_lag_frames: float = Field(default=2.0, ge=0.0)
    max_local_gain: float = Field(default=4.0, ge=1.0)
    """Ratio of the halves' speeds in any stretch of 1.4 s that moves: a half that freezes, or fidgets where the source rests."""
    max_gain: float = Field(default=3.0, ge=1.0)

    min_edit: float = Field(default=0.0005, ge=0.0)
    min_edit_hold: float = Field(default=0.3, ge=0.0)
    """How much of the first frame's edit must last: an adapter that keeps the edit only there teaches to drop it."""
    max_misalignment: float = Field(default=0.35, ge=0.0)

    best: int = Field(default=0, ge=0)
    """Keep only the best so many pairs by sync score; 0 keeps all that pass."""

    def min_r(self, cue: Cue) -> float:
        """The agreement that this cue must reach when it has evidence."""
        return float(getattr(self, f"min_r_{cue}"))
