"""What a run cannot go on from, or cannot begin with: one line, and nothing that was good is lost."""

import json
import math

import pytest
from safetensors.torch import load_file, save_file

from synclora.errors import SyncLoraError
from synclora.train import checkpoint
from synclora.train.batches import Plan
from synclora.train.curated import TrainSetError
from synclora.train.index import read_index
from synclora.train.latents import LatentStore
from synclora.train.loop import Diverged, Trainer, check_sharing
from synclora.train.lora import AdapterError
from synclora.train.strategy import Worker
from synclora.train.trainset import split
from tests.train.conftest import one_line, recipe_of, run, saved, trace


def trained_clips(job):
    """The clips that are trained on, and their order."""
    rows, _ = split(read_index(LatentStore(job.out / "latents").index), job.recipe.validation.pairs)
    return rows, Plan([row.grid for row in rows], job.recipe.batch, job.recipe.seed)


def poison(job, number, value=math.nan):
    """Make a trained clip's edited half no number; what it was, to be put back."""
    rows, _ = trained_clips(job)
    path = LatentStore(job.out / "latents").path(rows[number].id)
    whole = path.read_bytes()
    header = int.from_bytes(whole[:8], "little")
    about = json.loads(whole[8 : 8 + header])["__metadata__"]
    latents = load_file(path)
    latents["edited"][0, 1, 0, 0] = value
    save_file(latents, path, about)
    return path, whole


def test_a_loss_that_is_no_number_stops_it_and_says_where(new_job):
    job = new_job(seed=5, checkpoints={"every": 1})
    rows, plan = trained_clips(job)
    assert [plan.batch(0), plan.batch(1)] == [[2, 2], [1, 0]]
    path, content = poison(job, 0)
    with pytest.raises(Diverged) as error:
        run(job)
    assert saved(job) == ["step-000001"]
    assert len(trace(job.out)) == 1
    state = checkpoint.newest_or_refuse(job.checkpoints).load()
    assert all(tensor.isfinite().all() for tensor in state.weights.values())
    path.write_bytes(content)
    run(job)
    steps = trace(job.out)
    assert [step["step"] for step in steps] == [1, 2, 3, 4, 5, 6]
    assert one_line(error.value) == (
        f"step 2: the loss is nan (clips {rows[0].name}; noise levels {steps[1]['sigmas'][1]:.2f}); the checkpoint of step 1 stays; "
        "lower optimizer.lr or look at these clips"
    )


def test_it_says_when_there_is_no_checkpoint_yet(new_job):
    job = new_job()
    for number in range(3):
        poison(job, number)
    with pytest.raises(
        Diverged, match=r"^step 1: the loss is nan .*; there is no checkpoint yet; lower optimizer\.lr or look at"
    ) as error:
        run(job)
    one_line(error.value)
    assert not job.checkpoints.exists()


def test_an_infinite_loss_is_no_number_either(new_job):
    job = new_job()
    for number in range(3):
        poison(job, number, 1e30)
    with pytest.raises(Diverged, match=r"^step 1: the loss is (inf|nan) "):
        run(job)


def test_a_gradient_that_is_no_number_stops_it_too(new_job):
    job = new_job(checkpoints={"every": 1})
    trainer = Trainer(job, Worker(), lambda *_: None)
    parameter = next(parameter for parameter in trainer._stream.transformer.parameters() if parameter.requires_grad)
    calls = []
    parameter.register_hook(
        lambda gradient: calls.append(1) or (gradient * math.nan if len(calls) > 2 else gradient)
    )  # its second step
    with pytest.raises(Diverged, match=r"^step 2: the gradient is nan .*; the checkpoint of step 1 stays; ") as error:
        trainer.run()
    rows, plan = trained_clips(job)
    assert ", ".join(rows[number].name for number in plan.batch(1)) in one_line(error.value)
    assert saved(job) == ["step-000001"]
    assert all(tensor.isfinite().all() for tensor in checkpoint.newest(job.checkpoints)[0].load().weights.values())


def test_a_learning_rate_that_is_far_too_high(new_job):
    job = new_job(optimizer={"lr": 1e30}, checkpoints={"every": 1})
    with pytest.raises(Diverged, match=r"lower optimizer\.lr"):
        run(job)
    assert len(saved(job)) == len(trace(job.out)) < 6


@pytest.mark.parametrize(
    ("batch", "micro", "workers", "each"),
    [(4, 1, 3, 3), (4, 3, 1, 3), (4, 2, 4, 8), (1, 1, 2, 2)],
)
def test_a_batch_that_cannot_be_shared_is_refused(batch, micro, workers, each):
    recipe = recipe_of(batch=batch, parallel={"micro_batch": micro})
    with pytest.raises(SyncLoraError) as error:
        check_sharing(recipe, workers)
    expected = f"batch = {batch}: {workers} workers with parallel.micro_batch = {micro} need a multiple of {each}"
    assert one_line(error.value) == expected
    check_sharing(recipe_of(batch=2 * each, parallel={"micro_batch": micro}), workers)


def test_the_loop_itself_refuses_it_too(new_job):
    job = new_job(batch=4, parallel={"micro_batch": 3})
    with pytest.raises(SyncLoraError, match="need a multiple of 3"):
        run(job)
    assert not (job.out / "log").exists()


def test_a_rank_that_is_too_large(new_job):
    with pytest.raises(AdapterError, match=r"^rank = 500: ") as error:
        run(new_job(lora={"rank": 500}))
    assert "choose 128 or less" in one_line(error.value)


def test_latents_that_are_missing(new_job):
    job = new_job()
    for path in (job.out / "latents").rglob("*.safetensors"):
        path.unlink()
    with pytest.raises(TrainSetError, match="no such file; encode the set again") as error:
        run(job)
    one_line(error.value)


def test_an_index_that_is_missing(new_job):
    job = new_job()
    LatentStore(job.out / "latents").index.unlink()
    with pytest.raises(TrainSetError, match=r"^index .*: no such file on .*; encode the set") as error:
        run(job)
    one_line(error.value)


def test_too_many_pairs_held_out(new_job):
    with pytest.raises(TrainSetError, match="nothing is left to train on"):
        run(new_job(validation={"pairs": 4}))
