"""However the work is spread, the same is computed: ZeRO-1, 2, 3 and DDP on two workers of Ray Train against one process without it.

Tolerance: 2e-6 of each step's loss and gradient norm, over twelve steps. Sums of float32 in another order differ by about 1e-7.
"""

import shutil
from pathlib import Path

import pytest
import ray
import ray.train.torch

from synclora.report.runlog import read_steps
from synclora.train.checkpoint import newest
from synclora.train.curated import read_set
from synclora.train.loop import Job, train
from synclora.train.recipe import TrainRecipe
from synclora.train.strategy import Worker
from tests.jobs.train.conftest import furthest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300), pytest.mark.usefixtures("driver")]

TOLERANCE = 2e-6


SPREAD = {"ddp": ("none", 2), "zero2": ("optimizer", 1), "zero3": ("none", 2)}
"""Strategies: what is offloaded, the size of a micro batch."""


def job_of(out: Path, small_set: Path, recipe: Path, **parallel: object) -> Job:
    values = TrainRecipe.from_yaml(recipe).model_dump()
    values["parallel"] |= parallel
    return Job(out, TrainRecipe.from_values(values, "test"), {sample.pair_id: sample for sample in read_set(small_set)})


def with_latents(trained, out: Path) -> Path:
    """A new folder with nothing but what need not be encoded again."""
    for name in ("latents", "captions"):
        shutil.copytree(trained.out / name, out / name)
    (out / "checkpoints").mkdir()
    return out


@pytest.fixture(scope="module")
def alone(trained, small_set, recipe, tmp_path_factory):
    """This process, all four samples of a step in one call."""
    out = with_latents(trained, tmp_path_factory.mktemp("alone") / "out")
    train(job_of(out, small_set, recipe, strategy="ddp", micro_batch=4), Worker(), lambda metrics, folder: None)
    return out


@pytest.fixture(scope="module")
def spread(trained, small_set, recipe, tmp_path_factory):
    """The runs of SPREAD, by name: one after the other in one group of two workers, whose start costs more than they do."""
    folder = tmp_path_factory.mktemp("spread")
    outs = {strategy: with_latents(trained, folder / strategy) for strategy in SPREAD}
    jobs = [
        job_of(outs[strategy], small_set, recipe, strategy=strategy, offload=offload, micro_batch=micro).to_json()
        for strategy, (offload, micro) in SPREAD.items()
    ]

    def each(config):
        import ray.train
        import torch

        from synclora.train.loop import Job, train
        from synclora.train.strategy import Worker

        torch.set_num_threads(1)
        context = ray.train.get_context()
        for job in config["jobs"]:
            worker = Worker(context.get_world_rank(), context.get_world_size(), ray.train.torch.get_device())
            train(Job.from_json(job), worker, lambda metrics, folder: None)

    run = ray.train.RunConfig(name="ray", storage_path=str(folder))
    scaling = ray.train.ScalingConfig(num_workers=2, resources_per_worker={"CPU": 0.5})
    ray.train.torch.TorchTrainer(each, train_loop_config={"jobs": jobs}, scaling_config=scaling, run_config=run).fit()
    return outs


def test_zero_1_on_two_workers(alone, trained):
    assert furthest(list(read_steps(trained.out)), list(read_steps(alone))) < TOLERANCE


@pytest.mark.parametrize("strategy", SPREAD)
def test_two_workers(strategy, alone, spread):
    out = spread[strategy]
    assert furthest(list(read_steps(out)), list(read_steps(alone))) < TOLERANCE
    (kept, _), (wanted, _) = newest(out / "checkpoints"), newest(alone / "checkpoints")
    weights, others = kept.load().weights, wanted.load().weights
    assert list(weights) == list(others)
    apart = sum(float((weights[name] - others[name]).square().sum()) for name in weights) ** 0.5
    assert (
        apart < 1e-3 * sum(float(one.square().sum()) for one in others.values()) ** 0.5
    )  # AdamW makes whole steps of a gradient that is all rounding


def test_another_number_of_workers_and_another_strategy_goes_on(trained, begun, small_set, recipe):
    out = begun(8)
    train(job_of(out, small_set, recipe, strategy="ddp"), Worker(), lambda metrics, folder: None)
    steps, wanted = list(read_steps(out)), list(read_steps(trained.out))
    assert [step["losses"] for step in steps[:8]] == [step["losses"] for step in wanted[:8]]  # the part that was there already
    assert furthest(steps, wanted) < TOLERANCE
