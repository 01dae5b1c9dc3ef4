"""Which clips a step sees, and how they are changed: a function of the seed and the step, so that a run taken up again sees the same.

    feed = Feed(index, settings)
    batch = feed.batch(step=17)         # pixels_bcfyx in -1..1, weight_b1fyx

A real clip or a puppet, then a person, then one of their videos, each with equal chance: a man with six edits is not six men.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from synclora.embedded.autoencoder.settings import AutoencoderSettings
from synclora.embedded.clips.cache import Index, Item
from synclora.embedded.clips.crop import EYE, MOUTH


@dataclass(frozen=True)
class ClipBatch:
    """Clips of one shape.

    Attributes:
        pixels_bcfyx: (b, 3, f, y, x) float32 in -1 to 1.
        weight_b1fyx: (b, 1, f, y, x) float32, what a pixel counts, mean 1 over the batch.
        fps_b: frames per second of each clip, its video's own.
        names: of the items.
    """

    pixels_bcfyx: Tensor
    weight_b1fyx: Tensor
    fps_b: tuple[float, ...]
    names: tuple[str, ...]


@dataclass(frozen=True)
class Window:
    """A part of a cached square that becomes a clip: places and side in pixels of the square."""

    left: float
    top: float
    side: float
    out_px: int
    start: int
    frames: int


def plain_window(item: Item, settings: AutoencoderSettings, start: int = 0) -> Window:
    """The clip as it is judged: nothing drawn, the face at its share of the width, or as near as the video's own edge lets it."""
    side = _side(item, settings)
    left, top = (float(np.clip(0.5 * (settings.clips.cache_px - side), 0, settings.clips.cache_px - side)),) * 2
    return Window(left, top, side, settings.clips.picture_px, start, settings.frames)


