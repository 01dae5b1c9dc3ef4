"""One worker's loop without Ray: what it leaves is a function of the recipe alone, however often it was killed, and nothing bad is ever kept."""

import json
import shutil

import numpy as np
import psutil
import pytest
import torch

from synclora.backbone.find import find_backbone
from synclora.report.validations import read_validations
from synclora.train import checkpoint
from synclora.train.adapter import save_adapter
from synclora.train.captions import CaptionStore
from synclora.train.index import read_index
from synclora.train.latents import LatentStore
from synclora.train.loop import Trainer, peak_memory_mb
from synclora.train.lora import AdapterError, lora_state
from synclora.train.strategy import Worker
from synclora.train.trainset import split
from tests.train.adapters import metadata
from tests.train.conftest import Killed, recipe_of, run, saved, trace


def state_bytes(out, name="step-000006"):
    """The bytes of a checkpoint."""
    return {path.name: path.read_bytes() for path in (out / "checkpoints" / name).iterdir()}


def test_what_a_run_leaves(whole):
    out, reports = whole
    steps = [json.loads(line) for line in (out / "log" / "steps.jsonl").read_text().splitlines()]
    assert [step["step"] for step in steps] == [1, 2, 3, 4, 5, 6]
    for step in steps:
        assert len(step["losses"]) == len(step["sigmas"]) == 2
        assert step["loss"] == pytest.approx(np.mean(step["losses"]), rel=1e-6)
        assert all(0 <= sigma <= 1 for sigma in step["sigmas"])
        assert step["lr"] == pytest.approx(2e-3 * (1 - (step["step"] - 1) / 6))
        assert step["tokens"] == 2 * 2 * 12
        assert step["grad_norm"] > 0
        assert 0 < step["ceiling_s"] < 10
        assert 0 < step["seconds"] < 60
        assert len(step["memory_mb"]) == 1
    assert sorted(path.name for path in (out / "checkpoints").iterdir()) == ["step-000002", "step-000004", "step-000006"]
    assert [(metrics["step"], folder.name) for metrics, folder in reports] == [(n, f"step-{n:06d}") for n in (2, 4, 6)]
    assert [metrics["loss"] for metrics, _ in reports] == [steps[n - 1]["loss"] for n in (2, 4, 6)]
    first, last = (checkpoint.read(out / "checkpoints" / f"step-{n:06d}").load() for n in (2, 6))
    assert (first.steps, last.steps) == (2, 6)
    assert any(not torch.equal(first.weights[name], last.weights[name]) for name in last.weights)
    assert checkpoint.read(out / "checkpoints" / "step-000006").recipe == json.loads(json.dumps(recipe_of().deciding()))
    assert not list(out.rglob("*.part"))


def test_every_step_has_draws_of_its_own(whole):
    assert len({sigma for step in trace(whole[0]) for sigma in step["sigmas"]}) == 12


def test_the_last_step_is_kept_wherever_it_falls(whole, new_job):
    job = new_job(steps=3)
    run(job)
    assert saved(job) == ["step-000002", "step-000003"]


def test_a_finished_run_trains_no_more(whole, new_job):
    out, _ = whole
    job = new_job()
    shutil.copytree(out, job.out, dirs_exist_ok=True)
    assert run(job) == []
    assert trace(job.out) == trace(out)
    assert state_bytes(job.out) == state_bytes(out)


def test_it_begins_with_an_adapter_that_is_given_and_goes_on_without_it(whole, new_job, tmp_path):
    out, _ = whole
    state = checkpoint.read(out / "checkpoints" / "step-000006").load().weights
    start = tmp_path / "start"
    rank = recipe_of().lora.rank
    save_adapter(start, state, metadata(rank=rank, alpha=rank))
    job = new_job(steps=2, lora={"start": str(start)}, context={"mode": "causal-source"})
    begun = Trainer(job, Worker(), lambda *_: None)
    found = lora_state(begun._stream.transformer)
    assert all(torch.equal(found[name], tensor) for name, tensor in state.items())
    run(job)
    shutil.rmtree(start)
    longer = new_job(steps=3, lora={"start": str(start)}, context={"mode": "causal-source"})
    run(longer)  # from the second step's checkpoint: the adapter may be gone
    assert [step["step"] for step in trace(longer.out)] == [1, 2, 3]
    with pytest.raises(AdapterError):
        run(new_job("new", steps=2, lora={"start": str(start)}))


