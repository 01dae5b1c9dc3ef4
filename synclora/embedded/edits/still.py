"""The puppet's catalogue of edits, drawn onto a real picture: an edited first frame for a video that has none.

edited, words = drawn_on(first_frame, "hair", seed=0)
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from synclora.embedded.edits.paint import any_colour, face_paint
from synclora.errors import MediaError, Reason
from synclora.media.decode import Picture
from synclora.pairs.puppet.edits import EDITS
from synclora.pairs.puppet.portrait import Portrait, crop_box, find_face, load_portrait
from synclora.pairs.puppet.raster import Array, floats, smoothstep, to_bytes
from synclora.pairs.puppet.render import Look
from synclora.report.contact import write_png

SHOWS = 0.01
"""Least root mean square difference over head and shoulders, 0 to 1: hair that is not there cannot be made blue. Thin glasses measure .02."""


def drawn_on(picture: Picture, edit: str, seed: int) -> tuple[Picture, str]:
    """The picture with one edit, and the edit in words; around head and shoulders it stays as it was.

    Args:
        picture: (height, width, 3) of one person.
        edit: a name of the catalogue.
        seed: of the choice and its details.

    Raises:
        MediaError: it does not show one face from the front, or the edit does not show on it.
    """
    return Sitter.of(picture).drawn(edit, seed)


@dataclass(frozen=True)
class Sitter:
    """Whom edits are drawn on: found once, edited often.

    Attributes:
        picture: (height, width, 3).
        portrait: head and shoulders at the picture's own pixels, nothing scaled.
        left: of head and shoulders in the picture.
        top: likewise.
    """

    picture: Picture
    portrait: Portrait
    left: int
    top: int

    @classmethod
    def of(cls, picture: Picture) -> "Sitter":
        """Find the one face.

        Raises:
            MediaError: there is none, or more than one, or it is turned away.
        """
        height, width = picture.shape[:2]
        left, top, side = crop_box(find_face(picture), width, height)
        with tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch) / "picture.png"
            write_png(path, picture)
            return cls(picture, load_portrait(path, side), left, top)

    def drawn(self, edit: str, seed: int) -> tuple[Picture, str]:
        """With one edit, and the edit in words; the same choice and details for a seed, whatever the picture.

        Raises:
            MediaError: the edit does not show.
        """
        choice = EDITS[edit].choose(np.random.default_rng([seed, 1]))
        look = EDITS[edit].draw(self.portrait, choice, np.random.default_rng([seed, 2]))
        return self._with(look, EDITS[edit].caption(choice))

    def coloured(self, edit: str, seed: int) -> tuple[Picture, str]:
        """With one edit of the catalogue in a colour that is in no catalogue, and the edit in words.

        Raises:
            MediaError: the edit does not show.
        """
        colour = any_colour(np.random.default_rng([seed, 3]))
        look = EDITS[edit].paint(self.portrait, colour, np.random.default_rng([seed, 2]))
        return self._with(look, EDITS[edit].caption(f"#{bytes(colour).hex()}"))

    def painted(self, seed: int) -> tuple[Picture, str]:
        """With a face painted for a carnival, in words; places and colours by the seed.

        Raises:
            MediaError: the paint does not show.
        """
        return self._with(face_paint(self.portrait, np.random.default_rng([seed, 4])), f"paint the face, pattern {seed}")

    def _with(self, dressed: Look, words: str) -> tuple[Picture, str]:
        side = self.portrait.size
        look = flat(dressed)
        if (shows := float(np.sqrt(((look - floats(self.portrait.picture)) ** 2).mean()) / 255)) < SHOWS:
            raise MediaError(Reason.NO_EDIT, f"{words}: changes the picture by {shows:.4f}, less than {SHOWS}")
        cover = _feather(self.left, self.top, side, self.picture.shape[1], self.picture.shape[0])[..., None]
        edited = self.picture.copy()
        part = edited[self.top : self.top + side, self.left : self.left + side]
        part[:] = to_bytes(look * cover + part * (1 - cover))
        return edited, words


def flat(look: Look) -> Array:
    """A look as one picture, with what is worn over it."""
    if look.worn is None:
        return floats(look.picture)
    cover = floats(look.worn[..., 3:]) / 255
    return floats(look.picture * (1 - cover) + look.worn[..., :3] * cover)


def _feather(left: int, top: int, side: int, width: int, height: int) -> Array:
    """(side, side) 0..1: fades towards the box's edges, but not where the picture ends as well."""
    across = np.arange(side) + 0.5
    soft = 0.06 * side
    ends = (left == 0, left + side >= width), (top == 0, top + side >= height)
    ramps = []
    for begins, stops in ends:
        ramp = np.ones(side, np.float32)
        if not begins:
            ramp *= smoothstep((across / soft).astype(np.float32))
        if not stops:
            ramp *= smoothstep(((side - across) / soft).astype(np.float32))
        ramps.append(ramp)
    return floats(ramps[1][:, None] * ramps[0][None])
