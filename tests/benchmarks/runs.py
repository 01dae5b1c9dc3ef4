"""Training runs inside this process, so that two ways of doing a step can be timed in turn, on one machine in one mood.

samples = prepared(out, curated, backbone_folder, "256x256x33")
trainer = started(out, samples, recipe)
took = in_turn({"bare": bare(trainer), "step": steps(trainer)}, rounds=20)
print(ratio(took["step"], took["bare"]))
"""

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import quantiles
from typing import Any, NamedTuple

import torch
import torch.distributed as dist

from synclora.backbone.base import Caption, Device
from synclora.backbone.find import find_backbone
from synclora.incontext.layout import first_frame, lay_out
from synclora.train.captions import CaptionStore
from synclora.train.clips import EncodeSettings
from synclora.train.curated import Sample, read_set
from synclora.train.encoder import Encoder
from synclora.train.index import write_index
from synclora.train.latents import LatentStore
from synclora.train.loop import Job, Trainer
from synclora.train.recipe import TrainRecipe
from synclora.train.step import draw
from synclora.train.strategy import Worker
from synclora.train.watch import Log
from tests.benchmarks.midsize import caption_width, config_of


class Took(NamedTuple):
    """Seconds of one piece of work: by the clock, and of all this process's threads."""

    wall: float
    cpu: float


Work = Callable[[int], Callable[[], object]]
"""Gets round k ready, untimed, and returns what is timed."""


class AnyCaption(NamedTuple):
    """Stands for a text encoder: embeddings of the right size that mean nothing. Its time is no part of a step."""

    tokens: int
    channels: int

    def caption(self, text: str, device: Device, dtype: torch.dtype) -> Caption:
        return Caption(torch.randn(1, self.tokens, self.channels, dtype=dtype), torch.ones(1, self.tokens))


def prepared(out: Path, curated: Path, backbone: Path, bucket: str, caption_tokens: int) -> dict[str, Sample]:
    """Latents, index and captions of a set, as the job's first stage leaves them; returns the pairs by id."""
    store, samples = LatentStore(out / "latents"), read_set(curated)
    encoder = Encoder(find_backbone(str(backbone)), EncodeSettings(buckets=(bucket,)), store)
    write_index(store.index, [encoder.encode(sample) for sample in samples])
    encoder.close()
    captions = AnyCaption(caption_tokens, caption_width(config_of(backbone)))
    CaptionStore(out / "captions", str(backbone)).embed(["3d1t", ""], captions, "cpu", torch.float32)
    return {sample.pair_id: sample for sample in samples}


def recipe_for(backbone: Path, bucket: str, rank: int, strategy: str = "ddp", mode: str = "shared", **more: Any) -> TrainRecipe:
    """One sample a step, float32, nothing looked at on the way."""
    values = {"backbone": str(backbone), "steps": 1000, "batch": 1, "precision": "float32", "lora": {"rank": rank}}
    values |= {"encode": {"buckets": [bucket]}, "context": {"mode": mode}, "parallel": {"strategy": strategy}}
    return TrainRecipe.from_values(values | {"validation": {"every": 0, "pairs": 0}} | more, "benchmark")


def started(out: Path, samples: dict[str, Sample], recipe: TrainRecipe, worker: Worker | None = None) -> Trainer:
    """A worker before its first step; the only one unless said otherwise."""
    return Trainer(Job(out, recipe, samples), worker or Worker(), lambda metrics, folder: None)


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """torch.distributed with one process, which DeepSpeed wants."""
    os.environ["LOCAL_RANK"] = "0"  # DeepSpeed asks for it
    dist.init_process_group("gloo", store=dist.FileStore(str(folder / "rendezvous"), 1), rank=0, world_size=1)
    try:
        yield
    finally:
        dist.destroy_process_group()
        del os.environ["LOCAL_RANK"]


def steps(trainer: Trainer, log: Log | None = None) -> Work:
    """The trainer's own steps, with their line in the log."""

    def step(number: int) -> None:
        facts = trainer._step(number)
        if log:
            log.write(facts)

    return lambda number: lambda: step(number)


def bare(trainer: Trainer) -> Work:
    """Forward and backward of the transformer and its adapter alone, on the tokens of the trainer's steps. The trainer itself takes no step."""
    stream, recipe = trainer._stream, trainer._recipe

    def ready(number: int) -> Callable[[], object]:
        batch = trainer._clips.batch(trainer._plan.batch(number))
        draws = draw(recipe.seed, number, [0], batch, recipe.context, recipe.sigma)
        clean_bn = first_frame(draws.given_b, batch.grid)
        inputs = stream.inputs(lay_out(batch.source_bnc, batch.edited_bnc, draws.sigma_b, clean_bn, batch.grid), batch.caption)
        stream.span.source_tokens = batch.grid.tokens
        stream.transformer.zero_grad(set_to_none=True)
        return lambda: stream.transformer(**inputs)[0].square().mean().backward()

    return ready


def in_turn(works: Mapping[str, Work], rounds: int, warm: int = 2) -> dict[str, list[Took]]:
    """Every work once a round, in an order that turns, so that none is always first; the first rounds are not counted."""
    names, took = list(works), {name: [] for name in works}
    for number in range(warm + rounds):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            run = works[name](number)
            wall, cpu = time.perf_counter(), time.process_time()
            run()
            once = Took(time.perf_counter() - wall, time.process_time() - cpu)
            if number >= warm:
                took[name].append(once)
    return took


class Ratio(NamedTuple):
    """Of two works, round by round: quartiles by the clock, and the middle one of CPU time."""

    low: float
    wall: float
    high: float
    cpu: float

    def __str__(self) -> str:
        return f"{self.wall:.3f} (middle half {self.low:.3f} to {self.high:.3f}; CPU time {self.cpu:.3f})"


def ratio(of: Sequence[Took], over: Sequence[Took]) -> Ratio:
    """Round by round, then the quartiles: what disturbs the machine for a while disturbs both sides of a round."""
    walls, cpus = (quantiles([getattr(a, f) / getattr(b, f) for a, b in zip(of, over, strict=True)]) for f in Took._fields)
    return Ratio(*walls, cpus[1])
