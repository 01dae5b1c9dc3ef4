"""Training clips as latents, encoded once: clip n is a function of the seed and n, so the store grows and is never another.

    store = build_latents(index, vae_folder, settings, count=6000)
    store.batch([3, 17])            # raw_bnc float32, weight_bn, fps

Latents are the autoencoder's mode, not normalised, float16, in blocks that are mapped from the user's cache folder; the folder's name holds the
digest of what they are made of. A killed run has lost at most the block under way. Shapes: b clips, n tokens, c channels.
"""

import hashlib
import json
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from synclora.backbone.shared import cache_folder
from synclora.embedded.clips.cache import Index, Item
from synclora.embedded.clips.feed import ClipBatch, Feed, cut, plain_window, to_pixels, weights_of
from synclora.embedded.transformer.settings import TransformerSettings
from synclora.incontext.layout import to_tokens

_LOG = logging.getLogger(__name__)

VERSION = 1
"""Raised when equal settings give other latents."""

BLOCK = 100
"""Clips of one file: 8 MB, 12 seconds' work."""


@dataclass(frozen=True)
class Encoded:
    """Clips.

    Attributes:
        raw_bnc: (b, n, c) float32, as the encoder gives them.
        weight_bn: (b, n) float32, what a token counts, mean 1 over a clip.
        fps: frames per second of each.
    """

    raw_bnc: Tensor
    weight_bn: Tensor
    fps: tuple[float, ...]


class LatentStore:
    """All encoded clips, mapped."""

    def __init__(self, folder: Path, count: int, block: int) -> None:
        self.folder, self.count, self._block = folder, count, block
        names = [folder / f"{number:05d}" for number in range(-(-count // block))]
        self._latents = [np.load(name.with_suffix(".latents.npy"), mmap_mode="r") for name in names]
        self._weights = [np.load(name.with_suffix(".weights.npy"), mmap_mode="r") for name in names]
        self._fps = [json.loads(name.with_suffix(".json").read_text(encoding="utf-8"))["fps"] for name in names]

    def batch(self, numbers: Sequence[int]) -> Encoded:
        """These clips."""
        places = [divmod(number, self._block) for number in numbers]
        return Encoded(
            torch.from_numpy(np.stack([self._latents[i][j] for i, j in places]).astype(np.float32)),
            torch.from_numpy(np.stack([self._weights[i][j] for i, j in places]).astype(np.float32)),
            tuple(float(self._fps[i][j]) for i, j in places),
        )


def digest_of(index: Index, vae: Path, settings: TransformerSettings) -> str:
    """Changes with anything that the latents are made of."""
    return _digest(digest_of_folder(vae), settings.feed().fingerprint(), index.digest())


def digest_of_folder(vae: Path) -> str:
    """Of a model's configuration and weights."""
    files = sorted(file for file in vae.iterdir() if file.suffix in (".json", ".safetensors"))
    return _digest(*(hashlib.sha256(file.read_bytes()).hexdigest() for file in files))


def build_latents(
    index: Index,
    vae_folder: Path,
    vae: Any,
    settings: TransformerSettings,
    count: int,
    tell: Callable[[str], None] = _LOG.info,
    *,
    block: int = BLOCK,
) -> LatentStore:
    """Encode what is not encoded yet.

    Args:
        index: the cut clips.
        vae_folder: the autoencoder's, for the digest.
        vae: it, in float32.
        settings: the recipe.
        count: of clips.
        tell: is told of every block made.
        block: clips of one file.

    Raises:
        OSError: the disk is full.
    """
    name = _digest(digest_of(index, vae_folder, settings), str(block))
    folder = cache_folder() / "embedded" / f"latents-v{VERSION}-{name}"
    folder.mkdir(parents=True, exist_ok=True)
    feed = Feed(index, settings.feed())
    blocks = -(-count // block)
    for number in range(blocks):
        stem = folder / f"{number:05d}"
        if not stem.with_suffix(".json").exists():
            encoded = [encode(vae, feed.batch(clip)) for clip in range(number * block, (number + 1) * block)]
            _write(stem.with_suffix(".latents.npy"), torch.cat([one.raw_bnc for one in encoded]).half().numpy())
            _write(stem.with_suffix(".weights.npy"), torch.cat([one.weight_bn for one in encoded]).half().numpy())
            _note(stem.with_suffix(".json"), {"fps": [one.fps[0] for one in encoded]})
            tell(f"latents: {min(count, (number + 1) * block)} of {count} clips")
    return LatentStore(folder, count, block)


def plain_clips(index: Index, split: Any, vae: Any, settings: TransformerSettings, count: int) -> tuple[Encoded, list[Item]]:
    """So many clips of one side with nothing drawn, spread over its items and each item's time; and whose they are."""
    feed = settings.feed()
    items = index.of(split)
    chosen = [items[round(at)] for at in np.linspace(0, len(items) - 1, count)]
    encoded = []
    for number, item in enumerate(chosen):
        start = round((item.frames - feed.frames) * ((number * 0.618) % 1))  # the golden ratio leaves no stretch of time out
        pixels, labels = cut(item, plain_window(item, feed, start))
        weight = weights_of(labels, settings.eyes, settings.mouth)[None]
        encoded.append(encode(vae, ClipBatch(to_pixels(pixels)[None], weight, (item.fps,), (item.name,))))
    raw, weight = torch.cat([one.raw_bnc for one in encoded]), torch.cat([one.weight_bn for one in encoded])
    return Encoded(raw, weight, tuple(one.fps[0] for one in encoded)), chosen


@torch.no_grad()
def encode(vae: Any, batch: ClipBatch) -> Encoded:
    """Clips through the encoder; each by itself, so that it does not depend on the others."""
    latents = torch.cat([vae.encode(clip[None]).latent_dist.mode() for clip in batch.pixels_bcfyx])
    weight = token_weights(batch.weight_b1fyx, vae.temporal_compression_ratio, vae.spatial_compression_ratio)
    return Encoded(to_tokens(latents).float(), weight, batch.fps_b)


def token_weights(weight_b1fyx: Tensor, stride_t: int, stride_s: int) -> Tensor:
    """(b, n) the mean of each cell's pixels, mean 1 over a clip; the first latent frame holds one picture, the others `stride_t`."""
    pool = torch.nn.functional.avg_pool3d
    first = pool(weight_b1fyx[:, :, :1], (1, stride_s, stride_s))
    rest = pool(weight_b1fyx[:, :, 1:], (stride_t, stride_s, stride_s))
    weight = torch.cat([first, rest], dim=2).flatten(1)
    return weight / weight.mean(1, keepdim=True)


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


def _write(path: Path, array: NDArray[np.float16]) -> None:
    scratch = path.with_name(f".{path.name}.{os.getpid()}.part.npy")
    np.save(scratch, array, allow_pickle=False)
    scratch.replace(path)


def _note(path: Path, facts: dict[str, Any]) -> None:
    scratch = path.with_name(f".{path.name}.{os.getpid()}.part")
    scratch.write_text(json.dumps(facts), encoding="utf-8")
    scratch.replace(path)
