"""What the tests of jobs/train.py share: a small set, the command as a process, one run that nothing disturbed."""

import io
import json
import shutil
import subprocess
from collections.abc import Callable
from contextlib import nullcontext, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest

from synclora.report.runlog import Step, read_steps
from tests.jobs.conftest import curate, joined
from tests.train.sets import add_pair, finish

RECIPE = """
steps: 12
batch: 4
encode: {buckets: [128x128x17]}
encode_resources: {actors: 1}
lora: {rank: 8}
optimizer: {lr: 0.002}
checkpoints: {every: 4}
validation: {every: 0, pairs: 0}
parallel: {workers: 2}
"""


class Trained(NamedTuple):
    """A finished run."""

    out: Path
    stdout: str
    stderr: str

    @property
    def trace(self) -> list[tuple[object, ...]]:
        return trace(self.out)


def trace(out: Path) -> list[tuple[object, ...]]:
    """What a run computed, step by step, without its clocks."""
    return [
        (step["step"], step["loss"], step["losses"], step["sigmas"], step["grad_norm"], step["lr"]) for step in read_steps(out)
    ]


def steps_done(out: Path) -> int:
    return sum(1 for _ in read_steps(out))


def furthest(one: list[Step], other: list[Step]) -> float:
    """The largest relative difference of any step's loss and gradient norm."""
    assert [step["step"] for step in one] == [step["step"] for step in other]
    pairs = zip(one, other, strict=True)
    return max(abs(a[name] - b[name]) / abs(b[name]) for a, b in pairs for name in ("loss", "grad_norm"))


def train(*words: object, status: int = 0, **env: str) -> subprocess.CompletedProcess[str]:
    return curate(*words, status=status, job="train", **env)


class Here(NamedTuple):
    """How a run within this process ended."""

    status: int
    stdout: str
    stderr: str


def train_here(*words: object, address: str | None = None) -> Here:
    """The command within this process, which spares the seconds of another one's imports; on the warm cluster at `address`, which it has joined.
    Without it, nothing is to ask for Ray."""
    from jobs.train import main

    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setenv("COLUMNS", "200")
        with joined(address) if address else nullcontext():
            status = main([str(word) for word in words])
    return Here(status, out.getvalue(), err.getvalue())


def training_workers() -> list[psutil.Process]:
    """The training workers of whatever run is under way."""
    return [one for one in psutil.process_iter(["cmdline"]) if "ray::RayTrainWorker" in " ".join(one.info["cmdline"] or [])]


@pytest.fixture(scope="session")
def small_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four drawn pairs, as jobs/curate.py would have kept them."""
    folder = tmp_path_factory.mktemp("set")
    return finish(folder, [add_pair(folder, f"p{k}", tint=20 + 30 * k, marker=(30 + 15 * k, 40)) for k in range(4)])


@pytest.fixture(scope="session")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "small.yaml"
    path.write_text(RECIPE)
    return path


@pytest.fixture(scope="package")
def trained(small_set: Path, recipe: Path, tmp_path_factory: pytest.TempPathFactory, ray_address: str) -> Trained:
    """One run that nothing disturbed: two workers, ZeRO-1. Not to be written to: take `begun` or copy it."""
    out = tmp_path_factory.mktemp("trained") / "out"
    done = train("--set", small_set, "--out", out, "--recipe", recipe, RAY_ADDRESS=ray_address)
    return Trained(out, done.stdout, done.stderr)


@pytest.fixture
def begun(trained: Trained, tmp_path: Path) -> Callable[[int], Path]:
    """begun(done): a copy of the run as it was at one of its checkpoints; begun(0) has its latents only."""

    def at(done: int) -> Path:
        out = tmp_path / f"begun-{done}"
        shutil.copytree(trained.out, out)
        for name in ("adapter", "report.html", "validation"):
            shutil.rmtree(out / name, ignore_errors=True)
        for folder in (out / "checkpoints").glob("step-*"):
            if int(folder.name.removeprefix("step-")) > done:
                shutil.rmtree(folder)
        lines = [json.dumps(step) for step in read_steps(out) if step["step"] <= done + 1]  # one more than the checkpoint knows
        (out / "log" / "steps.jsonl").write_text("".join(f"{line}\n" for line in lines))
        return out

    return at
