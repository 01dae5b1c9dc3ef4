"""The moving parts of a face: two eyes and a mouth, each a slit with an interior.

`Eye` and `Mouth` hold what depends on the portrait alone; `dress` adds what depends on the picture, which an edit changes.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from synclora.pairs.puppet import landmarks as lm
from synclora.pairs.puppet.fields import invert
from synclora.pairs.puppet.portrait import Portrait
from synclora.pairs.puppet.raster import (
    Array,
    Picture,
    blur,
    fill,
    floats,
    grown,
    pixel_grid,
    polygon,
    sample,
    smoothstep,
    stroke,
    to_bytes,
)
from synclora.pairs.puppet.slit import STEP, Motion, Slit, build_slit, heal

GAZE_REACH = 0.18
"""Largest shift of an iris over the eye's width: half an iris (0.39 of the width) then still leaves some white at the corner."""

BULGE = 0.25
"""Darkness of the cornea's bulge on a shut lid. Without it MediaPipe guesses an iris anywhere and the gaze cue jumps at each
blink (r .80 to .98 on one portrait); at 0.5 the shadow itself is read as an eye half open."""

MOUTH_REACH = 0.35
"""Inner-lip gap over mouth width at speech = 1, beyond which the jaw looks dislocated."""

SMILE_REACH = 0.43
"""The same for a mouth that rests open: MediaPipe reads about two thirds of a gap below showing teeth."""

TEETH_SHOWN = 0.06
"""Rest gap over mouth width above which the portrait's own teeth are kept as the interior."""