def test_killed_after_any_step_it_ends_with_the_same_trace_and_bytes(whole, new_job, kill):
    out, _ = whole
    for step in range(1, 6):
        job = new_job(f"killed-{step}")
        kill(step)
        with pytest.raises(Killed):
            run(job)
        assert saved(job) == [f"step-{n:06d}" for n in (2, 4) if n < step]
        kill(None)
        run(job)
        assert trace(job.out) == trace(out)
        assert state_bytes(job.out) == state_bytes(out)


def test_killed_again_and_again(whole, new_job, kill):
    out, _ = whole
    job = new_job()
    for step in (1, 3, 4, 6):
        kill(step)
        with pytest.raises(Killed):
            run(job)
        assert trace(job.out) == trace(out)[:step]  # cut back to the checkpoint, then gone on
    kill(None)
    run(job)
    assert trace(job.out) == trace(out)
    assert state_bytes(job.out) == state_bytes(out)


def test_killed_while_it_tells_of_a_checkpoint(whole, new_job):
    out, _ = whole
    job = new_job()

    def report(metrics, folder):
        raise Killed

    with pytest.raises(Killed):
        Trainer(job, Worker(), report).run()
    assert saved(job) == ["step-000002"]
    run(job)
    assert trace(job.out) == trace(out)


def test_a_corrupt_newest_checkpoint_costs_its_steps_alone(whole, new_job):
    out, _ = whole
    job = new_job()
    shutil.copytree(out, job.out, dirs_exist_ok=True)
    path = job.checkpoints / "step-000006" / "optimizer.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    reports = run(job)
    assert [folder.name for _, folder in reports] == ["step-000006-2"]
    assert trace(job.out) == trace(out)
    assert state_bytes(job.out, "step-000006-2") == state_bytes(out)


def test_another_seed_is_another_run(whole, new_job):
    one, other = trace(whole[0]), trace_of(new_job(seed=1, steps=2))
    assert one[0]["sigmas"] != other[0]["sigmas"]
    assert one[0]["loss"] != other[0]["loss"]


def trace_of(job):
    run(job)
    return trace(job.out)


def close(one, other, rel=2e-5):
    assert len(one) == len(other)
    for mine, theirs in zip(one, other, strict=True):
        assert mine["sigmas"] == theirs["sigmas"]
        assert mine["tokens"] == theirs["tokens"]
        for name in ("loss", "grad_norm", "losses"):
            assert mine[name] == pytest.approx(theirs[name], rel=rel), name


@pytest.mark.parametrize(
    "how",
    [{"checkpointing": True}, {"parallel": {"micro_batch": 2}}, {"checkpointing": True, "context": {"mode": "causal-source"}}],
    ids=["checkpointing", "one call", "checkpointing causal-source"],
)
def test_how_it_is_computed_changes_rounding_only(whole, new_job, how):
    expected = trace(whole[0])
    if "context" in how:
        expected = trace_of(new_job("expected", context=how["context"]))
        assert expected[1]["loss"] != trace(whole[0])[1]["loss"]  # the other mode is another model
    close(trace_of(new_job("other", **how)), expected)


@pytest.mark.parametrize(("checkpointing", "passes"), [(False, 2), (True, 4)])
def test_with_checkpointing_activations_are_computed_again(new_job, checkpointing, passes):
    trainer, seen = Trainer(new_job(steps=1, checkpointing=checkpointing), Worker(), lambda *_: None), []
    trainer._stream.transformer.transformer_blocks[1].attn1.register_forward_hook(lambda *_: seen.append(1))
    trainer.run()
    assert len(seen) == passes  # two samples, one at a time


