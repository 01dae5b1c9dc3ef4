"""jobs/train.py from the outside: what a run leaves, and what it says."""

import json
import shutil

import pytest

from synclora.report.runlog import read_steps
from synclora.report.validations import read_validations
from synclora.train.adapter import load_adapter
from tests.jobs.train.conftest import trace, train_here

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def test_what_lies_in_the_output_folder(trained):
    out = trained.out
    assert {path.name for path in out.iterdir() if not path.name.startswith(".")} == {
        *("adapter", "captions", "checkpoints", "latents", "log", "report.html", "synclora.json"),
    }
    assert {path.name for path in (out / "adapter").iterdir()} == {
        *("README.md", "comfyui.safetensors", "pytorch_lora_weights.safetensors"),
    }
    assert sorted(path.name for path in (out / "checkpoints").glob("step-*")) == ["step-000004", "step-000008", "step-000012"]
    assert not list(out.rglob("*.part"))
    assert json.loads((out / "synclora.json").read_text())["kind"] == "synclora-training"
    state, metadata = load_adapter(out / "adapter")
    assert len(state) == 2 * 4 * 10
    assert any(bool(tensor.abs().max() > 0) for name, tensor in state.items() if "lora_B" in name)
    facts = (
        metadata.steps,
        metadata.rank,
        metadata.caption,
        metadata.attention_mode,
        metadata.trained_pairs,
        metadata.random_base,
    )
    assert facts == (12, 8, "3d1t", "shared", 4, True)
    assert "random weights" in (out / "adapter" / "README.md").read_text()
    assert "Random weights" in (out / "report.html").read_text()


def test_it_says_how_it_went_and_nothing_else(trained):
    assert trained.stderr == ""
    said = " ".join(trained.stdout.split())
    for line in (
        "encoded 4 of 4: 4 encoded 0 found 0 dropped",
        "trained 12 of 12: loss",
        "clips 4 = 4 encoded + 0 found + 0 dropped",
        "workers 2, zero1",
        "steps 12 of 4 samples",
        "weights random: this proves the plumbing, not a picture",
    ):
        assert line in said
    for noise in ("WARNING", "INFO", "ray::", "Error", "Traceback", "Loading", "accelerator"):
        assert noise not in trained.stdout


def test_every_step_is_told(trained):
    steps = list(read_steps(trained.out))
    assert [step["step"] for step in steps] == list(range(1, 13))
    for step in steps:
        assert len(step["losses"]) == len(step["sigmas"]) == 4
        assert step["loss"] == pytest.approx(sum(step["losses"]) / 4)
        assert step["tokens"] == 4 * 2 * 48
        assert len(step["memory_mb"]) == 2
        assert step["ceiling_s"] > 0
    assert steps[0]["lr"] == 0.002
    assert steps[-1]["lr"] == pytest.approx(0.002 / 12)
    assert list((trained.out / "log" / "tensorboard").iterdir())


def test_a_finished_run_is_taken_up_in_no_time_and_trains_no_more(trained, small_set, recipe, driver, tmp_path):
    shutil.copytree(trained.out, tmp_path / "out")
    done = train_here("--set", small_set, "--out", tmp_path / "out", "--recipe", recipe, address=driver)
    assert (done.status, done.stderr) == (0, "")
    assert "clips 4 = 0 encoded + 4 found + 0 dropped" in " ".join(done.stdout.split())
    assert trace(tmp_path / "out") == trained.trace
    for name in ("comfyui.safetensors", "pytorch_lora_weights.safetensors"):
        assert (tmp_path / "out" / "adapter" / name).read_bytes() == (trained.out / "adapter" / name).read_bytes()


def test_held_out_pairs_are_edited_on_the_way_and_a_pair_without_its_video_is_dropped(begun, small_set, recipe, driver, tmp_path):
    gone = tmp_path / "set"
    shutil.copytree(small_set, gone)
    (gone / "kept" / "edited" / "p1.mp4").unlink()
    watched = tmp_path / "watched.yaml"
    text = recipe.read_text().replace("{every: 0, pairs: 0}", "{every: 3, pairs: 1, sampler: {steps: 2}}")
    watched.write_text(text.replace("steps: 12", "steps: 4"))
    out = begun(0)  # its latents are there
    done = train_here("--set", gone, "--out", out, "--recipe", watched, "--strategy", "zero3", address=driver)
    assert (done.status, done.stderr) == (0, "")
    looked = read_validations(out)
    assert [result.step for result in looked] == [0, 3, 4]  # before, on the way, at the end
    assert {pair.pair_id for result in looked for pair in result.pairs} == {looked[0].pairs[0].pair_id}
    assert looked[0].random_base
    assert "clips 4 = 0 encoded + 3 found + 1 dropped (1 missing)" in " ".join(done.stdout.split())
    assert "held out step 4: pair p" in " ".join(done.stdout.split())
    assert (out / "adapter" / "samples" / "held-out.png").read_bytes().startswith(b"\x89PNG")
    assert "data:image" in (out / "report.html").read_text()
    _, metadata = load_adapter(out / "adapter")
    assert metadata.trained_pairs == 2