@dataclass(frozen=True)
class Eye:
    """One eye's geometry: its lids, and how far each place of the eyeball follows the iris."""

    slit: Slit
    iris: tuple[float, float, float]
    follow: Array
    reach: float

    @classmethod
    def of(cls, portrait: Portrait, right: bool) -> "Eye":
        """Build the person's right or left eye."""
        names = (
            (lm.RIGHT_EYE_UPPER, lm.RIGHT_EYE_LOWER, lm.RIGHT_EYE_FOLD, lm.RIGHT_EYE_UNDER, lm.RIGHT_BROW_UNDER, lm.RIGHT_IRIS)
            if right
            else (lm.LEFT_EYE_UPPER, lm.LEFT_EYE_LOWER, lm.LEFT_EYE_FOLD, lm.LEFT_EYE_UNDER, lm.LEFT_BROW_UNDER, lm.LEFT_IRIS)
        )
        upper, lower, fold, under, brow, iris = (portrait.at(part) for part in names)
        gap = _drop(upper, lower)
        blink = Motion(
            upper=_vertical(0.86 * gap),
            lower=_vertical(-0.14 * gap),
            above=np.concatenate([_vertical(0.12 * gap[: len(fold)]), np.zeros_like(brow)]),
            below=_vertical(-0.04 * gap[: len(under)]),
        )
        pad = 0.35 * float(np.linalg.norm(upper[0] - upper[-1]))
        box = _box([upper, lower, fold, under, brow], pad, portrait.size)
        slit = build_slit(box, upper, lower, np.concatenate([fold, brow]), under, [blink], 5.0)
        centre = iris[0] - (slit.left, slit.top)
        radius = float(np.linalg.norm(iris[1:] - iris[0], axis=1).mean())
        width = float(np.linalg.norm(upper[0] - upper[-1]))
        xs = pixel_grid(slit.height, slit.width)[..., 0]
        ends = slit.upper[[0, -1], 0]
        before = (xs - ends[0]) / max(centre[0] - radius - ends[0], 2.0)
        after = (ends[1] - xs) / max(ends[1] - centre[0] - radius, 2.0)
        follow = np.clip(np.minimum(before, after), 0, 1).astype(np.float32)
        return cls(slit, (float(centre[0]), float(centre[1]), radius), follow, GAZE_REACH * width)

    def dress(self, picture: Picture) -> "EyeLayers":
        """Take one picture of the eye apart."""
        patch = np.ascontiguousarray(picture[self.slit.place])
        seen = self.slit.opening(np.zeros(1, np.float32), 0.0)
        wide = grown(seen, 3, 3)
        with_lashes = grown(seen, 5, 7)
        lash = np.percentile(patch[with_lashes > 0.5], 12, axis=0).astype(np.float32)
        light = float(np.percentile(patch[seen > 0.5].mean(axis=-1), 88))
        ball = self._eyeball(patch, self.slit.opening(np.zeros(1, np.float32), 0.8))
        return EyeLayers(heal(patch, wide), heal(patch, blur(with_lashes, 0.8)), ball, lash, light)

    def _eyeball(self, patch: Picture, seen: Array) -> Picture:
        """The iris is round: what a lid covers is taken from the same distance to its centre elsewhere."""
        x, y, radius = self.iris
        grid = pixel_grid(*seen.shape)
        distance = np.linalg.norm(grid - (x, y), axis=-1)
        known = smoothstep((seen - 0.55) / 0.4)
        colours = patch.astype(np.float32)
        outside = fill(colours, known * smoothstep((distance - radius * 1.1) / (0.15 * radius)))
        ring = np.clip(distance, 0, radius * 1.3).round().astype(int)
        inner = known * (distance < radius * 0.97)
        total = np.bincount(ring.ravel(), inner.ravel(), minlength=ring.max() + 2)
        profile = np.stack(
            [np.bincount(ring.ravel(), (inner * colours[..., c]).ravel(), minlength=len(total)) for c in range(3)], -1
        )
        profile = profile / np.maximum(total, 1e-3)[:, None]
        for step in range(1, len(profile)):
            if total[step] < 0.5:
                profile[step] = profile[step - 1]
        disc = smoothstep((radius * 1.02 - distance) / (0.2 * radius))[..., None]
        guessed = outside * (1 - disc) + profile[ring].astype(np.float32) * disc
        whole = colours * known[..., None] + guessed * (1 - known[..., None])
        return to_bytes(whole)

    def draw(self, canvas: Picture, layers: "EyeLayers", closure: float, gaze: float) -> None:
        """Draw the eye into the canvas (size, size, 4)."""
        shift = np.zeros((*self.follow.shape, 2), np.float32)
        shift[..., 0] = self.follow * (gaze * self.reach)
        at = invert(shift, self.slit.grid)
        looking = sample(layers.ball, at)
        amounts = np.asarray([closure], dtype=np.float32)
        closing = float(smoothstep(closure / 0.4))
        skin = to_bytes(cv2.addWeighted(layers.lid, closing, layers.skin, 1 - closing, 0)) if closing > 0 else layers.skin
        place = canvas[self.slit.place]
        drawn = self.slit.draw(skin, looking, amounts)
        if closing > 0:
            drawn = self._bulge(drawn, amounts, gaze, closure)
            drawn = self._lashes(drawn, amounts, layers.lash, 0.6 * closing)
        place[..., :3] = drawn

    def _lashes(self, drawn: Picture, amounts: Array, colour: Array, strength: float) -> Picture:
        """The dark rim of the upper lid, which healing took away."""
        line = np.zeros(self.follow.shape, np.uint8)
        upper = self.slit.edges(amounts)[0]
        stroke(line, upper, self.rim)
        cover = (blur(line, 0.7) * (strength / 255))[..., None]
        return to_bytes(drawn * (1 - cover) + colour * cover)

    def _bulge(self, drawn: Picture, amounts: Array, gaze: float, closure: float) -> Picture:
        """The cornea's bulge under the lid: shading that still tells where a shut eye looks."""
        x, _, radius = self.iris
        x += gaze * self.reach
        upper = self.slit.edges(amounts)[0]
        y = float(np.interp(x, upper[:, 0], upper[:, 1])) - 0.35 * radius
        away = (self.slit.grid - np.asarray([x, y], np.float32)) / np.asarray([radius * 0.8, radius * 0.6], np.float32)
        dark = 1 - BULGE * closure * np.exp(-(away**2).sum(axis=-1)).astype(np.float32)
        return to_bytes(drawn * dark[..., None])

    @property
    def rim(self) -> int:
        """Pixels of the drawn lash line."""
        return max(1, round(0.055 * self.reach / GAZE_REACH))


