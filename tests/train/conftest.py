"""One small encoded set per session, and runs on copies of it: four pairs of 64x64 pixels and 17 frames, the miniature, no Ray."""

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

from synclora.backbone.find import find_backbone
from synclora.report.runlog import Step
from synclora.train.captions import CaptionStore
from synclora.train.clips import EncodeSettings
from synclora.train.curated import Sample, read_set
from synclora.train.encoder import Encoder
from synclora.train.index import Encoded, write_index
from synclora.train.latents import LatentStore
from synclora.train.loop import Job, train
from synclora.train.recipe import TrainRecipe
from synclora.train.strategy import Worker
from synclora.train.watch import Log
from tests.train.sets import add_pair, finish

BACKBONE = "tiny:ltx-video"
BUCKET = "64x64x17"
TEXTS = ("3d1t", "", *(f"edit {name}" for name in "abcd"))
SMALL: dict[str, Any] = {
    "steps": 6,
    "batch": 2,
    "encode": {"buckets": [BUCKET]},
    "lora": {"rank": 4},
    "optimizer": {"lr": 2e-3},
    "parallel": {"strategy": "ddp"},
    "checkpoints": {"every": 2},
    "validation": {"every": 0, "pairs": 1, "sampler": {"steps": 2}},
}
TRACED = ("step", "loss", "losses", "sigmas", "grad_norm", "lr", "tokens")
"""What of a step's line depends on the recipe alone."""


class Prepared(NamedTuple):
    """What encoding leaves. Not to be written to."""

    out: Path
    samples: dict[str, Sample]
    rows: list[Encoded]


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """Pairs a, b, c and d, which look and brighten differently and have two frame rates; latents, index and captions by the real code."""
    folder = tmp_path_factory.mktemp("prepared")
    rows = [
        add_pair(
            folder / "set",
            name,
            size=(64, 64),
            frames=17,
            tint=20 + 40 * i,
            marker=(16 + 10 * i, 20 + 8 * i),
            fps=25 if i < 2 else Fraction(30000, 1001),
        )
        for i, name in enumerate("abcd")
    ]
    samples = read_set(finish(folder / "set", rows))
    backbone, out = find_backbone(BACKBONE), folder / "out"
    store = LatentStore(out / "latents")
    encoder = Encoder(backbone, EncodeSettings(buckets=(BUCKET,)), store)
    encoded = [encoder.encode(sample) for sample in samples]
    encoder.close()
    write_index(store.index, encoded)
    CaptionStore(out / "captions", BACKBONE).embed(TEXTS, backbone, "cpu", torch.float32)
    return Prepared(out, {sample.pair_id: sample for sample in samples}, encoded)


def recipe_of(**changes: Any) -> TrainRecipe:
    """The small recipe; of a nested setting only what is named changes."""
    merged = {
        name: {**SMALL.get(name, {}), **value} if isinstance(value, dict) else value for name, value in (SMALL | changes).items()
    }
    return TrainRecipe.from_values(merged, "test")


@pytest.fixture
def new_job(prepared: Prepared, tmp_path: Path) -> Callable[..., Job]:
    """Makes a run of its own on a copy of the latents: `new_job("name", steps=3)`."""

    def make(name: str = "run", **changes: Any) -> Job:
        out = tmp_path / name
        if not out.exists():
            shutil.copytree(prepared.out, out)
        return Job(out, recipe_of(**changes), prepared.samples)

    return make


def run(job: Job) -> list[tuple[dict[str, float], Path | None]]:
    """Train in this process; what was reported."""
    reports: list[tuple[dict[str, float], Path | None]] = []
    train(job, Worker(), lambda metrics, folder: reports.append((metrics, folder)))
    return reports


def saved(job: Job) -> list[str]:
    """Names of all that lies among the checkpoints."""
    return sorted(path.name for path in job.checkpoints.iterdir()) if job.checkpoints.exists() else []


def trace(out: Path) -> list[dict[str, Any]]:
    """The log, without clocks and memory."""
    lines = (out / "log" / "steps.jsonl").read_text(encoding="utf-8").splitlines()
    return [{name: step[name] for name in TRACED} for step in map(json.loads, lines)]


class Killed(Exception):
    """What ends a process, as far as its files can tell."""


@pytest.fixture
def kill(monkeypatch: pytest.MonkeyPatch) -> Callable[[int | None], None]:
    """Arms the log: the process ends right after this step's line; None disarms it."""
    write = Log.write

    def arm(step: int | None) -> None:
        def last_words(log: Log, facts: Step) -> None:
            write(log, facts)
            if facts["step"] == step:
                raise Killed

        monkeypatch.setattr(Log, "write", last_words)

    return arm


@pytest.fixture(scope="session")
def whole(
    prepared: Prepared, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[tuple[dict[str, float], Path | None]]]:
    """A run of the small recipe that nothing befell, and what it reported. Not to be written to."""
    out = tmp_path_factory.mktemp("whole") / "run"
    shutil.copytree(prepared.out, out)
    return out, run(Job(out, recipe_of(), prepared.samples))


def one_line(error: BaseException) -> str:
    """What an error says, if it says it on one line."""
    text = str(error)
    assert text
    assert "\n" not in text
    return text


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 1 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("a small disk cannot be mounted here")
    try:
        yield disk
    finally:
        subprocess.run(["umount", disk], check=True)


def fill(disk: Path) -> Path:
    """Leave no byte free; the file that takes the room."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(4096)):
            pass
    return ballast
