"""One of several training workers, which says what it held at most, beyond what a worker of the miniature holds.

    python -m tests.benchmarks.memory_worker OUT SET MINIATURE.yaml RECIPE.yaml RENDEZVOUS SCALE RANK WORLD

Counted is resident memory, by /proc: torch keeps no account of a CPU's memory. First the process trains the miniature for two steps in the same
way, so that libraries, thread pools and gloo's buffers are there; what it then holds is taken off. Prints one JSON object, MB: `loading`, the
peak until the first step, and `training`, that of the steps; in between the kernel's high-water mark is set back.

SCALE multiplies the limits of ZeRO that count parameters, 1 leaves them.
"""

import gc
import json
import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from synclora.train import strategy
from synclora.train.curated import read_set
from synclora.train.loop import Job, Trainer
from synclora.train.recipe import TrainRecipe
from synclora.train.strategy import Worker

STEPS = 3
"""After the first, which makes the optimizer's states."""

_LIMITS = {"reduce_bucket_size": 5e8, "stage3_max_live_parameters": 1e9, "stage3_max_reuse_distance": 1e9} | {
    "stage3_prefetch_bucket_size": 5e7
}
"""DeepSpeed's defaults, in parameters."""


def status_mb(field: str) -> float:
    """A line of /proc/self/status."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{field}:"))


def forget_peak() -> None:
    """From here on the high-water mark counts anew."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")


def scale_limits(scale: float) -> None:
    """As if the recipe said so, which it cannot."""
    as_made = strategy.zero_config

    def scaled(*settings: Any, **more: Any) -> dict[str, Any]:
        config = as_made(*settings, **more)
        if scale != 1:
            config["zero_optimization"] |= {name: int(limit * scale) for name, limit in _LIMITS.items()}
        return config

    strategy.zero_config = scaled


def main() -> None:
    out, curated, miniature, recipe, rendezvous = map(Path, sys.argv[1:6])
    scale_limits(float(sys.argv[6]))
    worker = Worker(*map(int, sys.argv[7:]))
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", store=dist.FileStore(str(rendezvous), worker.world), rank=worker.rank, world_size=worker.world
    )
    samples = {sample.pair_id: sample for sample in read_set(curated)}

    def started(path: Path) -> Trainer:
        return Trainer(Job(out, TrainRecipe.from_yaml(path), samples), worker, lambda metrics, folder: None)

    small = started(miniature)
    small._step(0), small._step(1)
    forget_peak()
    before = status_mb("VmRSS")
    trainer = started(recipe)
    held = {"loading": status_mb("VmHWM") - before}
    trainer._step(0)
    forget_peak()
    for number in range(STEPS):
        trainer._step(1 + number)
    held["training"] = status_mb("VmHWM") - before
    print(json.dumps(held))
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
