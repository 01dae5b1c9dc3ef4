"""Whether an edit shows: thin glasses do, what an autoencoder, a codec or a model's own tint changes everywhere does not.

    edit_strength(portrait, edited)      # 0 for a copy, .02 for an earring, .06 for glasses, .2 and more for hair or clothes

Every picture that went through a model comes back a little moved, tinted, softened and noisy, and by more than a pair of thin glasses
changes. So what the whole picture has in common is taken away first: a small shift, turn or scale (the affine map that correlates best)
and one map of colours (fitted to the three quarters of the pixels that follow it best). What a picture's own texture explains (an edge
blurs and rings) and what changed everywhere does not count either. An edit is what the most changed places have left.

The change of all colours together counts by itself from `TINT` on: evening light is an edit too.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from synclora.media.decode import Picture

Singles = NDArray[np.float32]

SIDE = 256
"""Shorter side of the pictures that are compared: at 128, one in ten of the drawn earrings had .003 or less, at 256 .039 or less."""
TINT = 0.03
"""Of all colours, root mean square: a drift of 3 levels, 3 % of contrast and 6 % of saturation had .020 at most, a light dimmed by 15 % .031 at
least. No model's own drift could be measured."""
_REACH = 0.03  # of the picture: a farther move is no model's jitter, and the picture is compared where it is
_BLOCK = 4  # pixels at SIDE
_BLOCKS = 4  # most changed ones whose mean counts: 1/1000 of a square picture
_BORDER = 4  # pixels: there a moved picture has nothing to show
_TEXTURE = 0.4  # of the portrait's local contrast: what softening and half a pixel of shift leave of an edge
_EVERYWHERE = 3.0  # times the middle block's change: noise in the most changed blocks over that in the middle
_MOST_EVERYWHERE = 0.03  # what changed everywhere by more is no noise


def edit_strength(portrait: Picture, edited: Picture) -> float:
    """How clearly the edited picture differs, 0..1; see the module."""
    a, b = _small(portrait), _small(edited)
    if a.shape != b.shape:
        b = np.asarray(cv2.resize(b, (a.shape[1], a.shape[0]), interpolation=cv2.INTER_AREA), np.float32)
    tinted, tint = _tinted(a, moved := _moved_onto(a, b))
    change = np.asarray(cv2.GaussianBlur(moved - tinted, (0, 0), 1), np.float32)
    blocks = np.sqrt(_blocks((change**2).mean(2)))
    common = min(_EVERYWHERE * float(np.median(blocks)), _MOST_EVERYWHERE)
    most = np.sort((blocks - _TEXTURE * _blocks(_texture(a))).ravel())[-_BLOCKS:]
    strength = max(0.0, float(most.mean()) - common)
    return max(strength, tint) if tint > TINT else strength


def _small(picture: Picture) -> Singles:
    """0..1, the shorter side SIDE; not sharper than `picture` where that is smaller."""
    height, width = picture.shape[:2]
    scale = SIDE / min(height, width)
    size = max(SIDE, round(width * scale)), max(SIDE, round(height * scale))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.float32) / 255


def _moved_onto(still: Singles, picture: Singles) -> Singles:
    """The picture through the affine map that lays it on the other, if that is a small one."""
    height, width = still.shape[:2]
    greys = [cv2.cvtColor(one, cv2.COLOR_RGB2GRAY) for one in (still, picture)]
    try:
        criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 30, 1e-5)
        matrix, everywhere = np.eye(2, 3, dtype=np.float32), np.ones((height, width), np.uint8)
        _correlation, found = cv2.findTransformECC(greys[0], greys[1], matrix, cv2.MOTION_AFFINE, criteria, everywhere, 5)
    except cv2.error:  # nothing in them correlates
        return picture
    corners, matrix = np.array([[x, y, 1] for x in (0, width) for y in (0, height)]), np.asarray(found, np.float32)
    if not np.abs(corners @ matrix.T - corners[:, :2]).max() <= _REACH * min(height, width):
        return picture
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(picture, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE), np.float32)


def _tinted(still: Singles, picture: Singles) -> tuple[Singles, float]:
    """The still picture in the other's colours, as far as one affine map of colours makes them, and by how much that changes it."""
    known = np.column_stack([still.reshape(-1, 3), np.ones(still[..., 0].size, np.float32)])
    wanted, step = picture.reshape(-1, 3), 7  # every seventh pixel is enough
    follows = np.ones(len(known), bool)
    for _round in range(3):
        colours, *_rest = np.linalg.lstsq(known[follows][::step], wanted[follows][::step], rcond=None)
        off = np.abs(known @ colours - wanted).max(1)
        follows = off <= max(1e-3, float(np.quantile(off, 0.75)))
    tinted = np.asarray((known @ colours).reshape(still.shape), np.float32)
    return tinted, float(np.sqrt(((tinted - still) ** 2).mean()))


def _texture(picture: Singles) -> Singles:
    """Local contrast."""
    fine = picture - cv2.GaussianBlur(picture, (0, 0), 2)
    return np.sqrt(np.asarray(cv2.GaussianBlur((fine**2).mean(2), (0, 0), 2), np.float32))


def _blocks(values_yx: Singles) -> Singles:
    """Means of blocks, without the border."""
    inner = values_yx[_BORDER:-_BORDER, _BORDER:-_BORDER]
    rows, columns = inner.shape[0] // _BLOCK, inner.shape[1] // _BLOCK
    return np.asarray(inner[: rows * _BLOCK, : columns * _BLOCK].reshape(rows, _BLOCK, columns, _BLOCK).mean((1, 3)), np.float32)
