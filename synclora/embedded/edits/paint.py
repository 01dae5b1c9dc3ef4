"""Face paint: an edit in no catalogue, of any colours at any place of the face.

look = face_paint(portrait, np.random.default_rng(3))

A small model that has seen eight kinds of edits learns those eight; to carry whatever a first frame shows, it must see some that are like no
other.
"""

import colorsys

import numpy as np

from synclora.pairs.puppet import landmarks as lm
from synclora.pairs.puppet.edits import Colour
from synclora.pairs.puppet.portrait import Portrait
from synclora.pairs.puppet.raster import floats, polygon, smoothstep, to_bytes
from synclora.pairs.puppet.render import Look

SPOTS = 1, 3
"""Least and most."""
RADIUS = 0.12, 0.35
"""Of a spot, in widths of the face."""


def any_colour(rng: np.random.Generator) -> Colour:
    """One that is neither grey nor black."""
    red, green, blue = colorsys.hsv_to_rgb(rng.uniform(), rng.uniform(0.45, 0.95), rng.uniform(0.45, 0.95))
    return round(red * 255), round(green * 255), round(blue * 255)


def face_paint(portrait: Portrait, rng: np.random.Generator) -> Look:
    """Round spots at landmarks, under the face's own light and shade. Equal draws on another picture of the face are the same paint there."""
    size = portrait.size
    ys, xs = np.mgrid[0:size, 0:size].astype(np.float32)
    oval = polygon(portrait.at(lm.OVAL), size, size, 2.0)
    picture = floats(portrait.picture)
    shade = picture.mean(axis=-1, keepdims=True) / max(float(picture[oval > 0.5].mean()), 1.0)
    for _ in range(int(rng.integers(SPOTS[0], SPOTS[1] + 1))):
        x, y = portrait.points[int(rng.integers(468)), :2]
        radius = rng.uniform(*RADIUS) * portrait.face_width
        cover = oval * (1 - smoothstep((np.hypot(xs - x, ys - y) - radius) / (0.15 * radius) + 0.5))
        weight = floats(rng.uniform(0.6, 0.95) * cover)[..., None]
        picture = picture * (1 - weight) + np.asarray(any_colour(rng), np.float32) * np.clip(shade, 0.2, 1.4) * weight
    return Look(to_bytes(picture), portrait.matte)
