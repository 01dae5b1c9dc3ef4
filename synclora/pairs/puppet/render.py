"""A script and a portrait become frames.

puppet = Puppet.of(portrait)
for frame in puppet.frames(puppet.dress(Look.of(portrait)), script): ...
"""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from synclora.pairs.puppet.face import Eye, EyeLayers, Mouth
from synclora.pairs.puppet.head import Head
from synclora.pairs.puppet.portrait import Portrait
from synclora.pairs.puppet.raster import Array, Picture, blur, fill, floats, grown, sample, smoothstep, to_bytes
from synclora.pairs.puppet.script import Script


@dataclass(frozen=True)
class Look:
    """A portrait as it is dressed: the still picture that a script animates.

    Attributes:
        picture: (size, size, 3) RGB.
        matte: (size, size) 0..1, the person with what they wear.
        worn: (size, size, 4) RGBA laid over the face, moved with the head but not with lids and lips; None for nothing.
    """

    picture: Picture
    matte: Array
    worn: Picture | None = None

    @classmethod
    def of(cls, portrait: Portrait) -> "Look":
        """The portrait as it is."""
        return cls(portrait.picture, portrait.matte)


@dataclass(frozen=True)
class Layers:
    """A look taken apart: the person with transparency, the scene behind, the parts of the face.

    `crown` says per column how many pixels the person reaches beyond the picture's upper edge.
    """

    person: Picture
    scene: Picture
    right: EyeLayers
    left: EyeLayers
    mouth: tuple[Picture, Picture]
    worn: tuple[tuple[slice, slice], Array, Array] | None
    crown: Array


@dataclass(frozen=True)
class Puppet:
    """The geometry of one portrait, ready to move."""

    right: Eye
    left: Eye
    mouth: Mouth
    head: Head

    @classmethod
    def of(cls, portrait: Portrait) -> "Puppet":
        """Prepare a portrait: half a second, once."""
        return cls(Eye.of(portrait, True), Eye.of(portrait, False), Mouth.of(portrait), Head.of(portrait))

    def dress(self, look: Look) -> Layers:
        """Prepare a look: some tens of milliseconds, once per video."""
        rgba = _person(look)
        right, left = self.right.dress(rgba[..., :3]), self.left.dress(rgba[..., :3])
        return Layers(
            person=rgba,
            scene=_scene(look),
            right=right,
            left=left,
            mouth=self.mouth.dress(rgba, (right.light + left.light) / 2),
            worn=_worn(look),
            crown=_crown(look.matte[0]),
        )

    def frames(self, layers: Layers, script: Script) -> Iterator[Picture]:
        """Draw the script's frames, (size, size, 3) RGB each."""
        for index in range(len(script)):
            yield self.frame(layers, script, index)

    def frame(self, layers: Layers, script: Script, index: int) -> Picture:
        """Draw one frame."""
        canvas = layers.person.copy()
        self.mouth.draw(canvas, layers.mouth, float(script.speech[index]), float(script.rounding[index]))
        for eye, parts in ((self.right, layers.right), (self.left, layers.left)):
            eye.draw(canvas, parts, float(script.blink[index]), float(script.gaze[index]))
        if layers.worn is not None:
            place, colours, cover = layers.worn
            canvas[place][..., :3] = (canvas[place][..., :3] * (1 - cover) + colours).astype(np.uint8)
        pose = (float(a[index]) for a in (script.yaw, script.pitch, script.roll, script.sway))
        at = self.head.source_of(*pose)
        moved = sample(canvas, at, cv2.BORDER_REFLECT_101)
        cover = moved[..., 3].astype(np.float32) * np.float32(1 / 255)
        _round_off(cover, at, layers.crown)
        return np.asarray(cv2.blendLinear(moved[..., :3], layers.scene, cover, 1 - cover), dtype=np.uint8)


def _person(look: Look) -> Picture:
    """The person as RGBA; at the soft edge the colours are continued from inside, so no old background shows."""
    sure = np.clip((look.matte - 0.6) / 0.35, 0, 1)
    inside = fill(floats(look.picture), sure)
    own = np.clip(look.matte * 1.2, 0, 1)[..., None]
    colours = look.picture * own + inside * (1 - own)
    rgba = np.concatenate([colours, 255 * look.matte[..., None]], axis=-1)
    return to_bytes(rgba)


def _scene(look: Look) -> Picture:
    """The picture without the person, continued from around them."""
    known = 1 - blur(grown(look.matte > 0.03, 7, 7), 1.5)
    return to_bytes(fill(floats(look.picture), known))


def _crown(first_row: Array) -> Array:
    """Hair that touches the picture's upper edge is taken to go on as a low dome over each stretch that touches."""
    touching = np.concatenate([[False], first_row > 0.5, [False]])
    dome = np.zeros(len(first_row), np.float32)
    starts, ends = np.flatnonzero(touching[1:] & ~touching[:-1]), np.flatnonzero(~touching[1:] & touching[:-1])
    for start, end in zip(starts, ends, strict=True):
        across = (np.arange(start, end) + 0.5 - start) / (end - start) * 2 - 1
        dome[start:end] = 0.3 * (end - start) / 2 * np.sqrt(1 - across**2)
    return dome


def _round_off(cover: Array, at: Array, crown: Array) -> None:
    """Where a lowered head shows what was above the picture, end it at its crown."""
    rows = len(cover) // 4  # a head comes down by less than that
    beyond = -at[:rows, :, 1]
    if beyond.max() > 0:
        reach = np.interp(at[:rows, :, 0], np.arange(len(crown)), crown)
        cover[:rows] = np.where(beyond > 0, smoothstep((reach - beyond) / 2), cover[:rows])


def _worn(look: Look) -> tuple[tuple[slice, slice], Array, Array] | None:
    if look.worn is None or not look.worn[..., 3].any():
        return None
    rows, columns = np.nonzero(look.worn[..., 3].any(axis=1))[0], np.nonzero(look.worn[..., 3].any(axis=0))[0]
    place = slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
    cover = look.worn[place][..., 3:].astype(np.float32) / 255
    return place, look.worn[place][..., :3] * cover, cover
