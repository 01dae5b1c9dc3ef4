"""The training loop of one worker. It knows torch.distributed, and nothing of who started the workers.

    train(Job(out, recipe), Worker(rank, world, device), report)

All workers run the same steps; worker 0 writes. What a step computes depends on its number and the recipe alone (`batches.py`, `step.py`), so
a run that was killed, or goes on with another number of workers, leaves the same trace.
"""

import json
import math
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import torch
import torch.distributed as dist
from torch import Tensor

from synclora.backbone.find import find_backbone
from synclora.errors import SyncLoraError
from synclora.report.runlog import Step
from synclora.train import checkpoint
from synclora.train.batches import Plan, seed_of, share
from synclora.train.captions import CaptionStore
from synclora.train.ceiling import bare_seconds
from synclora.train.curated import Sample
from synclora.train.index import read_index
from synclora.train.latents import LatentStore
from synclora.train.lora import add_lora, load_lora, named_lora_parameters
from synclora.train.preview import Preview
from synclora.train.recipe import TrainRecipe
from synclora.train.start import begin_with, read_start
from synclora.train.step import draw, step_loss
from synclora.train.strategy import OptimizerState, Strategy, Worker, start
from synclora.train.trainset import TrainSet, split
from synclora.train.watch import Log

Report = Callable[[dict[str, float], Path | None], None]
"""Tells whoever started the workers: metrics, and on worker 0 the folder of a new checkpoint. Every worker calls it equally often."""


class Diverged(SyncLoraError):
    """The loss or its gradient is no number. Says at which step and noise levels, and what stays."""


