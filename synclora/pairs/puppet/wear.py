"""Things to wear, drawn at the landmarks: glasses and a woollen hat."""

import cv2
import numpy as np

from synclora.pairs.puppet import landmarks as lm
from synclora.pairs.puppet.portrait import Portrait
from synclora.pairs.puppet.raster import (
    Array,
    Picture,
    blur,
    floats,
    grown,
    pixel_grid,
    polygon,
    resized,
    smoothstep,
    stroke,
    to_bytes,
)

FINER = 4
"""Glasses are drawn at four times the size and scaled down: thin lines need smooth edges."""


def draw_glasses(portrait: Portrait, colour: tuple[int, int, int], is_round: bool) -> Picture:
    """Thin frames with clear lenses, as RGBA over the portrait: eyelids and irises stay visible."""
    size, unit = portrait.size * FINER, portrait.face_width * FINER
    cover = np.zeros((size, size), np.uint8)
    glass = np.zeros((size, size), np.uint8)
    right, left = portrait.at((33, 133)) * FINER, portrait.at((362, 263)) * FINER
    across = left.mean(axis=0) - right.mean(axis=0)
    angle = float(np.degrees(np.arctan2(across[1], across[0])))
    along = across / np.linalg.norm(across)
    down = np.asarray([-along[1], along[0]])
    thick = max(FINER, round(0.02 * unit))
    rims = []
    for eye, outward in ((right, -1), (left, 1)):
        centre = eye.mean(axis=0) + 0.015 * unit * down + outward * 0.012 * unit * along
        half = (0.17 * unit, 0.155 * unit) if is_round else (0.19 * unit, 0.135 * unit)
        _lens(glass, centre, half, angle, is_round, -1)
        _lens(cover, centre, half, angle, is_round, thick)
        inner = centre - outward * half[0] * along - 0.035 * unit * down
        outer = centre + outward * half[0] * along - 0.045 * unit * down
        ear = portrait.at(lm.EARS)[0 if outward < 0 else 1] * FINER
        end = np.asarray([ear[0], outer[1] + 0.35 * (ear[1] - outer[1])])
        rims.append(inner)
        _line(cover, [outer, end], thick)
    middle = (rims[0] + rims[1]) / 2 - 0.03 * unit * down
    curve = [(1 - t) ** 2 * rims[0] + 2 * t * (1 - t) * middle + t**2 * rims[1] for t in np.linspace(0, 1, 9)]
    _line(cover, curve, thick)
    frame, lens = (resized(drawn, portrait.size, portrait.size, cv2.INTER_AREA) for drawn in (cover, glass))
    alpha = np.maximum(frame * 0.95, lens * 0.03)
    share = (frame / np.maximum(alpha, 1)).clip(0, 1)[..., None]
    colours = np.asarray(colour, np.float32) * share + 255 * (1 - share)
    return to_bytes(np.concatenate([colours, alpha[..., None]], axis=-1))


def _lens(canvas: Picture, centre: Array, half: tuple[float, float], angle: float, is_round: bool, thick: int) -> None:
    power = 2.0 if is_round else 3.6  # the exponent of a superellipse: 2 is an ellipse, more is squarer
    turn = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    x = half[0] * np.sign(np.cos(turn)) * np.abs(np.cos(turn)) ** (2 / power)
    y = half[1] * np.sign(np.sin(turn)) * np.abs(np.sin(turn)) ** (2 / power)
    c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    outline = floats(np.stack([c * x - s * y, s * x + c * y], axis=1) + centre)
    if thick < 0:
        canvas[polygon(outline, canvas.shape[0], canvas.shape[1], 0) > 0.5] = 255
    else:
        stroke(canvas, outline, thick, closed=True)


def _line(canvas: Picture, points: list[Array], thick: int) -> None:
    stroke(canvas, floats(points), thick)


def draw_beanie(portrait: Portrait, colour: tuple[int, int, int], rng: np.random.Generator) -> tuple[Picture, Array]:
    """A knitted hat over all hair above the brows; returns the picture and the hat's cover."""
    size, unit = portrait.size, portrait.face_width
    grid = pixel_grid(size, size)
    temples = portrait.at((127, 356))  # the outline beside the eyes
    along = (temples[1] - temples[0]) / np.linalg.norm(temples[1] - temples[0])
    down = np.asarray([-along[1], along[0]])
    brows = portrait.at(lm.RIGHT_BROW + lm.LEFT_BROW)
    top_of_brows = float(((brows - temples[0]) @ down).min())
    centre = temples.mean(axis=0)
    across = ((grid - centre) @ along) / unit
    height = (grid - temples[0]) @ down - top_of_brows + 0.07 * unit  # 0 at the band's lower edge, negative above
    height = height - 0.12 * unit * np.minimum(across**2, 0.5)  # the band follows the round of the forehead
    dome = 1 - (across / 0.58) ** 2 - ((height + 0.02 * unit) / (0.72 * unit)) ** 2
    hair = grown(portrait.matte, 5, 5)
    body = np.maximum(smoothstep(dome.astype(np.float32) * 8), smoothstep((hair - 0.3) / 0.4))
    cover = blur(body * smoothstep((1.0 - height) / 2), 0.8)
    band = smoothstep((height + 0.2 * unit) / 2)
    ribs = np.cos(across * (2 * np.pi / 0.055) * (1 - 0.25 * across**2))
    rows = np.cos(height * (2 * np.pi / (0.05 * unit)))
    knit = 1 + 0.13 * ribs * (0.45 + 0.55 * band) + 0.05 * rows * (1 - band) + 0.03 * rng.normal(size=ribs.shape)
    edge = 1 - 0.28 * np.exp(-((height + 0.2 * unit) ** 2) / (0.012 * unit) ** 2)
    inside = blur(cover, 0.07 * unit)
    round_light = (0.55 + 0.5 * inside) * (1.06 - 0.35 * across)
    shaded = np.asarray(colour, np.float32) * (knit * edge * round_light)[..., None]
    face = portrait.picture[portrait.skin > 0.8]
    lit = float(np.clip(np.median(face.mean(axis=-1)) / 150, 0.5, 1.15)) if len(face) else 1.0
    below = smoothstep((height + 1) / 2) * np.exp(-np.maximum(height, 0) / (0.03 * unit)) * portrait.matte
    picture = portrait.picture * (1 - 0.4 * below[..., None])
    picture = picture * (1 - cover[..., None]) + np.clip(shaded * lit, 0, 255) * cover[..., None]
    return to_bytes(picture), cover
