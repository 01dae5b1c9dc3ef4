"""Training runs under DeepSpeed, in a process of their own: one worker and gloo, without Ray.

python -m tests.train.zero_runs PREPARED FOLDER        # FOLDER/<name>: each of RUNS to its end; FOLDER/<name>-again: killed half-way and gone on
"""

import os
import shutil
import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from synclora.train.curated import Sample, read_set
from synclora.train.loop import Job
from tests.train.conftest import recipe_of, run

HALF, STEPS = 2, 4
RUNS: dict[str, dict[str, Any]] = {
    "ddp": {},
    "zero1": {"parallel": {"micro_batch": 2}},
    "zero2-offload": {"parallel": {"offload": "optimizer"}},
    "zero3-offload": {"parallel": {"offload": "all"}},
    "zero1-bf16": {"precision": "bf16"},
    "zero3-bf16": {"precision": "bf16", "checkpointing": True},
}
MOVES = (("ddp", "zero2"), ("zero1", "zero3"), ("zero3-offload", "ddp"))
"""Begun under one strategy, gone on under another: FOLDER/<one>-to-<other>."""
LEARNS = {"steps": 16, "batch": 4, "parallel": {"strategy": "zero2", "micro_batch": 4}, "precision": "bf16"}
LEARNS |= {"optimizer": {"lr": 1e-2, "schedule": "constant"}, "validation": {"pairs": 3}, "checkpoints": {"every": 16}}


def _recipe(name: str, changes: dict[str, Any]) -> dict[str, Any]:
    parallel = {"strategy": name.split("-")[0]} | changes.get("parallel", {})
    small = {"steps": STEPS, "checkpoints": {"every": HALF}, "lora": {"targets": "self-attention"}}
    return small | changes | {"parallel": parallel}


def _half_of(done: Path, out: Path) -> None:
    """The run as a kill after the first checkpoint leaves it."""
    shutil.copytree(done, out)
    for path in (out / "checkpoints").iterdir():
        if path.name != f"step-{HALF:06d}":
            shutil.rmtree(path)


def main(prepared: Path, folder: Path) -> None:
    """All of them."""
    samples: dict[str, Sample] = {sample.pair_id: sample for sample in read_set(prepared / "set")}
    torch.set_num_threads(1)
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0", "RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0"}
    dist.init_process_group("gloo", init_method=f"file://{folder / 'rendezvous'}", rank=0, world_size=1)

    def train(out: Path, changes: dict[str, Any]) -> None:
        if not out.exists():
            shutil.copytree(prepared / "out", out)
        run(Job(out, recipe_of(**changes), samples))

    for name, changes in RUNS.items():
        train(folder / name, _recipe(name, changes))
        if name != "ddp":  # which is test_loop.py's
            _half_of(folder / name, folder / f"{name}-again")
            train(folder / f"{name}-again", _recipe(name, changes))
    for one, other in MOVES:
        out = folder / f"{one}-to-{other}"
        _half_of(folder / one, out)
        train(out, _recipe(other, {}))
    train(folder / "learns", LEARNS)
    dist.destroy_process_group()


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
