"""What the puppet makes, and how much of it is bad on purpose."""

from pathlib import Path

from pydantic import Field, field_validator

from synclora.pairs.puppet.defects import DEFECTS, parse_defect
from synclora.pairs.puppet.edits import EDITS
from synclora.settings import Settings

ALL_DEFECTS = ("shift:2", "speech", "no_face", "blink", "shift:3", "gaze", "frozen", "retimed", "stranger", "shift:8")
"""The order in which bad pairs are made: the telling ones first, so that a small set has them."""


class PuppetSettings(Settings):
    """The recipe of an embedded set of pairs.

    Attributes:
        pairs: how many.
        seed: everything random follows from it.
        size: pixels of a side of each half; a multiple of 32, as the backbones want it.
        fps: frames per second.
        seconds: length of a clip; 2.28 s at 25 fps are 57 frames, of the form 8k+1 that the backbones want.
        bad_share: share of pairs made bad on purpose.
        faces: folder of portraits (JPEG, PNG, WebP); None is the astronaut that scikit-image ships.
        edits: the kinds of edits, taken in turn.
        defects: the kinds of defects, taken in turn.
    """

    pairs: int = Field(default=24, ge=1, le=100_000)
    seed: int = Field(default=0, ge=0)
    size: int = Field(default=320, ge=192, le=1024, multiple_of=32)
    fps: int = Field(default=25, ge=12, le=60)
    seconds: float = Field(default=2.28, ge=1.0, le=60.0)
    bad_share: float = Field(default=1 / 3, ge=0.0, le=1.0)
    faces: Path | None = None
    edits: tuple[str, ...] = tuple(EDITS)
    defects: tuple[str, ...] = ALL_DEFECTS

    @property
    def frames(self) -> int:
        """Frames of each clip."""
        return round(self.seconds * self.fps)

    @field_validator("edits")
    @classmethod
    def _known_edits(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [name for name in names if name not in EDITS]
        if unknown or not names:
            raise ValueError(f"no edit called {', '.join(unknown) or '(none given)'}; choose from {', '.join(EDITS)}")
        return names

    @field_validator("defects")
    @classmethod
    def _known_defects(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            parse_defect(name)
        if not names:
            raise ValueError(f"no defect given; choose from {', '.join(DEFECTS)}, or set bad_share to 0")
        return names
