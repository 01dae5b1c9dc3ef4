"""What a transformer under way is worth: its loss on fixed clips with fixed noise, and what it makes of their first frames.

watch = Watch(index, trainer, codec, run)
facts, sheet = watch.look(trainer.averaged())
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from synclora.backbone.base import Codec, Stream
from synclora.backbone.ltx_video import LTXVideoStream
from synclora.embedded.clips.cache import Index
from synclora.embedded.transformer.flow import FlowDraws, Samples, loss_of
from synclora.embedded.transformer.latents import plain_clips
from synclora.embedded.transformer.settings import TransformerRunSettings
from synclora.embedded.transformer.training import TransformerTrainer
from synclora.incontext.layout import Given, to_latents
from synclora.incontext.sampler import SamplerSettings, sample
from synclora.media.decode import Picture
from synclora.report.contact import contact_sheet, stack
from synclora.train.batches import seed_of

_TOGETHER = 8
"""Samples of one call."""


class Watch:
    """Fixed clips of both sides."""

    def __init__(self, index: Index, trainer: TransformerTrainer, codec: Codec, run: TransformerRunSettings) -> None:
        self._trainer, self._codec, self._run = trainer, codec, run
        self._clips: dict[str, tuple[Samples, list[str]]] = {}
        for split in ("validation", "train"):
            if index.of(split):
                encoded, items = plain_clips(index, split, codec.vae, trainer.settings, run.watched_clips)
                self._clips[split] = trainer.normaliser.samples(encoded), [item.name for item in items]

    @torch.no_grad()
    def look(self, transformer: Any) -> tuple[dict[str, float], Picture | None]:
        """Figures for the log, and a contact sheet."""
        stream = LTXVideoStream(transformer, "shared")
        facts: dict[str, float] = {}
        with self._trainer.cast():
            for split, (samples, _) in self._clips.items():
                losses = [self._loss(stream, samples, level) for level in self._run.levels]
                facts |= {f"{split}_{level:g}": loss for level, loss in zip(self._run.levels, losses, strict=True)}
                facts[f"{split}_loss"] = float(np.mean(losses))
        sheets, moved = [], []
        for split, number in self._shown():
            samples, names = self._clips[split]
            source, made = self._sampled(stream, _some(samples, slice(number, number + 1)))
            moved.append(_motion(made) / max(_motion(source), 1e-6))
            title = f"{split}, {names[number].rsplit('-', 1)[0]}, step {self._trainer.steps}"
            sheets.append(contact_sheet(title, {"source": source, "sampled": made}, samples.grids[number].fps, columns=9))
        if moved:
            facts["motion"] = float(np.mean(moved))  # of what is sampled, over the sources'
        return facts, stack(sheets) if sheets else None

    def _shown(self) -> list[tuple[str, int]]:
        """Which clips are sampled, spread over those watched."""
        splits = list(self._clips)
        chosen = [splits[min(i % 3 // 2, len(splits) - 1)] for i in range(self._run.sampled_clips)]
        last = self._run.watched_clips - 1  # real ones stand behind puppets
        places = {split: np.linspace(last, 0, chosen.count(split)).round().astype(int).tolist() for split in splits}
        return [(split, places[split].pop(0)) for split in chosen]

    def _loss(self, stream: Stream, samples: Samples, level: float) -> float:
        losses = []
        for start in range(0, len(samples.grids), _TOGETHER):
            part = _some(samples, slice(start, start + _TOGETHER))
            losses.append(loss_of(stream, part, _fixed(part, level, start), self._trainer.caption))
        return float(torch.cat(losses).mean())

    def _sampled(self, stream: Stream, one: Samples) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """A clip through the autoencoder alone, and made from its first latent frame."""
        grid = one.grids[0]
        given = Given.start(one.x0_bnc[:, : grid.frame_tokens], grid)
        with self._trainer.cast():
            model = stream.sampling(self._trainer.caption, source=False)
            made = sample(model, one.x0_bnc, given, grid, SamplerSettings(steps=self._run.sampling_steps))
        source, sampled = (_pictures(self._codec.decode(to_latents(x, grid))) for x in (one.x0_bnc, made))
        return source, sampled


def _some(samples: Samples, part: slice) -> Samples:
    return Samples(samples.x0_bnc[part], samples.weight_bn[part], samples.grids[part])


def _fixed(samples: Samples, level: float, start: int) -> FlowDraws:
    """The first frame given, one level, the same noise at every look and level."""
    noise = torch.randn(samples.x0_bnc.shape, generator=torch.Generator().manual_seed(seed_of("watch", start)))
    grid = samples.grids[0]
    clean_n = torch.arange(grid.tokens) < grid.frame_tokens
    return FlowDraws(torch.full((len(samples.grids),), level), noise, clean_n.expand(len(samples.grids), -1))


def _pictures(video_bcfyx: Tensor) -> NDArray[np.uint8]:
    pixels: NDArray[np.uint8] = ((video_bcfyx[0].permute(1, 2, 3, 0) + 1) * 127.5).round().clamp(0, 255).byte().numpy()
    return pixels


def _motion(clip_tyxc: NDArray[np.uint8]) -> float:
    """Mean absolute difference of neighbouring frames, in levels."""
    return float(np.abs(np.diff(clip_tyxc.astype(np.float32), axis=0)).mean())
