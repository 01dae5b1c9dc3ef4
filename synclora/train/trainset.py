"""What is trained on, and what is held out: encoded clips joined with their captions.

trained, held_out = split(rows, held_out_pairs=1)
clips = TrainSet(trained, store, captions, texts, device, dtype)
batch = clips.batch([3, 0, 7])
"""

import hashlib
from collections.abc import Mapping, Sequence

import torch

from synclora.backbone.base import Caption, Device
from synclora.incontext.layout import to_tokens
from synclora.train.captions import CaptionStore
from synclora.train.curated import TrainSetError
from synclora.train.index import Encoded
from synclora.train.latents import LatentStore
from synclora.train.step import Batch


def split(rows: Sequence[Encoded], held_out_pairs: int) -> tuple[list[Encoded], list[Encoded]]:
    """Clips to train on and clips to hold out for validation, by whole pairs.

    Which pairs are held out depends on their ids alone, so that a larger set holds out the same ones or others in their place, never by chance.

    Args:
        rows: of the index; dropped ones are left out.
        held_out_pairs: how many pairs are never trained on.

    Raises:
        TrainSetError: nothing is left to train on.
    """
    usable = [row for row in rows if row.outcome != "dropped"]
    if not usable:
        why = next((f"{row.name}: {row.reason}, {row.detail}" for row in rows), "the set is empty")
        raise TrainSetError(f"none of {len(rows)} clips can be trained on (first {why})")
    pairs = sorted({row.pair_id for row in usable}, key=lambda pair: hashlib.sha256(pair.encode()).digest())
    if len(pairs) <= held_out_pairs:
        raise TrainSetError(
            f"{len(pairs)} usable pair{'s' * (len(pairs) > 1)} and validation.pairs = {held_out_pairs}: nothing is left to train on; "
            "curate more pairs, or hold out fewer (validation.pairs: 0 trains without looking)"
        )
    held = set(pairs[:held_out_pairs])
    return [row for row in usable if row.pair_id not in held], [row for row in usable if row.pair_id in held and row.window == 0]


class TrainSet:
    """Clips by number, ready for the transformer. Latents are read from disk as they are needed; the page cache is the better memory.

    Args:
        rows: the clips.
        store: their latents.
        captions: embedded captions.
        texts: the caption of each pair, by id.
        device: where batches go.
        dtype: of their latents and captions.
    """

    def __init__(
        self,
        rows: Sequence[Encoded],
        store: LatentStore,
        captions: CaptionStore,
        texts: Mapping[str, str],
        device: Device,
        dtype: torch.dtype,
    ) -> None:
        self.rows = list(rows)
        self._store, self._device, self._dtype = store, device, dtype
        self._texts = [texts[row.pair_id] for row in rows]
        self._captions = {text: captions.get(text).to(device, dtype) for text in {*self._texts, ""}}

    @property
    def shapes(self) -> list[object]:
        """What clips must share to share a batch: the grid, its seconds included."""
        return [row.grid for row in self.rows]

    def batch(self, numbers: Sequence[int]) -> Batch:
        """Some clips of one shape.

        Raises:
            TrainSetError: latents that are gone or damaged.
        """
        latents = [self._store.load(self.rows[number].id) for number in numbers]
        source, edited = (
            to_tokens(torch.stack([getattr(one, name) for one in latents])).to(self._device, self._dtype)
            for name in ("source_cfyx", "edited_cfyx")
        )
        caption = Caption.stack([self._captions[self._texts[number]] for number in numbers])
        grid = self.rows[numbers[0]].grid
        assert grid
        return Batch(source, edited, caption, self._captions[""], grid)
