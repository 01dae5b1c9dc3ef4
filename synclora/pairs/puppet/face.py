"""The moving parts of a face: two eyes and a mouth, each a slit with an interior.

`Eye` and `Mouth` hold what depends on the portrait alone; `dress` adds what depends on the picture, which an edit changes.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from synclora.pairs.puppet import landmarks as lm
from synclora.pairs.puppet.fields import Array, Picture, fill, invert, pixel_grid, polygon, smoothstep
from synclora.pairs.puppet.portrait import Portrait
from synclora.pairs.puppet.slit import Motion, Slit, build_slit, heal

GAZE_REACH = 0.15
"""Largest shift of an iris over the eye's width. The iris (0.39 of the width) then stays inside the lids."""

MOUTH_REACH = 0.42
"""Inner-lip gap over mouth width at speech = 1, beyond which a still jaw line looks wrong."""

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

    def dress(self, picture: Picture) -> tuple[Picture, Picture]:
        """The healed skin and the eyeball, its hidden parts continued, from one picture."""
        patch = np.ascontiguousarray(picture[self.slit.place])
        rest = np.zeros(1, np.float32)
        return heal(patch, self.slit.opening(rest, 0.0)), self._eyeball(patch, self.slit.opening(rest, 0.8))

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
        profile = np.stack([np.bincount(ring.ravel(), (inner * colours[..., c]).ravel(), minlength=len(total)) for c in range(3)], -1)
        profile = profile / np.maximum(total, 1e-3)[:, None]
        for step in range(1, len(profile)):
            if total[step] < 0.5:
                profile[step] = profile[step - 1]
        disc = smoothstep((radius * 1.02 - distance) / (0.2 * radius))[..., None]
        guessed = outside * (1 - disc) + profile[ring].astype(np.float32) * disc
        whole = colours * known[..., None] + guessed * (1 - known[..., None])
        return np.clip(whole, 0, 255).astype(np.uint8)

    def draw(self, canvas: Picture, layers: tuple[Picture, Picture], closure: float, gaze: float) -> None:
        """Draw the eye into the canvas (size, size, 4)."""
        skin, ball = layers
        shift = np.zeros((*self.follow.shape, 2), np.float32)
        shift[..., 0] = self.follow * (gaze * self.reach)
        at = invert(shift, pixel_grid(*self.follow.shape))
        looking = cv2.remap(ball, at, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        amounts = np.asarray([closure], dtype=np.float32)
        place = canvas[self.slit.place]
        place[..., :3] = self.slit.draw(skin, looking, amounts, seam=0.35 * max(0.0, closure - 0.5) * 2)


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
        part = MOUTH_REACH * width * np.clip(1 - np.abs(along) ** 2.4, 0, 1)
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
        neck = jaw[9:12] + (0, 0.32 * portrait.face_height)
        box = _box([outer_up, nose, jaw[2:-2], neck], 6.0, portrait.size)
        slit = build_slit(box, upper, lower, np.concatenate([outer_up, nose]), np.concatenate([outer_low, chin, jaw]), motions, 8.0)
        return cls(slit, bool(rest[middle] > TEETH_SHOWN * width), width)

    def amounts(self, opening: float, rounding: float) -> Array:
        """The slit's amplitudes: always shut from the rest pose first, then opened."""
        return np.asarray([1.0, opening, rounding], dtype=np.float32)

    def dress(self, rgba: Picture) -> tuple[Picture, Picture]:
        """The healed skin and the mouth's interior from one picture (size, size, 4)."""
        patch = np.ascontiguousarray(rgba[self.slit.place])
        opening = polygon(np.concatenate([self.slit.upper, self.slit.lower[::-1]]), self.slit.height, self.slit.width, 0.6)
        skin = heal(patch, np.clip(opening * 1.6, 0, 1)) if self.own_teeth else patch
        inside = self._painted(patch)
        if self.own_teeth:
            own = smoothstep((opening - 0.35) / 0.5)[..., None]
            inside[..., :3] = inside[..., :3] * (1 - own) + patch[..., :3] * own
        return skin, inside.astype(np.uint8)

    def _painted(self, patch: Picture) -> Array:
        """Teeth above, a tongue below, darkness between: tones follow the light on the lips."""
        height, width = patch.shape[:2]
        grid = pixel_grid(height, width)
        upper, lower = self.slit.upper, self.slit.lower
        lips = polygon(np.concatenate([upper + (0, -2), (lower + (0, 4))[::-1]]), height, width) > 0.5
        light = float(np.clip(np.percentile(patch[..., :3][lips].mean(axis=-1), 80) / 150, 0.3, 1.15)) if lips.any() else 0.8
        seam = np.interp(grid[0, :, 0], upper[:, 0], upper[:, 1]).astype(np.float32)
        below = (grid[..., 1] - seam[None, :]) / self.width
        across = (grid[..., 0] - float(upper[:, 0].mean())) / self.width
        rest_gap = float((lower - upper)[len(upper) // 2, 1]) / self.width
        inside = np.empty((height, width, 4), np.float32)
        inside[..., :3] = np.asarray((46, 18, 18), np.float32) * light
        tongue = smoothstep(1.4 - ((across / 0.3) ** 2 + ((below - rest_gap - 0.36) / 0.16) ** 2))[..., None] * 0.75
        inside[..., :3] = inside[..., :3] * (1 - tongue) + np.asarray((150, 72, 74), np.float32) * light * tongue
        if not self.own_teeth:
            edge = 0.105 - 0.22 * across**2
            row = smoothstep((edge - below) / 0.03) * smoothstep((0.4 - np.abs(across)) / 0.16)
            gaps = 1 - 0.1 * np.exp(-(((np.abs(across) % 0.105) - 0.0525) ** 2) / 0.00008)
            tone = np.asarray((214, 206, 194), np.float32) * light * (1 - 1.6 * across[..., None] ** 2) * gaps[..., None]
            inside[..., :3] = inside[..., :3] * (1 - row[..., None]) + tone * row[..., None]
        inside[..., 3] = 255
        return np.clip(cv2.GaussianBlur(inside, (0, 0), 0.7), 0, 255)

    def draw(self, canvas: Picture, layers: tuple[Picture, Picture], opening: float, rounding: float) -> None:
        """Draw mouth and jaw into the canvas (size, size, 4)."""
        amounts = self.amounts(opening, rounding)
        seam = 0.3 * (1 - min(1.0, opening * 6)) if self.own_teeth else 0.0
        canvas[self.slit.place] = self.slit.draw(*layers, amounts, seam=seam)


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
    return np.maximum(gap, 0).astype(np.float32)


def _vertical(amount: Array) -> Array:
    return np.stack([np.zeros_like(amount), amount], axis=1).astype(np.float32)


def _box(parts: list[Array], pad: float, size: int) -> tuple[int, int, int, int]:
    points = np.concatenate(parts)
    low, high = np.floor(points.min(axis=0) - pad), np.ceil(points.max(axis=0) + pad)
    left, top = np.clip(low, 0, size - 8).astype(int)
    right, bottom = np.clip(high, 8, size).astype(int)
    return int(left), int(top), int(right), int(bottom)
