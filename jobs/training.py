"""The second stage of jobs/train.py: captions once, then the training workers, with Ray Train.

    embed_captions(...)                                # one task, where a GPU is if there is one
    outcome = fit(Job(...), workers=2, console=Console())

What a worker does is `synclora.train.loop`; here it is only placed, started again when it dies, and told where it is.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import fmean
from typing import Any

import ray
import ray.cloudpickle
import ray.train
import ray.train.torch
import torch
from ray.train import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig
from ray.train.v2.api.report_config import CheckpointUploadMode
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from synclora.backbone.find import find_backbone
from synclora.command import one_line
from synclora.errors import SyncLoraError
from synclora.report.runlog import Step, read_steps
from synclora.train import checkpoint
from synclora.train.captions import CaptionStore
from synclora.train.loop import Job
from synclora.train.recipe import ParallelSettings, TrainRecipe

ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # type: ignore[no-untyped-call]  # workers need not find this file

COLLECTIVE_TIMEOUT_S = 3600  # workers wait for worker 0 while it edits, decodes and measures the held-out pairs


class Verdict:
    """Why a run must end, where any worker can say it and the driver hears it, full disk or not. An actor."""

    def __init__(self) -> None:
        self._said: tuple[str, str] | None = None

    def say(self, kind: str, why: str) -> None:
        """Give the reason; the first one counts."""
        self._said = self._said or (kind, why)

    def said(self) -> tuple[str, str] | None:
        """The reason, if there is one."""
        return self._said


def embed_captions(recipe: TrainRecipe, texts: list[str], out: Path) -> None:
    """The captions that have no file yet, in one task, with a GPU if there is one. The text encoder is gone with it.

    Raises:
        SyncLoraError: the text encoder cannot be loaded.
        OSError: the disk is full.
    """
    store = CaptionStore(out / "captions", recipe.text_encoder)
    if not store.missing(texts):
        return
    gpus = 1.0 if ray.cluster_resources().get("GPU") else 0.0  # type: ignore[no-untyped-call]

    @ray.remote(num_gpus=gpus, num_cpus=1, max_retries=2)
    def embed() -> str:
        device, dtype = ("cuda", torch.bfloat16) if gpus else ("cpu", torch.float32)
        try:
            store.embed(texts, find_backbone(recipe.backbone, recipe.revision), device, dtype)
        except (SyncLoraError, OSError) as error:
            return one_line(error)
        return ""

    if wrong := ray.get(embed.remote()):
        raise SyncLoraError(wrong)


def count_workers(recipe: TrainRecipe) -> int:
    """How many workers train: as many as asked for; else one per GPU, or two on CPUs, but no more than can share a batch equally."""
    if recipe.parallel.workers:
        return recipe.parallel.workers
    resources = ray.cluster_resources()  # type: ignore[no-untyped-call]
    most = int(resources.get("GPU", 0)) or min(2, int(resources.get("CPU", 1)))
    shares = recipe.batch // recipe.parallel.micro_batch
    return next((count for count in range(most, 0, -1) if shares % count == 0), 1)


def fit(job: Job, workers: int, console: Console) -> None:
    """Train to the last step; workers that die are started again from the newest intact checkpoint.

    Raises:
        SyncLoraError: the loss is no number, the run cannot start, or workers died more often than allowed. Checkpoints stay.
        OSError: the disk is full.
    """
    recipe, folder = job.recipe, job.checkpoints
    folder.mkdir(parents=True, exist_ok=True)
    if _begins_at(folder, console) >= recipe.steps:
        return
    checkpoint.sweep(folder, recipe.checkpoints.keep)
    (folder / "checkpoint_manager_snapshot.json").unlink(
        missing_ok=True
    )  # Ray's own list: of a life that is over, and of folders swept since
    verdict: Any = ray.remote(num_cpus=0)(Verdict).remote()
    trainer = ray.train.torch.TorchTrainer(
        _worker,
        train_loop_config={"job": job.to_json(), "verdict": verdict},  # as text: Ray's controller need not import the models
        torch_config=ray.train.torch.TorchConfig(timeout_s=COLLECTIVE_TIMEOUT_S),
        scaling_config=_scaling(recipe.parallel, workers),
        run_config=RunConfig(
            name=folder.name,
            storage_path=str(job.out),
            failure_config=FailureConfig(max_failures=recipe.faults.retries),
            checkpoint_config=CheckpointConfig(num_to_keep=recipe.checkpoints.keep),
        ),
    )
    died: Exception | None = None
    try:
        with _watched(job, console), _ctrl_c():
            trainer.fit()
    except ray.train.TrainingFailedError as error:
        died = error
    if said := ray.get(verdict.said.remote()):
        kind, why = said
        raise OSError(why) if kind == "disk" else SyncLoraError(why)
    if died:
        raise SyncLoraError(
            f"training workers died more than {recipe.faults.retries} times (last: {_last_words(died)}); run again to go on"
        ) from died


def _begins_at(folder: Path, console: Console) -> int:
    """The step that the run goes on from; says so."""
    kept, passed = checkpoint.newest(folder)
    for line in passed:
        console.print(f"{escape(line)}; going on from step {kept.step if kept else 0}")
    if kept and not passed:
        console.print(f"going on from step {kept.step}")
    return kept.step if kept else 0


def resources_of(parallel: ParallelSettings) -> dict[str, float]:
    """What each worker asks Ray for: a GPU where there are some or where the recipe says so."""
    gpus = float(ray.cluster_resources().get("GPU", 0))  # type: ignore[no-untyped-call]
    each = parallel.gpus_per_worker or (1.0 if gpus else 0.0)
    return {"CPU": parallel.cpus_per_worker} | ({"GPU": each} if each else {})


def _scaling(parallel: ParallelSettings, workers: int) -> ScalingConfig:
    each = resources_of(parallel)
    return ScalingConfig(num_workers=workers, use_gpu="GPU" in each, resources_per_worker=each)


def _worker(config: dict[str, Any]) -> None:
    """One worker's life.

    A worker that finds something wrong says so and dies: the others may be waiting for it, and Ray ends them with it. Started again, all of
    them hear the verdict and end in peace.
    """
    from synclora.train.loop import Diverged, Job, train
    from synclora.train.strategy import Worker

    job, verdict, context = Job.from_json(config["job"]), config["verdict"], ray.train.get_context()
    if ray.get(verdict.said.remote()):
        return
    device = ray.train.torch.get_device()
    if device.type == "cpu":
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // context.get_local_world_size()))

    def report(metrics: dict[str, float], folder: Path | None) -> None:
        kept = ray.train.Checkpoint.from_directory(str(folder)) if folder else None
        ray.train.report(metrics, checkpoint=kept, checkpoint_upload_mode=CheckpointUploadMode.NO_UPLOAD)

    try:
        train(job, Worker(context.get_world_rank(), context.get_world_size(), device), report)
    except Diverged as error:  # all workers find it at the same step
        ray.get(verdict.say.remote("wrong", one_line(error)))
    except torch.OutOfMemoryError as error:
        remedy = "set checkpointing: true, a smaller bucket or micro_batch, more cutting (zero3) or offload"
        ray.get(verdict.say.remote("wrong", f"a card's memory is too small for this recipe ({one_line(error)[:200]}); {remedy}"))
        raise
    except (SyncLoraError, OSError) as error:
        ray.get(verdict.say.remote("disk" if isinstance(error, OSError) else "wrong", one_line(error)))
        raise


@contextmanager
def _ctrl_c() -> Iterator[None]:
    """Ray Train takes Ctrl-C to itself, ends the workers, and then exits; here it stays what it is everywhere."""
    before = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit as error:
        raise KeyboardInterrupt from error
    finally:
        signal.signal(signal.SIGINT, before)


def _last_words(error: BaseException) -> str:
    failures = getattr(error, "worker_failures", None) or {0: error}
    words = one_line(next(iter(failures.values())))
    return words[-300:]


@contextmanager
def _watched(job: Job, console: Console) -> Iterator[None]:
    """A progress line from the log that worker 0 writes; on a log instead of a terminal, one line for every tenth of the way."""
    over = threading.Event()
    watcher = threading.Thread(target=_watch, args=(job, console, over), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


def _watch(job: Job, console: Console, over: threading.Event) -> None:
    total = job.recipe.steps
    columns = (TextColumn("training"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[facts]}"))
    with Progress(
        *columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console, disable=not console.is_terminal
    ) as progress:
        task, shown, finished = progress.add_task("training", total=total, facts=""), 0, False
        while not finished:
            finished = over.wait(1.0)
            steps = list(read_steps(job.out))
            if not steps:
                continue
            facts = _facts(steps[-20:], total)
            progress.update(task, completed=len(steps), facts=facts)
            if not console.is_terminal and len(steps) * 10 // total > shown:
                shown = len(steps) * 10 // total
                console.print(f"trained {len(steps)} of {total}: {facts}")


def _facts(recent: list[Step], total: int) -> str:
    seconds, loss, tokens = (fmean(step[name] for step in recent) for name in ("seconds", "loss", "tokens"))
    parts = [f"loss {loss:.3f}", f"{tokens / seconds:.0f} tokens/s"]
    if bare := recent[-1]["ceiling_s"]:
        parts.append(f"{bare / seconds:.0%} of the bare transformer")
    left = time.strftime("%H:%M:%S", time.gmtime((total - recent[-1]["step"]) * seconds))
    return ", ".join([*parts, f"{max(recent[-1]['memory_mb']):.0f} MB", f"{left} left"])
