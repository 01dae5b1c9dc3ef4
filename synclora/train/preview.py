"""Looks at an adapter under way: edits the held-out pairs with it, and hands the pictures to `validation.py`."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from synclora.backbone.base import Backbone, Codec, Stream
from synclora.incontext.layout import to_latents
from synclora.incontext.sampler import Given, Model, sample
from synclora.media.decode import Decoder
from synclora.motion.settings import VerdictSettings
from synclora.train.clips import Bucket, cut_of, read_clip
from synclora.train.curated import Sample
from synclora.train.index import Encoded
from synclora.train.recipe import TrainRecipe
from synclora.train.step import Batch
from synclora.train.strategy import Worker
from synclora.train.trainset import TrainSet
from synclora.train.validation import EditedClip, record

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class _Edit:
    """One held-out clip, and what the adapter makes of its source."""

    clip: Batch
    edited_bnc: Tensor

    def pixels(self, codec: Codec) -> Pixels:
        return to_pixels(codec.decode(to_latents(self.edited_bnc, self.clip.grid)))

    def distances(self) -> tuple[float, float]:
        """Of the edit and of the source to the true half: mean absolute difference of latents, the given first frame left out."""
        made = slice(self.clip.grid.frame_tokens, None)
        true = self.clip.edited_bnc[:, made].float()
        edit, copy = (float((x_bnc[:, made].float() - true).abs().mean()) for x_bnc in (self.edited_bnc, self.clip.source_bnc))
        return edit, copy


class Preview:
    """Edits of the held-out clips at any step of a run.

    Args:
        out: the run's folder.
        recipe: the run's.
        backbone: whose autoencoder shows the edits; loaded for each look and let go, since the card is training's.
        clips: the held-out ones.
        samples: their pairs, by id.
        worker: worker 0 looks. Under ZeRO-3 no worker has the whole transformer, so that all of them sample.
    """

    def __init__(
        self, out: Path, recipe: TrainRecipe, backbone: Backbone, clips: TrainSet, samples: dict[str, Sample], worker: Worker
    ) -> None:
        self._out, self._recipe, self._backbone, self._worker = out, recipe, backbone, worker
        self._clips, self._samples = clips, samples

    def show(self, step: int, stream: Stream, through: Callable[..., Any]) -> dict[str, float]:
        """Edit, keep, measure; returns means over the clips on worker 0, nothing elsewhere.

        Raises:
            OSError: the disk is full.
        """
        together = self._recipe.parallel.strategy == "zero3"
        if not self._clips.rows or not (together or self._worker.rank == 0):
            return {}
        call = through if together else stream.transformer
        stream.transformer.eval()
        try:
            edits = [
                self._edit(number, stream, call) for number in range(len(self._clips.rows))
            ]  # one batch each: latents, a megabyte
        finally:
            stream.transformer.train()
        if self._worker.rank:
            return {}
        return record(self._out, step, self._clips_of(edits), VerdictSettings(), random_base=self._backbone.random).scalars()

    @torch.no_grad()
    def _edit(self, number: int, stream: Stream, call: Callable[..., Any]) -> _Edit:
        batch: Batch = self._clips.batch([number])
        first_bnc = batch.edited_bnc[:, : batch.grid.frame_tokens]
        edited_bnc = sample(
            Model(lambda tokens: stream.velocity(tokens, batch.caption, call)),
            batch.source_bnc,
            Given.start(first_bnc, batch.grid),
            batch.grid,
            self._recipe.validation.sampler,
        )
        return _Edit(batch, edited_bnc)

    def _clips_of(self, edits: list[_Edit]) -> Iterator[EditedClip]:
        codec = self._backbone.codec(torch.bfloat16 if self._worker.device.type == "cuda" else torch.float32, self._worker.device)
        with Decoder() as decoder:
            for row, edit in zip(self._clips.rows, edits, strict=True):
                yield self._clip(row, self._samples[row.pair_id], edit, codec, decoder)

    def _clip(self, row: Encoded, pair: Sample, edit: _Edit, codec: Codec, decoder: Decoder) -> EditedClip:
        bucket = Bucket.parse(row.bucket)
        window = range(row.first_frame, row.first_frame + bucket.frames)
        crop = cut_of(pair, bucket, self._recipe.encode)
        source, target = (
            read_clip(decoder.frames(path, analysis=False), window, crop, bucket) for path in (pair.source, pair.edited)
        )
        assert row.fps
        return EditedClip(row.pair_id, row.name, pair.caption, row.fps, source, target, edit.pixels(codec), edit.distances())


def to_pixels(video_bcfyx: Tensor) -> Pixels:
    """(1, 3, frames, height, width) in -1 to 1 to (frames, height, width, 3) uint8."""
    levels = ((video_bcfyx[0].float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    return np.asarray(levels.permute(1, 2, 3, 0).cpu().numpy())
