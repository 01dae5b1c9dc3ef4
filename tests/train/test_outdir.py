"""Whose run a folder holds: the same one goes on, another one is refused by name, and the refusal costs nothing."""

import json
import re
from dataclasses import replace

import pytest
import torch

from synclora.outdir import OutputError, open_output, read_marker
from synclora.train import checkpoint
from synclora.train.outdir import TRAINING, check_same_run
from synclora.train.strategy import OptimizerState
from tests.train.conftest import one_line, recipe_of


@pytest.fixture
def out(tmp_path):
    with open_output(tmp_path / "out", TRAINING) as folder:
        yield folder


def begin(out, recipe):
    """As far as a first checkpoint."""
    state = OptimizerState(2, *({"a.lora_A.weight": torch.zeros(1, 1)} for _ in range(3)))
    checkpoint.save(out / "checkpoints", state, recipe.deciding())


def refused(out, recipe, rows):
    before = (out / "synclora.json").read_bytes()
    with pytest.raises(OutputError) as error:
        check_same_run(out, recipe, rows)
    assert (out / "synclora.json").read_bytes() == before
    return one_line(error.value)


def test_the_same_run_goes_on(out, prepared):
    recipe = recipe_of()
    check_same_run(out, recipe, prepared.rows)
    begin(out, recipe)
    check_same_run(out, recipe_of(), list(reversed(prepared.rows)))
    marker = read_marker(out, TRAINING)
    assert marker["recipe"] == json.loads(recipe.model_dump_json())
    assert marker["deciding"]["lora.rank"] == 4


def test_changed_fields_of_training_are_refused_by_name(out, prepared):
    check_same_run(out, recipe_of(), prepared.rows)
    begin(out, recipe_of())
    said = refused(out, recipe_of(seed=3, lora={"rank": 8}, optimizer={"betas": (0.8, 0.9)}), prepared.rows)
    assert said == (
        f"--out {out}: holds a run of another recipe (lora.rank 4 -> 8; optimizer.betas [0.9, 0.999] -> [0.8, 0.9]; seed 0 -> 3); "
        "change it back, or choose a new folder"
    )
    assert "validation.pairs 1 -> 0" in refused(out, recipe_of(validation={"pairs": 0}), prepared.rows)
    assert "caption 3d1t -> None" in refused(out, recipe_of(caption=None), prepared.rows)
    check_same_run(out, recipe_of(), prepared.rows)


@pytest.mark.parametrize(
    "free",
    [
        {"parallel": {"strategy": "zero3", "workers": 7, "micro_batch": 2, "offload": "all"}},
        {"validation": {"every": 50, "sampler": {"steps": 9, "seed": 2}}},
        {"checkpoints": {"every": 9, "keep": 5}},
        {"faults": {"retries": 0}},
        {"encode_resources": {"actors": 2}},
        {"license": "mit", "checkpointing": True},
    ],
    ids=lambda free: next(iter(free)),
)
def test_how_it_is_run_and_looked_at_may_change(out, prepared, free):
    check_same_run(out, recipe_of(), prepared.rows)
    begin(out, recipe_of())
    check_same_run(out, recipe_of(**free), prepared.rows)
    check_same_run(out, recipe_of(), prepared.rows)


def test_other_clips_are_refused(out, prepared):
    check_same_run(out, recipe_of(), prepared.rows)
    begin(out, recipe_of())
    rows = prepared.rows
    for other in (rows[:-1], [*rows[:-1], replace(rows[-1], id="0123456789abcdef")], [*rows, replace(rows[0], id="fedcba98")]):
        said = refused(out, recipe_of(), other)
        assert re.search(rf"another recipe \(clips 4 of [0-9a-f]{{12}} -> {len(other)} of [0-9a-f]{{12}}\); change it back", said)


def test_dropped_clips_do_not_count(out, prepared):
    check_same_run(out, recipe_of(), prepared.rows)
    begin(out, recipe_of())
    lost = replace(prepared.rows[0], pair_id="z", id="", outcome="dropped", grid=None, fps=None)
    check_same_run(out, recipe_of(), [*prepared.rows, lost])


def test_before_the_first_checkpoint_everything_may_change(out, prepared):
    check_same_run(out, recipe_of(), prepared.rows)
    check_same_run(out, recipe_of(seed=3), prepared.rows[:2])
    begin(out, recipe_of(seed=3))
    assert "seed 3 -> 0" in refused(out, recipe_of(), prepared.rows[:2])


def test_looks_at_a_run_that_came_to_nothing_are_not_the_next_ones(out, prepared):
    look = out / "validation" / "step-000000" / "validation.json"
    check_same_run(out, recipe_of(), prepared.rows)
    look.parent.mkdir(parents=True)
    look.write_text("{}")
    check_same_run(out, recipe_of(seed=3), prepared.rows)
    assert not look.exists()
    begin(out, recipe_of(seed=3))
    look.parent.mkdir(parents=True)
    look.write_text("{}")
    check_same_run(out, recipe_of(seed=3), prepared.rows)
    assert look.exists()


def test_the_folder_of_another_job_is_left_alone(tmp_path):
    (tmp_path / "synclora.json").write_text('{"kind": "synclora-curation"}')
    with pytest.raises(OutputError, match=r"not empty and not made by jobs/train\.py"), open_output(tmp_path, TRAINING):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["synclora.json"]


def test_what_a_killed_run_left_half_written_is_swept(tmp_path):
    with open_output(tmp_path / "out", TRAINING) as out:
        for folder in ("latents/ab", "captions", "validation/step-000002", "adapter"):
            (out / folder).mkdir(parents=True)
            (out / folder / "whole.safetensors").write_bytes(b"kept")
            (out / folder / ".half.safetensors.77.part").write_bytes(b"left")
    with open_output(tmp_path / "out", TRAINING) as out:
        assert not list(out.rglob("*.part"))
        assert len(list(out.rglob("whole.safetensors"))) == 4
