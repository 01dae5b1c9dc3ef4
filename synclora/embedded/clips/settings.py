"""What clips are cut from, and how they are changed before a step sees them: the same for both trainings. Imports no torch."""

from typing import Annotated

from pydantic import Field

from synclora.settings import Settings

Share = Annotated[float, Field(ge=0.0, le=1.0)]


class ClipSettings(Settings):
    """What training clips are cut from. A change here makes the cache anew."""

    picture_px: int = Field(default=128, ge=32, multiple_of=16)
    """Side of a clip. At 128 the cues of 24 real clips survive (median r .99 and more), at 96 the lowest blink is .97, gaze .72."""
    face_share: float = Field(default=0.58, ge=0.3, le=0.8)
    """Width of the face over the picture's. Half was measured; a tighter crop gives the eyes more pixels, a wider one a head room to turn."""
    cache_px: int = Field(default=160, ge=32, multiple_of=16)
    """Side of the cached square: a quarter more than the picture, for shifts and scales."""
    min_face: Share = 0.9
    """Share of frames with a face, below which a video is left out."""
    puppets_per_face: int = Field(default=8, ge=0)
    """Performances of each face, every second one in another look."""
    puppet_px: int = Field(default=320, ge=192, multiple_of=32)
    puppet_fps: int = Field(default=25, ge=12, le=60)
    puppet_seconds: float = Field(default=2.28, ge=1.0)
    """57 frames at 25 fps."""
    seed: int = Field(default=0, ge=0)
    """Of the puppets' scripts and looks."""


class AugmentSettings(Settings):
    """What is done to a clip before it is seen; one draw for all of its frames."""

    scale: float = Field(default=0.1, ge=0, le=0.4)
    shift: float = Field(default=0.05, ge=0, le=0.3)
    """Largest change of the window's side and place, as shares of the side."""
    flip: Share = 0.5
    """A mirrored face is a face; nothing of an autoencoder depends on the side."""
    light: float = Field(default=0.2, ge=0, le=0.5)
    """Largest change of brightness, as a share."""
    hue: float = Field(default=0.08, ge=0, le=0.5)
    """Largest change of each colour channel's gain."""
    close: Share = 0.5
    """Share of steps that see only the middle of the face, at the same scale: a quarter of the work, and all of what is measured."""
    close_px: int = Field(default=64, ge=32, multiple_of=16)