@dataclass(frozen=True)
class EyeLayers:
    """One picture of an eye taken apart.

    Attributes:
        skin: the lids with the opening healed over, lashes kept.
        lid: the same without lashes: a lid that stretches over the eye must not smear them.
        ball: the eyeball, continued behind the lids.
        lash: colour of the lashes.
        light: how bright the white of the eye is, 0..255.
    """

    skin: Picture
    lid: Picture
    ball: Picture
    lash: Array
    light: float


@dataclass(frozen=True)
class Mouth:
    """The mouth's geometry: lips, jaw, and where teeth and tongue go."""

    slit: Slit
    own_teeth: bool
    width: float

    @classmethod
    def of(cls, portrait: Portrait) -> "Mouth":
        """Build the mouth of a portrait, whether it rests open or shut."""
        upper, lower = portrait.at(lm.LIP_INNER_UPPER), portrait.at(lm.LIP_INNER_LOWER)
        outer_up, outer_low = portrait.at(lm.LIP_OUTER_UPPER), portrait.at(lm.LIP_OUTER_LOWER)
        nose, chin, jaw = portrait.at(lm.NOSE_BASE), portrait.at(lm.CHIN_LINE), portrait.at(lm.JAW)
        width = float(np.linalg.norm(outer_up[0] - outer_up[-1]))
        rest = _drop(upper, lower)
        along = np.linspace(-1, 1, len(upper))
        reach = SMILE_REACH if rest.max() > TEETH_SHOWN * width else MOUTH_REACH
        part = reach * width * np.clip(1 - along**2, 0, 1)
        middle = len(upper) // 2
        share = np.asarray(lm.JAW_SHARE, np.float32)
        down = 0.8  # the jaw gives most of an opening, the upper lip the rest
        motions = []
        for gap, jaw_weight in ((-1.04 * rest, 0.75), (part, 1.0)):
            centre = gap[middle] * jaw_weight
            up_share = 1 - down if gap is part else 0.3
            motions.append(
                Motion(
                    upper=_vertical(-up_share * gap),
                    lower=_vertical((1 - up_share) * gap),
                    above=np.concatenate([_vertical(-up_share * 0.9 * gap), np.zeros_like(nose)]),
                    below=np.concatenate(
                        [
                            _vertical((1 - up_share) * 0.97 * gap),
                            _vertical(np.full(len(chin), down * 0.9 * centre, np.float32)),
                            _vertical(share * down * centre),
                        ]
                    ),
                )
            )
        motions.append(_rounding(upper, lower, outer_up, outer_low, nose, chin, jaw, width))
        neck = jaw[9:12] + np.asarray([0, 0.32 * portrait.face_height], np.float32)
        box = _box([outer_up, nose, jaw[2:-2], neck], 6.0, portrait.size)
        slit = build_slit(
            box, upper, lower, np.concatenate([outer_up, nose]), np.concatenate([outer_low, chin, jaw]), motions, 8.0
        )
        return cls(slit, bool(rest[middle] > TEETH_SHOWN * width), width)

    def amounts(self, opening: float, rounding: float) -> Array:
        """The slit's amplitudes: always shut from the rest pose first, then opened."""
        return np.asarray([1.0, opening, rounding], dtype=np.float32)

    def dress(self, rgba: Picture, light: float) -> tuple[Picture, Picture]:
        """The healed skin and the mouth's interior from one picture (size, size, 4), its white as bright as `light`."""
        patch = np.ascontiguousarray(rgba[self.slit.place])
        opening = polygon(np.concatenate([self.slit.upper, self.slit.lower[::-1]]), self.slit.height, self.slit.width, 0.6)
        skin = heal(patch, np.clip(opening * 1.6, 0, 1)) if self.own_teeth else patch
        inside = self._painted(float(np.clip(light / 150, 0.68, 1.0)))
        if self.own_teeth:
            inner = cv2.erode(opening, np.ones((3, 3), np.uint8))  # the last pixel is lip
            own = smoothstep((blur(inner, 1.0) - 0.3) / 0.6)[..., None]
            inside[..., :3] = inside[..., :3] * (1 - own) + patch[..., :3] * own
        return skin, inside.astype(np.uint8)

    def _painted(self, light: float) -> Array:
        """Teeth above, a tongue below, darkness between."""
        height, width = self.slit.height, self.slit.width
        grid = pixel_grid(height, width)
        upper, lower = self.slit.upper, self.slit.lower
        seam = np.interp(grid[0, :, 0], upper[:, 0], upper[:, 1]).astype(np.float32)
        below = (grid[..., 1] - seam[None, :]) / self.width
        across = (grid[..., 0] - float(upper[:, 0].mean())) / self.width
        rest_gap = float((lower - upper)[len(upper) // 2, 1]) / self.width
        inside = np.empty((height, width, 4), np.float32)
        inside[..., :3] = np.asarray((52, 20, 20), np.float32) * light
        tongue = smoothstep(1.4 - ((across / 0.3) ** 2 + ((below - rest_gap - 0.27) / 0.13) ** 2))[..., None] * 0.75
        inside[..., :3] = inside[..., :3] * (1 - tongue) + np.asarray((150, 74, 74), np.float32) * light * tongue
        if not self.own_teeth:
            edge = 0.095 - 0.2 * across**2
            row = smoothstep((edge - below) / 0.03) * smoothstep((0.4 - np.abs(across)) / 0.16)
            gaps = 1 - 0.1 * np.exp(-(((np.abs(across) % 0.105) - 0.0525) ** 2) / 0.00008)
            tone = np.asarray((214, 200, 184), np.float32) * light * (1 - 1.6 * across[..., None] ** 2) * gaps[..., None]
            inside[..., :3] = inside[..., :3] * (1 - row[..., None]) + tone * row[..., None]
        inside[..., 3] = 255
        return np.clip(blur(inside, 0.7), 0, 255)

    def draw(self, canvas: Picture, layers: tuple[Picture, Picture], opening: float, rounding: float) -> None:
        """Draw mouth and jaw into the canvas (size, size, 4)."""
        amounts = self.amounts(opening, rounding)
        canvas[self.slit.place] = self.slit.draw(*layers, amounts)


def _rounding(
    upper: Array, lower: Array, outer_up: Array, outer_low: Array, nose: Array, chin: Array, jaw: Array, width: float
) -> Motion:
    """Per unit, the corners come in by 4 % of the mouth's width, the middle stays."""
    middle = upper[:, 0].mean()

    def pull(points: Array, strength: float) -> Array:
        moved = np.zeros_like(points)
        moved[:, 0] = -(points[:, 0] - middle) * 0.08 * strength
        return moved

    return Motion(
        upper=pull(upper, 1),
        lower=pull(lower, 1),
        above=np.concatenate([pull(outer_up, 1), np.zeros_like(nose)]),
        below=np.concatenate([pull(outer_low, 1), np.zeros_like(chin), np.zeros_like(jaw)]),
    )


def _drop(upper: Array, lower: Array) -> Array:
    """How far each point of the upper edge is above the lower edge, both read at the upper point's place along it."""
    gap = np.interp(upper[:, 0], lower[:, 0], lower[:, 1]) - upper[:, 1]
    gap[[0, -1]] = 0
    return floats(np.maximum(gap, 0))


def _vertical(amount: Array) -> Array:
    return floats(np.stack([np.zeros_like(amount), amount], axis=1))


def _box(parts: list[Array], pad: float, size: int) -> tuple[int, int, int, int]:
    points = np.concatenate(parts)
    low, high = np.floor(points.min(axis=0) - pad), np.ceil(points.max(axis=0) + pad)
    left, top = np.clip(low, 0, size - 8).astype(int)
    right, bottom = np.clip(high, 8, size).astype(int)
    return int(left), int(top), int(right - (right - left) % STEP), int(bottom - (bottom - top) % STEP)