def test_held_out_clips_are_never_read(whole, new_job):
    job = new_job()
    _, held_out = split(read_index(LatentStore(job.out / "latents").index), 1)
    LatentStore(job.out / "latents").path(held_out[0].id).unlink()
    assert trace_of(job) == trace(whole[0])


def test_four_calls_or_one(new_job):
    one, four = (
        trace_of(new_job(name, steps=3, batch=4, parallel={"micro_batch": size})) for name, size in (("one", 4), ("four", 1))
    )
    close(four, one)


LEARNS = {"steps": 20, "batch": 4, "parallel": {"micro_batch": 4}, "optimizer": {"lr": 1e-2, "schedule": "constant"}}
LEARNS |= {"validation": {"pairs": 3}, "checkpoints": {"every": 20}}


@pytest.mark.parametrize(
    "how",
    [{"context": {"mode": "shared"}}, {"context": {"mode": "causal-source"}}, {"precision": "bf16"}, {"backbone": "tiny:ltx-2"}],
    ids=["shared", "causal-source", "bf16", "ltx-2"],
)
def test_it_learns_one_clip(prepared, new_job, how):
    job = new_job(**LEARNS | how)
    if "backbone" in how:  # whose latents have the same shape
        CaptionStore(job.out / "captions", how["backbone"]).embed(
            ["3d1t", ""], find_backbone(how["backbone"]), "cpu", torch.float32
        )
    losses = [step["loss"] for step in trace_of(job)]
    assert np.isfinite(losses).all()
    assert np.mean(losses[-5:]) < 0.7 * np.mean(losses[:5])


def test_in_bf16_it_goes_on_exactly(new_job, kill):
    whole = new_job("whole", precision="bf16", steps=4)
    run(whole)
    job = new_job("killed", precision="bf16", steps=4)
    kill(3)
    with pytest.raises(Killed):
        run(job)
    kill(None)
    run(job)
    assert trace(job.out) == trace(whole.out)
    assert state_bytes(job.out, "step-000004") == state_bytes(whole.out, "step-000004")
    assert all(tensor.dtype == torch.float32 for tensor in checkpoint.newest(job.checkpoints)[0].load().weights.values())


def test_steps_without_a_source_have_half_the_tokens(new_job):
    job = new_job(steps=8, context={"drop_source": 0.5, "first_frame": 0.5, "drop_caption": 0.5}, checkpoints={"every": 8})
    run(job)
    steps = [json.loads(line) for line in (job.out / "log" / "steps.jsonl").read_text().splitlines()]
    assert {step["tokens"] for step in steps} == {24, 48}
    assert all((step["ceiling_s"] is None) == (step["tokens"] == 24) for step in steps)  # known for whole steps only


def test_each_pair_has_its_own_caption_or_all_have_one(prepared, new_job):
    assert new_job("own", caption=None).captions == {name: f"edit {name}" for name in "abcd"}
    assert new_job("one").captions == dict.fromkeys("abcd", "3d1t")
    own, one = (trace_of(new_job(name, caption=text, steps=1)) for name, text in (("own", None), ("one", "3d1t")))
    assert own[0]["sigmas"] == one[0]["sigmas"]
    assert own[0]["loss"] != one[0]["loss"]


def test_looking_at_it_changes_nothing(whole, new_job):
    job = new_job(validation={"every": 4})
    run(job)
    assert [result.step for result in read_validations(job.out)] == [0, 4, 6]
    assert trace(job.out) == trace(whole[0])
    assert state_bytes(job.out) == state_bytes(whole[0])


def test_peak_memory_is_this_processs_in_megabytes():
    now = psutil.Process().memory_info().rss / 2**20
    assert 0.9 * now < peak_memory_mb(torch.device("cpu")) < 20 * now
