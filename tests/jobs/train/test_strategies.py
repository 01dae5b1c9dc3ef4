"""However the work is spread, the same is computed: ZeRO-1, 2, 3 and DDP on two workers against one process, through Ray Train.

Tolerance: 2e-6 of each step's loss and gradient norm, over twelve steps. Sums of float32 in another order differ by about 1e-7.
"""

import io
from pathlib import Path

import pytest
from rich.console import Console

from synclora.report.runlog import read_steps
from synclora.train.checkpoint import newest
from synclora.train.curated import read_set
from synclora.train.loop import Job
from synclora.train.recipe import TrainRecipe
from tests.jobs.train.conftest import furthest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300), pytest.mark.usefixtures("on_ray")]

TOLERANCE = 2e-6


def fitted(out: Path, small_set: Path, recipe: Path, workers: int, **parallel: object) -> Path:
    from jobs.training import fit

    values = TrainRecipe.from_yaml(recipe).model_dump()
    values["parallel"] |= parallel
    job = Job(out, TrainRecipe.from_values(values, "test"), {sample.pair_id: sample for sample in read_set(small_set)})
    fit(job, workers, Console(file=io.StringIO()))
    return out


@pytest.fixture(scope="module")
def alone(trained, small_set, recipe, tmp_path_factory, on_ray):
    """One process, all four samples of a step in one call."""
    import shutil

    out = tmp_path_factory.mktemp("alone") / "out"
    out.mkdir()
    for name in ("latents", "captions"):
        shutil.copytree(trained.out / name, out / name)
    return fitted(out, small_set, recipe, 1, strategy="ddp", micro_batch=4)


def test_zero_1_on_two_workers(alone, trained):
    assert furthest(list(read_steps(trained.out)), list(read_steps(alone))) < TOLERANCE


@pytest.mark.parametrize(("strategy", "offload", "micro"), [("ddp", "none", 2), ("zero2", "optimizer", 1), ("zero3", "none", 2)])
def test_two_workers(strategy, offload, micro, alone, begun, small_set, recipe):
    out = fitted(begun(0), small_set, recipe, 2, strategy=strategy, offload=offload, micro_batch=micro)
    assert furthest(list(read_steps(out)), list(read_steps(alone))) < TOLERANCE
    (kept, _), (wanted, _) = newest(out / "checkpoints"), newest(alone / "checkpoints")
    weights, others = kept.load().weights, wanted.load().weights
    assert list(weights) == list(others)
    apart = sum(float((weights[name] - others[name]).square().sum()) for name in weights) ** 0.5
    assert (
        apart < 1e-3 * sum(float(one.square().sum()) for one in others.values()) ** 0.5
    )  # AdamW makes whole steps of a gradient that is all rounding


def test_another_number_of_workers_and_another_strategy_goes_on(trained, begun, small_set, recipe):
    out = fitted(begun(8), small_set, recipe, 1, strategy="ddp")
    steps, wanted = list(read_steps(out)), list(read_steps(trained.out))
    assert [step["losses"] for step in steps[:8]] == [step["losses"] for step in wanted[:8]]  # the part that was there already
    assert furthest(steps, wanted) < TOLERANCE
