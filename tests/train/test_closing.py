"""How a run ends: an adapter's files from the newest intact checkpoint, and facts that are the run's."""

import io

import pytest
import torch
from rich.console import Console

from synclora.report.validations import step_folder
from synclora.train import checkpoint
from synclora.train.adapter import COMFYUI_FILE, DIFFUSERS_FILE, load_adapter
from synclora.train.checkpoint import CheckpointError
from synclora.train.closing import closing_table, facts_of, write_adapter
from synclora.train.validation import read_validations
from tests.train.conftest import BUCKET, one_line, run


@pytest.fixture
def trained(new_job):
    """A short run whose alpha is not its rank."""

    def make(**changes):
        job = new_job(**{"steps": 2, "checkpoints": {"every": 1}, "lora": {"alpha": 10.0}} | changes)
        run(job)
        return job

    return make


def test_both_layouts_hold_the_last_checkpoint(trained):
    job = trained()
    write_adapter(job, facts_of(job, 1))
    folder = job.out / "adapter"
    weights = checkpoint.read(job.checkpoints / "step-000002").load().weights
    (ours, about), (theirs, same) = (load_adapter(folder / name) for name in (DIFFUSERS_FILE, COMFYUI_FILE))
    assert ours.keys() == theirs.keys() == weights.keys()
    moved = 0
    for name, weight in weights.items():
        assert torch.equal(ours[name], weight)
        torch.testing.assert_close(theirs[name], weight * (10 / 4 if "lora_B" in name else 1), rtol=1e-6, atol=0)
        moved += bool(weight.any()) and "lora_B" in name
    assert moved > 30  # not the adapter of before the first step
    assert (about.rank, about.alpha, same.rank, same.alpha) == (4, 10.0, 4, 4.0)
    assert about == same.model_copy(update={"alpha": 10.0})
    assert load_adapter(folder)[1] == about


def test_metadata_is_the_runs(trained):
    context = {"mode": "causal-source", "first_frame": 0.8, "given_frames": [0.5, 0.5]}
    encode = {"buckets": [BUCKET], "face_share": 0.58}
    job = trained(caption=None, context=context, encode=encode, validation={"pairs": 1})
    write_adapter(job, {})
    _, about = load_adapter(job.out / "adapter")
    found = about.model_dump(exclude={"version", "format", "rank", "alpha"})
    assert found.pop("fps_max") == pytest.approx(30000 / 1001)
    assert found == {
        "base_model": "tiny:ltx-video",
        "base_digest": None,
        "kind": "ltx-video",
        "revision": None,
        "frames": 17,
        "width": 64,
        "height": 64,
        "face_share": 0.58,
        "fps_min": 25.0,
        "caption": None,
        "attention_mode": "causal-source",
        "first_frame_probability": 0.8,
        "given_frames": 2,
        "steps": 2,
        "trained_pairs": 3,  # one was held out
        "recipe": job.recipe.fingerprint(),
        "random_base": True,
    }
    facts = facts_of(job, 1)
    assert facts["Picture"] == "cut so that the first frame's face has 58% of the width"
    assert facts["Given"] == "first latent frames of the edit: 1 in 50%, 2 in 50% of samples"
    assert not {"Picture", "Given"} & set(facts_of(trained(), 1))


def test_without_alpha_the_scale_is_one(trained):
    job = trained(lora={"alpha": None})
    write_adapter(job, {})
    ours, theirs = (load_adapter(job.out / "adapter" / name)[0] for name in (DIFFUSERS_FILE, COMFYUI_FILE))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert load_adapter(job.out / "adapter")[1].alpha == 4.0


def test_a_spoilt_last_checkpoint_and_none(trained):
    job = trained()
    (job.checkpoints / "step-000002" / "adapter.safetensors").unlink()
    write_adapter(job, {})
    assert load_adapter(job.out / "adapter")[1].steps == 1  # says how far it really is
    (job.checkpoints / "step-000001" / "state.json").unlink()
    before = (job.out / "adapter" / DIFFUSERS_FILE).read_bytes()
    with pytest.raises(CheckpointError, match="none is intact") as error:
        write_adapter(job, {})
    one_line(error.value)
    assert (job.out / "adapter" / DIFFUSERS_FILE).read_bytes() == before


def test_a_second_time_gives_the_same_bytes(trained):
    job = trained()
    written = []
    for _ in range(2):
        write_adapter(job, {"Loss": "1"})
        written.append({path.name: path.read_bytes() for path in (job.out / "adapter").iterdir()})
    assert written[0] == written[1]
    assert set(written[0]) == {"README.md", COMFYUI_FILE, DIFFUSERS_FILE}


def test_the_card_shows_the_last_look(trained):
    job = trained(validation={"every": 2, "pairs": 1, "sampler": {"steps": 1}})
    facts = facts_of(job, 1)
    write_adapter(job, facts)
    last = read_validations(job.out)[-1]
    assert last.step == 2
    picture = job.out / "adapter" / "samples" / "held-out.png"
    assert picture.read_bytes() == (step_folder(job.out, 2) / "contact.png").read_bytes()
    card = (job.out / "adapter" / "README.md").read_text()
    assert "samples/held-out.png" in card
    assert "license: other" in card
    assert facts["Held out"] == last.line


def test_facts_are_the_runs(trained, monkeypatch):
    job = trained(steps=4)
    steps = [
        {"step": k, "loss": 5.0 - k, "seconds": s, "tokens": 48, "memory_mb": [100.0, 90.0 + k], "ceiling_s": c}
        for k, s, c in ((1, 1.0, 0.5), (2, 2.0, None), (3, 3.0, 1.5), (4, 100.0, 25.0))
    ]
    monkeypatch.setattr("synclora.train.closing.read_steps", lambda out: iter(steps))
    facts = facts_of(job, 2)
    assert facts["Backbone"] == "tiny:ltx-video"
    assert facts["Adapter"] == "rank 4, attention shared"
    assert facts["Workers"] == "2, ddp"
    assert facts["Steps"] == "4 of 2 samples"
    assert facts["Loss"] == "4 in the first tenth of the steps, 1 in the last"
    assert facts["Rate"] == "2.5 s a step (median), 20 tokens per second"
    assert facts["Ceiling"] == "50% of the bare transformer's forward and backward pass"
    assert facts["Memory"] == "100 MB at most in a worker"
    assert facts["Weights"].startswith("random")
    assert "Held out" not in facts


def test_facts_of_a_run_without_a_step(new_job):
    facts = facts_of(new_job(parallel={"strategy": "zero3", "offload": "all"}), 4)
    assert facts["Steps"] == "0 of 2 samples"
    assert facts["Workers"] == "4, zero3, offload all"
    assert "Loss" not in facts


def test_the_table_says_where_it_is(tmp_path):
    console = Console(file=io.StringIO(), width=200)
    console.print(closing_table(tmp_path, {"Loss": "0.5 [not] markup"}))
    said = console.file.getvalue()
    assert "0.5 [not] markup" in said
    assert str(tmp_path / "adapter") in said
    assert str(tmp_path / "report.html") in said
