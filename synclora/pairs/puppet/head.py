"""Turning the head: a depth map of the portrait, rotated in three dimensions, over a body that leans a little.

The face keeps MediaPipe's own depth, which falls to the plane of the ears at the outline; hair lies on a dome behind it.
From the chin down to the shoulders the head's motion fades into the body's.
"""

from dataclasses import dataclass

import numpy as np

from synclora.pairs.puppet import landmarks as lm
from synclora.pairs.puppet.fields import invert, spread
from synclora.pairs.puppet.portrait import Portrait
from synclora.pairs.puppet.raster import Array, blur, floats, pixel_grid, resized, smoothstep
from synclora.pairs.puppet.script import LEAN

STEP = 4
"""Pixels per cell of the motion grid: the fields are smooth, and a finer grid changes nothing visible."""

CAMERA = 5.0
"""Distance of the camera in face widths: a portrait lens."""


@dataclass(frozen=True)
class Head:
    """What turning needs, on the coarse grid.

    Attributes:
        depth: (h, w) pixels towards the camera, 0 at the ears' plane.
        weight: (h, w) share of the head's motion, 1 on the head, 0 on the body.
        centre: where yaw and pitch turn.
        neck: where roll turns.
        foot: where the body leans.
        size: pixels of the picture's side.
        face_width: pixels.
    """

    depth: Array
    weight: Array
    centre: Array
    neck: Array
    foot: Array
    size: int
    face_width: float

    @classmethod
    def of(cls, portrait: Portrait) -> "Head":
        """Measure a portrait."""
        size, width, height = portrait.size, portrait.face_width, portrait.face_height
        ears = portrait.points[list(lm.EARS)].mean(axis=0)
        face = portrait.points[:468]
        depth = np.clip(ears[2] - face[:, 2], 0, 0.62 * width)
        middle = portrait.points[[lm.FOREHEAD, lm.CHIN], :2].mean(axis=0)
        turn = np.linspace(0, 2 * np.pi, 48, endpoint=False)
        ring = [middle + np.stack([np.cos(turn) * width * r, np.sin(turn) * height * r], 1) for r in (0.95, 1.3)]
        border = _border(size)
        points = np.concatenate([face[:, :2], *ring, border]).astype(np.float32)
        values = np.concatenate([depth, np.zeros(len(points) - len(depth))])[:, None].astype(np.float32)
        dome = spread(points, values, size, size, STEP)[..., 0]
        dome = blur(np.maximum(dome, 0), 0.03 * width / STEP)
        grid = pixel_grid(size, size, STEP)
        chin_y = float(portrait.points[lm.CHIN, 1])
        weight = 1 - smoothstep((grid[..., 1] - chin_y + 0.05 * height) / (0.55 * height))
        neck = np.asarray([middle[0], chin_y + 0.15 * height], np.float32)
        return cls(dome, weight, ears[:2].copy(), neck, np.asarray([size / 2, size * 1.25], np.float32), size, width)

    def source_of(self, yaw: float, pitch: float, roll: float, sway: float) -> Array:
        """For each pixel of a frame, the pixel of the portrait that it shows: (size, size, 2)."""
        grid = pixel_grid(self.size, self.size, STEP)
        still = _turned(grid, self.foot, -sway * LEAN)
        moves = (self._moved(grid, yaw, pitch, roll) - grid) * self.weight[..., None]
        came = invert(moves.astype(np.float32), still, step=STEP, rounds=5)
        return resized(came - grid, self.size, self.size) + pixel_grid(self.size, self.size)

    def _moved(self, places: Array, yaw: float, pitch: float, roll: float) -> Array:
        """Where a rigid head would carry each place."""
        x, y = places[..., 0] - self.centre[0], places[..., 1] - self.centre[1]
        z = self.depth
        x, z1 = x * np.cos(yaw) + z * np.sin(yaw), z * np.cos(yaw) - x * np.sin(yaw)
        y, z2 = y * np.cos(pitch) + z1 * np.sin(pitch), z1 * np.cos(pitch) - y * np.sin(pitch)
        camera = CAMERA * self.face_width
        nearer = (camera - z) / (camera - z2)
        turned = np.stack([x * nearer + self.centre[0], y * nearer + self.centre[1]], axis=-1)
        return _turned(turned, self.neck, roll)


def _turned(places: Array, pivot: Array, angle: float) -> Array:
    """Places rotated in the picture; a positive angle turns clockwise as seen."""
    c, s = np.cos(angle), np.sin(angle)
    x, y = places[..., 0] - pivot[0], places[..., 1] - pivot[1]
    return floats(np.stack([c * x - s * y + pivot[0], s * x + c * y + pivot[1]], axis=-1))


def _border(size: int) -> Array:
    along = np.linspace(0, size - 1, 12)
    zero, end = np.zeros(12), np.full(12, size - 1.0)
    return floats(np.concatenate([np.stack(s, 1) for s in ((along, zero), (along, end), (zero, along), (end, along))]))