@dataclass(frozen=True)
class Job:
    """What every worker is told.

    Attributes:
        out: the run's folder, the same on every node.
        recipe: the settings.
        samples: the set's pairs, by id.
    """

    out: Path
    recipe: TrainRecipe
    samples: dict[str, Sample]

    def to_json(self) -> str:
        """For the way to a worker."""
        samples = {pair: sample.to_json() for pair, sample in self.samples.items()}
        return json.dumps({"out": str(self.out), "recipe": self.recipe.model_dump(mode="json"), "samples": samples})

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The inverse of `to_json`."""
        fields = json.loads(text)
        samples = {pair: Sample.from_json(sample) for pair, sample in fields["samples"].items()}
        return cls(Path(fields["out"]), TrainRecipe.from_values(fields["recipe"], "of the job"), samples)

    @property
    def captions(self) -> dict[str, str]:
        """Each pair's caption, by id: the recipe's one, or its own."""
        one = self.recipe.caption
        return {pair: sample.caption if one is None else one for pair, sample in self.samples.items()}

    @property
    def checkpoints(self) -> Path:
        """Where checkpoints lie."""
        return self.out / "checkpoints"


def train(job: Job, worker: Worker, report: Report) -> None:
    """Train to the last step, from the newest intact checkpoint if there is one.

    Raises:
        Diverged: nothing was saved since the last checkpoint.
        SyncLoraError: the run cannot start: latents, backbone, rank, workers.
        OSError: the output folder cannot be written (a full disk); earlier checkpoints stay.
    """
    Trainer(job, worker, report).run()


class Trainer:
    """One worker's part of a run."""

    def __init__(self, job: Job, worker: Worker, report: Report) -> None:
        recipe = job.recipe
        check_sharing(recipe, worker.world)
        self._job, self._worker, self._report, self._recipe = job, worker, report, recipe
        self._places = share(range(recipe.batch), worker.rank, worker.world)
        bf16 = recipe.bf16(worker.device.type)
        dtype = torch.bfloat16 if bf16 else torch.float32
        store, captions = LatentStore(job.out / "latents"), CaptionStore(job.out / "captions", recipe.text_encoder)
        rows = read_index(store.index)
        trained, held_out = split(rows, recipe.validation.pairs)
        self._clips = TrainSet(trained, store, captions, job.captions, worker.device, dtype)
        self._plan = Plan(self._clips.shapes, recipe.batch, recipe.seed)
        backbone = find_backbone(recipe.backbone, recipe.revision)
        in_parts = (
            recipe.parallel.strategy == "zero3" and worker.device.type == "cuda"
        )  # DeepSpeed brings each worker's to its card
        self._stream = backbone.stream(dtype, "cpu" if in_parts else worker.device, recipe.context.mode)
        done, state = self._resumed(worker, backbone.kind)
        if recipe.checkpointing:
            self._stream.transformer.enable_gradient_checkpointing()  # type: ignore[operator]
        self._stream.transformer.train()
        self._ceiling = self._measured_ceiling(done) if done < recipe.steps and not in_parts else None
        self._strategy = self._started(bf16, state)
        self._done = done
        unseen = TrainSet(held_out, store, captions, job.captions, worker.device, dtype)
        self._preview = Preview(job.out, recipe, backbone, unseen, job.samples, worker)

    def run(self) -> None:
        """All steps that are left."""
        log = Log(self._job.out, self._done) if self._worker.rank == 0 else None
        try:
            if self._done == 0 and self._recipe.validation.every:
                self._validate(0, log)
            for step in range(self._done, self._recipe.steps):
                facts = self._step(step)
                if log:
                    log.write(facts)
                done = step + 1
                last = done == self._recipe.steps
                if self._recipe.validation.every and (done % self._recipe.validation.every == 0 or last):
                    self._validate(done, log)
                if done % self._recipe.checkpoints.every == 0 or last:
                    self._save(facts)
        finally:
            if log:
                log.close()

    def _step(self, step: int) -> Step:
        begun, recipe = time.monotonic(), self._recipe
        numbers = self._plan.batch(step)
        torch.manual_seed(seed_of("dropout", recipe.seed, step, self._worker.rank))
        micro = recipe.parallel.micro_batch
        parts = [self._places[i : i + micro] for i in range(0, len(self._places), micro)]
        losses, sigmas, tokens = [], [], 0
        for part in parts:
            last = part is parts[-1]
            batch = self._clips.batch([numbers[place] for place in part])
            draws = draw(recipe.seed, step, part, batch, recipe.context, recipe.sigma)
            with self._strategy.computing(last=last):
                loss_b = step_loss(self._stream, batch, draws, self._strategy.through, recipe.context.edit_share)
            self._strategy.backward(loss_b.mean(), last=last)
            losses.append(loss_b.detach())
            sigmas.append(draws.sigma_b)
            tokens += len(part) * batch.grid.tokens * (2 if draws.with_source else 1)
        seen = self._gathered(torch.stack([torch.cat(losses), torch.cat(sigmas).float()]))
        loss_b, sigma_b = seen.transpose(0, 1).flatten(1)
        self._check(step, "loss", float(loss_b.mean()), loss_b, sigma_b)
        lr = recipe.optimizer.lr_at(step, recipe.steps)
        norm = self._strategy.step(lr)
        self._check(step, "gradient", norm, loss_b, sigma_b)
        return {
            "step": step + 1,
            "loss": float(loss_b.mean()),
            "losses": loss_b.tolist(),
            "sigmas": sigma_b.tolist(),
            "grad_norm": norm,
            "lr": lr,
            "tokens": tokens * self._worker.world,
            "memory_mb": self._gathered(torch.tensor([peak_memory_mb(self._worker.device)], device=self._worker.device))
            .flatten()
            .tolist(),
            "seconds": time.monotonic() - begun,
            "time": time.time(),
            "ceiling_s": self._ceiling[1] if self._ceiling and self._ceiling[0] == tokens else None,
        }

    def _check(self, step: int, what: str, value: float, loss_b: Tensor, sigma_b: Tensor) -> None:
        """Stop where a value is no number; of the batch, the samples whose loss is none are named, else all."""
        if math.isfinite(value):
            return
        lost = (~loss_b.isfinite()).nonzero().flatten().tolist() or list(range(len(loss_b)))
        good, _ = checkpoint.newest(self._job.checkpoints)
        stays = f"the checkpoint of step {good.step} stays" if good else "there is no checkpoint yet"
        levels = ", ".join(f"{float(sigma_b[place]):.2f}" for place in lost)
        numbers = self._plan.batch(step)
        clips = ", ".join(self._clips.rows[numbers[place]].name for place in lost)
        raise Diverged(
            f"step {step + 1}: the {what} is {value} (clips {clips}; noise levels {levels}); {stays}; lower optimizer.lr or look at these clips"
        )

    def _save(self, facts: Step) -> None:
        state, folder = self._strategy.state(), None
        if self._worker.rank == 0:
            folder = checkpoint.save(self._job.checkpoints, state, self._recipe.deciding())
        self._report({"step": float(state.steps), "loss": facts["loss"]}, folder)

    def _validate(self, step: int, log: Log | None) -> None:
        scalars = self._preview.show(step, self._stream, self._strategy.through)
        if log and scalars:
            log.validated(step, scalars)
        if self._worker.world > 1:
            dist.barrier()

    def _resumed(self, worker: Worker, kind: str) -> tuple[int, OptimizerState | None]:
        """Worker 0 says which checkpoint; a file system may show it to the others later, so they are told its name."""
        found = [None]
        if worker.rank == 0:
            newest, _ = checkpoint.newest(self._job.checkpoints)
            found = [str(newest.folder) if newest else None]  # type: ignore[list-item]
        if worker.world > 1:
            dist.broadcast_object_list(found, src=0)
        add_lora(self._stream, self._recipe.lora, self._recipe.seed)
        if found[0] is None:
            if self._recipe.lora.start:
                begin_with(self._stream, read_start(self._recipe.lora, kind))
            return 0, None
        kept = checkpoint.read(Path(found[0]))
        state = kept.load()
        load_lora(self._stream.transformer, state.weights)
        return kept.step, state

    def _started(self, bf16: bool, state: OptimizerState | None) -> Strategy:
        recipe = self._recipe
        micros = len(self._places) // recipe.parallel.micro_batch
        parameters = named_lora_parameters(self._stream.transformer)
        strategy = start(self._stream.transformer, parameters, recipe.optimizer, recipe.parallel, micros, self._worker, bf16=bf16)
        if state:
            strategy.restore(state)
        return strategy

    def _measured_ceiling(self, done: int) -> tuple[int, float]:
        """Tokens of this worker's part of a step with its source, and the seconds that the bare transformer needs for them. Steps of clips of
        another shape, or without a source, have other ceilings, which are not known."""
        micro = self._recipe.parallel.micro_batch
        batch = self._clips.batch([self._plan.batch(done)[place] for place in self._places[:micro]])
        draws = draw(self._recipe.seed, done, self._places[:micro], batch, self._recipe.context, self._recipe.sigma)
        seconds = bare_seconds(self._stream, batch, replace(draws, with_source=True))
        return 2 * batch.grid.tokens * len(self._places), seconds * len(self._places) / micro

    def _gathered(self, of_this: Tensor) -> Tensor:
        """(workers, …): the tensor of every worker, in their order."""
        if self._worker.world == 1:
            return of_this[None]
        parts = [torch.empty_like(of_this) for _ in range(self._worker.world)]
        dist.all_gather(parts, of_this.contiguous())
        return torch.stack(parts)


def peak_memory_mb(device: torch.device) -> float:
    """Most memory that this process held so far: on the card, or on the host."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def check_sharing(recipe: TrainRecipe, workers: int) -> None:
    """Whether a step's batch can be cut into equal parts.

    Raises:
        SyncLoraError: names the numbers.
    """
    each = workers * recipe.parallel.micro_batch
    if recipe.batch % each:
        raise SyncLoraError(
            f"batch = {recipe.batch}: {workers} workers with parallel.micro_batch = {recipe.parallel.micro_batch} need a multiple of {each}"
        )
