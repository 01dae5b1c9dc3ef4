"""The catalogue of edits: each turns a portrait into another look, and says so in words.

    edit = EDITS["hair"]
    choice = edit.choose(rng)                   # "copper red"
    edit.caption(choice)                        # "make the hair copper red"
    look = edit.draw(portrait, choice, rng)

Edits are drawn on the still picture, so they move exactly as the person does.
"""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from synclora.pairs.puppet import landmarks as lm
from synclora.pairs.puppet.portrait import Portrait
from synclora.pairs.puppet.raster import Array, Picture, blur, fill, floats, grown, pixel_grid, polygon, smoothstep, to_bytes
from synclora.pairs.puppet.render import Look
from synclora.pairs.puppet.wear import draw_beanie, draw_glasses

Colour = tuple[int, int, int]
Draw = Callable[[Portrait, Colour, np.random.Generator], Look]


@dataclass(frozen=True)
class Edit:
    """One kind of edit.

    Attributes:
        words: the caption, `{}` standing for the choice.
        choices: what can be chosen, by its name in the caption.
        paint: draws it.
    """

    words: str
    choices: dict[str, Colour]
    paint: Draw

    def choose(self, rng: np.random.Generator) -> str:
        """Draw one of the choices."""
        return str(rng.choice(list(self.choices)))

    def caption(self, choice: str) -> str:
        """The edit in words."""
        return self.words.format(choice)

    def draw(self, portrait: Portrait, choice: str, rng: np.random.Generator) -> Look:
        """The edited look."""
        return self.paint(portrait, self.choices[choice], rng)


