"""A slit in the skin: an eye or a mouth. Two edges that part and meet over an interior.

The skin above follows the upper edge, the skin below the lower one, each by its own smooth field; what lies inside the
edges shows the interior layer. Everything that does not change from frame to frame is computed once.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from synclora.pairs.puppet.fields import fade_border, invert, spread
from synclora.pairs.puppet.raster import Array, Picture, blur, fill, floats, pixel_grid, polygon, resized, sample, to_bytes

STEP = 2
"""Pixels per cell of the motion fields; the sides of a patch are multiples of it."""


@dataclass(frozen=True)
class Motion:
    """One way a slit can move: displacements of control points per unit of amplitude.

    Attributes:
        upper: (n, 2) of the upper edge, corners included.
        lower: (n, 2) of the lower edge, corners included.
        above: (m, 2) of the control points above.
        below: (k, 2) of the control points below.
    """

    upper: Array
    lower: Array
    above: Array
    below: Array


@dataclass(frozen=True)
class Slit:
    """Geometry of one slit, shared by all pictures of a portrait.

    Attributes:
        left: first column of the patch in the picture.
        top: first row.
        height: rows.
        width: columns.
        upper: (n, 2) upper edge at rest, in patch pixels.
        lower: (n, 2) lower edge at rest.
        edge_moves: (motions, 2, n, 2) displacement of both edges per unit.
        skin_moves: (motions, 2, height / STEP, width / STEP, 2) displacement of the skin above and below.
    """

    left: int
    top: int
    height: int
    width: int
    upper: Array
    lower: Array
    edge_moves: Array
    skin_moves: Array

    @cached_property
    def grid(self) -> Array:
        """The patch's pixel coordinates."""
        return pixel_grid(self.height, self.width)

    def _came(self, moves: Array) -> Array:
        """Backward displacement (height, width, 2) of one side's skin."""
        coarse = pixel_grid(self.height, self.width, STEP)
        return resized(invert(moves, coarse, step=STEP, rounds=3) - coarse, self.width, self.height)

    @property
    def place(self) -> tuple[slice, slice]:
        """The patch as an index into the picture."""
        return slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)

    def edges(self, amounts: Array) -> tuple[Array, Array]:
        """Both edges after a motion."""
        moved = _weighted(amounts, self.edge_moves)
        return self.upper + moved[0], self.lower + moved[1]

    def opening(self, amounts: Array, soften: float = 0.6) -> Array:
        """The mask of what the slit shows."""
        upper, lower = self.edges(amounts)
        lower = np.maximum(lower, np.stack([lower[:, 0], upper[:, 1]], axis=1))  # shut: never inside out
        return polygon(np.concatenate([upper, lower[::-1]]), self.height, self.width, soften)

    def draw(self, skin: Picture, interior: Picture, amounts: Array) -> Picture:
        """The patch after a motion.

        Args:
            skin: (height, width, c) the patch with the slit healed over.
            interior: (height, width, c) what lies behind it.
            amounts: one amplitude per motion.
        """
        upper, lower = self.edges(amounts)
        middle = (upper + lower) / 2
        far = np.asarray([[middle[-1, 0], middle[-1, 1]], [self.width + 4, middle[-1, 1]], [self.width + 4, -4], [-4, -4]])
        line = np.concatenate([[[-4, middle[0, 1]]], middle, far]).astype(np.float32)
        is_above = polygon(line, self.height, self.width, 0.5)[..., None]
        moves = _weighted(amounts, self.skin_moves)
        from_above, from_below = (self._came(moves[side]) for side in (0, 1))
        at = self.grid + from_below + is_above * (from_above - from_below)
        moved = sample(skin, at)
        shown = self.opening(amounts)
        depth = blur(shown, 2.0)
        return _mix(moved, interior, shown, 0.72 + 0.28 * depth)


def _weighted(amounts: Array, moves: Array) -> Array:
    """Sum of motions; not by BLAS, whose threads would spin between frames and cost as much as all the drawing."""
    return floats(sum(amount * move for amount, move in zip(amounts, moves, strict=True)))


def _mix(skin: Picture, interior: Picture, shown: Array, shade: Array) -> Picture:
    weight = shown[..., None]
    mixed = skin * (1 - weight) + interior * (weight * shade[..., None])
    mixed[..., 3:] = skin[..., 3:]
    return to_bytes(mixed)


def build_slit(
    box: tuple[int, int, int, int], upper: Array, lower: Array, above: Array, below: Array, motions: list[Motion], margin: float
) -> Slit:
    """Prepare a slit.

    Args:
        box: left, top, right, bottom of the patch in the picture.
        upper: (n, 2) upper edge in picture pixels, corners included.
        lower: (n, 2) lower edge, the same corners.
        above: (m, 2) further control points of the upper field.
        below: (k, 2) further control points of the lower field.
        motions: how each of these moves.
        margin: pixels over which motion fades at the patch's border.
    """
    left, top, right, bottom = box
    height, width = bottom - top, right - left
    origin = np.asarray([left, top], dtype=np.float32)
    fade = fade_border(height // STEP, width // STEP, margin / STEP)[..., None]
    frame = _frame(height, width)
    skin_moves = []
    for motion in motions:
        sides = []
        for edge, near, edge_move, near_move in (
            (upper, above, motion.upper, motion.above),
            (lower, below, motion.lower, motion.below),
        ):
            points = np.concatenate([edge - origin, near - origin, frame]).astype(np.float32)
            values = np.concatenate([edge_move, near_move, np.zeros_like(frame)]).astype(np.float32)
            sides.append(spread(points, values, height, width, STEP) * fade)
        skin_moves.append(np.stack(sides))
    edge_moves = np.stack([np.stack([m.upper, m.lower]) for m in motions]).astype(np.float32)
    return Slit(left, top, height, width, upper - origin, lower - origin, edge_moves, np.stack(skin_moves))


def _frame(height: int, width: int) -> Array:
    """Points along the border of a patch, where nothing moves."""
    xs, ys = np.linspace(0, width - 1, 9), np.linspace(0, height - 1, 9)
    rows = [np.stack([xs, np.full(9, y)], 1) for y in (0, height - 1)]
    columns = [np.stack([np.full(9, x), ys], 1) for x in (0, width - 1)]
    return floats(np.concatenate(rows + columns))


def heal(patch: Picture, opening: Array) -> Picture:
    """The patch with its opening covered by the skin around it."""
    return to_bytes(fill(floats(patch), 1 - opening))