def cut(item: Item, window: Window) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The window's (t, y, x, 3) pixels and (t, y, x) labels."""
    scale = window.out_px / window.side
    # a map of pixel centres: the window's corner, not its first pixel's middle, lands on the corner
    move = np.array([[scale, 0, -scale * window.left], [0, scale, -scale * window.top]]) + [[0, 0, scale / 2 - 0.5]] * 2
    span = slice(window.start, window.start + window.frames)
    size = (window.out_px, window.out_px)
    soft = cv2.INTER_LINEAR if scale < 1 else cv2.INTER_CUBIC
    pixels = [cv2.warpAffine(picture, move, size, flags=soft, borderMode=cv2.BORDER_REPLICATE) for picture in item.pixels()[span]]
    labels = [
        cv2.warpAffine(frame, move, size, flags=cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
        for frame in item.labels()[span]
    ]
    return np.stack(pixels).astype(np.uint8), np.stack(labels).astype(np.uint8)


def to_pixels(clip_tyxc: NDArray[np.uint8]) -> Tensor:
    """(3, t, y, x) float32 in -1 to 1."""
    return torch.from_numpy(np.ascontiguousarray(clip_tyxc)).permute(3, 0, 1, 2).float().div_(127.5).sub_(1)


def weights_of(labels_tyx: NDArray[np.uint8], eyes: float, mouth: float) -> Tensor:
    """(1, t, y, x) float32."""
    table = np.ones(256, np.float32)
    table[EYE], table[MOUTH] = eyes, mouth
    return torch.from_numpy(table[labels_tyx])[None]


class Feed:
    """Batches of one side of the split."""

    def __init__(self, index: Index, settings: AutoencoderSettings) -> None:
        self._settings = settings
        self._kinds: dict[str, list[list[Item]]] = {}
        for kind in ("real", "puppet"):
            people: dict[str, list[Item]] = {}
            for item in index.of("train", kind):
                if item.frames >= settings.frames:
                    people.setdefault(item.identity, []).append(item)
            if people:
                self._kinds[kind] = [people[name] for name in sorted(people)]

    def batch(self, step: int) -> ClipBatch:
        """The clips of a step, counted from 0."""
        settings = self._settings
        of_step = np.random.default_rng([settings.seed, step])
        close = bool(of_step.random() < settings.augment.close)
        clips, weights, items = [], [], []
        for place in range(settings.optimizer.batch * (_more(settings) if close else 1)):
            rng = np.random.default_rng([settings.seed, step, place])
            item = self._draw(rng)
            pixels, labels = cut(item, _window(item, rng, settings, close=close))
            clip, weight = to_pixels(pixels), weights_of(labels, settings.loss.eyes, settings.loss.mouth)
            if rng.random() < settings.augment.flip:
                clip, weight = clip.flip(-1), weight.flip(-1)
            clips.append(_lit(clip, rng, settings))
            weights.append(weight)
            items.append(item)
        return _batch(clips, weights, items)

    def _draw(self, rng: np.random.Generator) -> Item:
        kinds = list(self._kinds)
        kind = kinds[0] if len(kinds) == 1 or rng.random() < self._settings.real_share else kinds[1]
        people = self._kinds[kind]
        person = people[int(rng.integers(len(people)))]
        return person[int(rng.integers(len(person)))]


def fixed_batch(items: Sequence[Item], settings: AutoencoderSettings) -> ClipBatch:
    """One plain clip of each item, from its middle: for the log and for statistics."""
    clips, weights, used = [], [], []
    for item in items:
        if item.frames >= settings.frames:
            pixels, labels = cut(item, plain_window(item, settings, (item.frames - settings.frames) // 2))
            clips.append(to_pixels(pixels))
            weights.append(weights_of(labels, settings.loss.eyes, settings.loss.mouth))
            used.append(item)
    return _batch(clips, weights, used)


def _batch(clips: list[Tensor], weights: list[Tensor], items: Sequence[Item]) -> ClipBatch:
    weight = torch.stack(weights)
    fps, names = tuple(item.fps for item in items), tuple(item.name for item in items)
    return ClipBatch(torch.stack(clips).contiguous(), weight / weight.mean(), fps, names)


def _more(settings: AutoencoderSettings) -> int:
    """Close clips for the work of one whole one, halved: the rest goes into the step being shorter."""
    return max(1, (settings.clips.picture_px // settings.augment.close_px) ** 2 // 2)


def _side(item: Item, settings: AutoencoderSettings) -> float:
    """Of the window in which the face has its share of the width."""
    return min(settings.clips.cache_px * item.square.face / settings.clips.face_share, float(settings.clips.cache_px))


def _window(item: Item, rng: np.random.Generator, settings: AutoencoderSettings, *, close: bool) -> Window:
    """A window near the plain one, or, close, around eyes and lips at the same scale."""
    augment, whole = settings.augment, settings.clips.cache_px
    side = min(_side(item, settings) * float(np.exp(rng.uniform(-augment.scale, augment.scale))), float(whole))
    start = int(rng.integers(item.frames - settings.frames + 1))
    shift = rng.uniform(-augment.shift, augment.shift, 2) * side
    centre, out_px = np.array([0.5, 0.5]) * whole, settings.clips.picture_px
    if close:
        out_px = augment.close_px
        side *= out_px / settings.clips.picture_px
        centre = np.array(item.middle) * whole
        shift *= 2
    left, top = np.clip(centre + shift - side / 2, 0, whole - side)
    return Window(float(left), float(top), side, out_px, start, settings.frames)


def _lit(clip: Tensor, rng: np.random.Generator, settings: AutoencoderSettings) -> Tensor:
    """Another light: brightness and the channels' gains, of pixels counted from black."""
    gains = (1 + rng.uniform(-settings.augment.light, settings.augment.light)) * (
        1 + rng.uniform(-settings.augment.hue, settings.augment.hue, 3)
    )
    return ((clip + 1) * torch.from_numpy(gains).float().view(3, 1, 1, 1) - 1).clamp_(-1, 1)