def _tint(picture: Picture, mask: Array, colour: Colour, strength: float, own_light: float = 1.0) -> Picture:
    """Give the masked part a colour and keep its light and shade.

    Args:
        own_light: 1 keeps the part's mean lightness, 0 takes the colour's.
    """
    lab = cv2.cvtColor(picture.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    aim = cv2.cvtColor(np.asarray([[colour]], np.float32) / 255, cv2.COLOR_RGB2LAB)[0, 0]
    weight = np.clip(mask * strength, 0, 1)[..., None]
    total = max(float(mask.sum()), 1e-3)
    mean = (lab * mask[..., None]).sum(axis=(0, 1)) / total
    new = np.empty_like(lab)
    light = mean[0] * own_light + aim[0] * (1 - own_light)
    new[..., 0] = lab[..., 0] * (0.45 + 0.55 * light / max(mean[0], 12.0)) + 0.45 * (light - mean[0])
    bright = np.clip(new[..., 0:1] / max(aim[0], 25.0), 0.35, 1.25)  # shade is less colourful
    new[..., 1:] = aim[1:] * bright + 0.25 * (lab[..., 1:] - mean[1:])
    new[..., 0] = np.clip(new[..., 0], 0, 98)
    rgb = cv2.cvtColor((lab * (1 - weight) + new * weight).astype(np.float32), cv2.COLOR_LAB2RGB)
    return to_bytes(rgb * 255)


def _hair(portrait: Portrait, colour: Colour, _: np.random.Generator) -> Look:
    return Look(_tint(portrait.picture, portrait.hair, colour, 0.95, 0.45), portrait.matte)


def _clothes(portrait: Portrait, colour: Colour, _: np.random.Generator) -> Look:
    return Look(_tint(portrait.picture, portrait.clothes, colour, 0.9, 0.45), portrait.matte)


def _glasses(portrait: Portrait, colour: Colour, rng: np.random.Generator) -> Look:
    return Look(portrait.picture, portrait.matte, draw_glasses(portrait, colour, bool(rng.random() < 0.5)))


def _beanie(portrait: Portrait, colour: Colour, rng: np.random.Generator) -> Look:
    picture, cover = draw_beanie(portrait, colour, rng)
    return Look(picture, np.maximum(portrait.matte, cover))


def _beard(portrait: Portrait, colour: Colour, rng: np.random.Generator) -> Look:
    size, unit = portrait.size, portrait.face_width
    around = (*lm.JAW[2:-2], 427, 426, 327, 2, 98, 206, 207)  # cheeks' lower edge, then under the nose
    face = polygon(portrait.at(around), size, size, 0.04 * unit)
    lips = polygon(portrait.at(lm.LIP_OUTER_UPPER + lm.LIP_OUTER_LOWER[::-1]), size, size, 0)
    lips = blur(grown(lips, 3, 3), 0.8)
    noise = rng.normal(size=(size, size)).astype(np.float32)
    strands = cv2.GaussianBlur(noise, (0, 0), sigmaX=0.6, sigmaY=2.2)
    strands = strands / strands.std()
    cover = smoothstep((face + 0.05 * strands - 0.15) / 0.7) * (1 - lips) * portrait.matte
    light = portrait.picture.astype(np.float32).mean(axis=-1, keepdims=True)
    shade = np.clip(light / max(float((light[..., 0] * face).sum() / max(face.sum(), 1)), 20), 0.55, 1.35)
    hairs = np.asarray(colour, np.float32) * shade * (1 + 0.13 * strands[..., None])
    weight = 0.86 * cover[..., None]
    picture = portrait.picture * (1 - weight) + hairs * weight
    return Look(to_bytes(picture), portrait.matte)


def _make_up(portrait: Portrait, colour: Colour, _: np.random.Generator) -> Look:
    size, unit = portrait.size, portrait.face_width
    outer = polygon(portrait.at(lm.LIP_OUTER_UPPER + lm.LIP_OUTER_LOWER[::-1]), size, size, 0.8)
    inner = polygon(portrait.at(lm.LIP_INNER_UPPER + lm.LIP_INNER_LOWER[::-1]), size, size, 0.8)
    picture = _tint(portrait.picture, np.clip(outer - inner, 0, 1), colour, 0.85, 0.75)
    shadow = np.zeros((size, size), np.float32)
    for lid, fold in ((lm.RIGHT_EYE_UPPER, lm.RIGHT_EYE_FOLD), (lm.LEFT_EYE_UPPER, lm.LEFT_EYE_FOLD)):
        up = portrait.at(fold) - np.asarray([0, 0.02 * unit], np.float32)
        shadow = np.maximum(shadow, polygon(np.concatenate([portrait.at(lid), up[::-1]]), size, size, 0.012 * unit))
    for upper, lower in ((lm.RIGHT_EYE_UPPER, lm.RIGHT_EYE_LOWER), (lm.LEFT_EYE_UPPER, lm.LEFT_EYE_LOWER)):
        shadow *= 1 - polygon(portrait.at(upper + lower[::-1]), size, size, 0.5)  # never on the eyeball
    picture = _tint(picture, shadow, colour, 0.7, 0.8)
    blush = np.zeros((size, size), np.float32)
    grid = pixel_grid(size, size)
    for cheek in portrait.at((50, 280)):
        blush += np.exp(-(((grid - cheek) / (0.1 * unit)) ** 2).sum(axis=-1) / 2).astype(np.float32)
    return Look(_tint(picture, np.clip(blush, 0, 1) * portrait.matte, colour, 0.35, 1.0), portrait.matte)


def _background(portrait: Portrait, colour: Colour, rng: np.random.Generator) -> Look:
    size = portrait.size
    grid = pixel_grid(size, size) / size
    base = np.asarray(colour, np.float32)
    fall = 0.55 + 0.6 * np.exp(-((grid[..., 0] - rng.uniform(0.2, 0.8)) ** 2 + (grid[..., 1] - 0.35) ** 2) / 0.25)
    scene = base * fall[..., None]
    for _ in range(14):  # soft lights, out of focus
        centre, radius = rng.uniform(0, 1, 2), rng.uniform(0.025, 0.075)
        disc = smoothstep((radius - np.linalg.norm(grid - centre, axis=-1)).astype(np.float32) / 0.012 + 0.5)
        scene = scene + disc[..., None] * (rng.uniform(0.15, 0.4) * (255 - base) * rng.uniform(0.5, 1, 3))
    person = unmixed(portrait.picture, portrait.matte)
    picture = person * portrait.matte[..., None] + np.clip(scene, 0, 255) * (1 - portrait.matte[..., None])
    return Look(to_bytes(picture), portrait.matte)


def unmixed(picture: Picture, matte: Array) -> Array:
    """The picture with the person's own colours at the soft edge, where the old background shows through."""
    sure = np.clip((matte - 0.75) / 0.2, 0, 1)
    return fill(floats(picture), floats(sure))


def _light(portrait: Portrait, colour: Colour, rng: np.random.Generator) -> Look:
    size = portrait.size
    side = pixel_grid(size, size)[..., 0] / size
    side = side if rng.random() < 0.5 else 1 - side
    warm = np.asarray(colour, np.float32) / 255
    lit, dim = warm * 1.35, np.float32(0.42) * (0.5 + 0.5 * warm[::-1])
    blend = smoothstep((side.astype(np.float32) - 0.1) / 0.9)[..., None]
    picture = portrait.picture.astype(np.float32) * (lit * blend + dim * (1 - blend))
    return Look(to_bytes(np.minimum(picture, 250)), portrait.matte)


# Glasses have no black: a dark rim draws the measured iris towards it when the eye shuts (gaze r .71 where brown gives .89).
SHADES: dict[str, dict[str, Colour]] = {
    "hair": {
        "copper red": (178, 62, 24),
        "blue": (44, 78, 190),
        "pink": (226, 96, 150),
        "green": (50, 130, 70),
        "violet": (118, 60, 170),
    },
    "glasses": {"brown": (84, 56, 36), "red": (168, 28, 34), "gold": (176, 136, 54)},
    "clothes": {"blue": (40, 84, 176), "green": (44, 128, 72), "purple": (116, 52, 150), "yellow": (214, 172, 44)},
    "beard": {"dark": (48, 36, 30), "brown": (92, 60, 38), "grey": (132, 126, 120)},
    "background": {
        "a blue studio wall with soft lights": (44, 74, 128),
        "a warm evening street": (150, 86, 48),
        "a green garden": (58, 104, 54),
    },
    "hat": {"red": (168, 34, 38), "navy": (34, 46, 92), "mustard": (196, 148, 40)},
    "make-up": {"red": (186, 24, 48), "plum": (122, 30, 96), "coral": (226, 88, 70)},
    "light": {"warm": (255, 196, 130), "cool": (150, 196, 255)},
}

EDITS: dict[str, Edit] = {
    "hair": Edit("make the hair {}", SHADES["hair"], _hair),
    "glasses": Edit("add glasses with {} frames", SHADES["glasses"], _glasses),
    "clothes": Edit("make the clothes {}", SHADES["clothes"], _clothes),
    "beard": Edit("give the person a {} beard", SHADES["beard"], _beard),
    "background": Edit("place the person in front of {}", SHADES["background"], _background),
    "hat": Edit("put a {} woollen hat on the person", SHADES["hat"], _beanie),
    "make-up": Edit("add {} make-up", SHADES["make-up"], _make_up),
    "light": Edit("light the scene with {} light from one side", SHADES["light"], _light),
}
