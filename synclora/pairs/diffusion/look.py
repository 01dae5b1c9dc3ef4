"""What a check measured on one picture, kept beside it: other limits are applied to it without MediaPipe and without the picture."""

import json
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np

from synclora.motion.landmarks import Floats

FORMAT = 1
"""Raised when a number changes its meaning: older looks are then taken again."""


@dataclass(frozen=True)
class Look:
    """Numbers of a portrait, or of an edited portrait and what it has of the portrait.

    Attributes:
        width: of the picture, in pixels.
        height: of it.
        faces: per face, the widest first, its eleven points FACE_FRAME as (x, y) in pixels; None where nobody looked for faces.
        second_face: width of a second face over the first one's, sure ones alone; 0 if there is none.
        change: how clearly the edit shows, see `change.edit_strength`; 0 of a portrait.
        likeness: correlation of the fine structure of the edit with the portrait's, of the whole picture or of the head, whichever is more:
            see `synclora.edit.warp.resemblance`; 1 of a portrait.
        direct: that of the whole picture.
        mirrored: that of the whole picture and the edit's mirror image; 0 of a portrait.
    """

    width: int
    height: int
    faces: tuple[tuple[tuple[float, float], ...], ...] | None
    second_face: float = 0.0
    change: float = 0.0
    likeness: float = 1.0
    direct: float = 1.0
    mirrored: float = 0.0

    def points(self) -> list[Floats]:
        """The faces' points, each (11, 2)."""
        return [np.asarray(face, np.float32) for face in self.faces or ()]

    def to_json(self) -> str:
        """For look.json."""
        return json.dumps({"format": FORMAT, **asdict(self)})

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The inverse of `to_json`.

        Raises:
            ValueError: it is no look, or one of another format.
        """
        try:
            fields: dict[str, Any] = json.loads(text)
            if fields.pop("format") != FORMAT:
                raise ValueError("a look of another format")
            if fields["faces"] is not None:
                fields["faces"] = tuple(tuple((float(x), float(y)) for x, y in face) for face in fields["faces"])
            return cls(**fields)
        except (AttributeError, KeyError, TypeError) as error:
            raise ValueError("no look") from error
