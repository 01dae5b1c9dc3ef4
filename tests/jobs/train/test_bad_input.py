"""What cannot be trained: one clear line with the value and the remedy, exit status 2, and nothing lost."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from synclora.backbone.tiny import tiny_folder
from tests.jobs.train.conftest import train_here
from tests.train.sets import add_pair, finish

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def refused(*words, address: str | None = None) -> str:
    """The one line."""
    done = train_here(*words, address=address)
    assert done.status == 2, done
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("train: ")
    assert "Traceback" not in done.stdout
    return done.stderr.removeprefix("train: ").strip()


def recipe_with(recipe: Path, tmp_path: Path, **changes: str) -> Path:
    text = recipe.read_text()
    for old, new in changes.values():
        assert old in text
        text = text.replace(old, new)
    path = tmp_path / "changed.yaml"
    path.write_text(text)
    return path


def test_sets_that_are_none(recipe, small_set, tmp_path):
    """All found before Ray starts."""
    words = ["--out", tmp_path / "out", "--recipe", recipe, "--set"]
    assert "no such folder" in refused(*words, tmp_path / "missing")
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "holds no manifest.parquet" in refused(*words, empty)
    (empty / "manifest.parquet").write_bytes(b"not parquet")
    assert "manifest.parquet" in refused(*words, empty)
    nothing = finish(tmp_path / "nothing", [])
    assert "none of its 0 pairs was kept" in refused(*words, nothing)
    assert not (tmp_path / "out").exists()


def test_backbones_that_are_none(recipe, small_set, tmp_path):
    words = ["--set", small_set, "--out", tmp_path / "out", "--recipe", recipe, "--backbone"]
    assert "no such folder" in refused(*words, tmp_path / "missing")
    assert "no such miniature; choose tiny:ltx-video" in refused(*words, "tiny:sora")
    pickled = tmp_path / "pickled"
    shutil.copytree(tiny_folder("ltx-video"), pickled)
    weights = next((pickled / "transformer").glob("*.safetensors"))
    torch.save(load_file(weights), pickled / "transformer" / "diffusion_pytorch_model.bin")
    weights.unlink()
    assert "no .safetensors" in refused(*words, pickled)
    assert "missing" in refused(*words[:-1], "--start", tmp_path / "missing")
    assert not (tmp_path / "out").exists()


def test_recipes_that_cannot_be_meant(recipe, small_set, tmp_path):
    words = ["--set", small_set, "--out", tmp_path / "out"]
    size = recipe_with(recipe, tmp_path, size=("128x128x17", "100x128x17"))
    assert "bucket 100x128x17: sides must be multiples of 32" in refused(*words, "--recipe", size)
    unknown = recipe_with(recipe, tmp_path, rank=("lora: {rank: 8}", "lora: {ranks: 8}"))
    assert "lora.ranks: no such setting" in refused(*words, "--recipe", unknown)
    assert "parallel.strategy = 'zero9'" in refused(*words, "--recipe", recipe, "--strategy", "zero9")
    assert not (tmp_path / "out").exists()


def test_what_shows_when_the_run_begins(begun, recipe, small_set, tmp_path, driver):
    words = ["--set", small_set, "--out", begun(0), "--recipe"]
    assert "batch = 4: 3 workers" in refused(*words, recipe, "--workers", 3, address=driver)
    big = recipe_with(
        recipe, tmp_path, rank=("lora: {rank: 8}", "faults: {retries: 0}\nlora: {rank: 999}")
    )  # else once more, to no end
    assert "rank = 999: " in (line := refused(*words, big, address=driver))
    assert "choose 128 or less" in line


def test_a_set_with_one_pair(begun, recipe, tmp_path, driver):
    one = finish(tmp_path / "one", [add_pair(tmp_path / "one", "p0", tint=20, marker=(30, 40))])  # whose latents are there
    held = recipe_with(recipe, tmp_path, pairs=("pairs: 0", "pairs: 1"))
    line = refused("--set", one, "--out", begun(0), "--recipe", held, address=driver)
    assert line.startswith("1 usable pair and validation.pairs = 1: nothing is left to train on")
    assert "validation.pairs: 0" in line


def test_a_loss_that_is_no_number_stops_and_keeps_the_last_checkpoint(begun, trained, small_set, recipe, driver):
    out = begun(8)
    before = {path: path.read_bytes() for path in (out / "checkpoints").glob("step-*/*")}
    clip = sorted((out / "latents").glob("*/*.safetensors"))[0]
    poisoned = load_file(clip)
    poisoned["edited"][0, 1] = float("nan")
    with safe_open(clip, "pt") as file:
        save_file(poisoned, clip, file.metadata())
    line = refused("--set", small_set, "--out", out, "--recipe", recipe, address=driver)
    assert line.startswith("step ")
    for part in (": the loss is nan (clips pair p", "noise levels 0.", "the checkpoint of step 8 stays", "lower optimizer.lr"):
        assert part in line
    assert {path: path.read_bytes() for path in (out / "checkpoints").glob("step-*/*")} == before


def test_a_folder_of_another_recipe_another_set_or_another_job(begun, small_set, recipe, tmp_path, driver):
    out = begun(8)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file() and "latents" not in path.parts}
    other = recipe_with(recipe, tmp_path, lr=("lr: 0.002", "lr: 0.001"), rank=("rank: 8", "rank: 4"))
    line = refused("--set", small_set, "--out", out, "--recipe", other, address=driver)
    assert "holds a run of another recipe (lora.rank 8 -> 4; optimizer.lr 0.002 -> 0.001)" in line
    more = tmp_path / "more"
    shutil.copytree(small_set, more)
    rows = [add_pair(more, f"p{k}", tint=20 + 30 * k, marker=(30 + 15 * k, 40)) for k in range(5)]
    line = refused("--set", finish(more, rows), "--out", out, "--recipe", recipe, address=driver)
    assert "holds a run of another recipe (clips 4 of" in line
    after = {path: path.read_bytes() for path in out.rglob("*") if path.is_file() and "latents" not in path.parts}
    assert after == before
    curated = tmp_path / "curated"
    curated.mkdir()
    (curated / "synclora.json").write_text(json.dumps({"kind": "synclora-curation"}))
    line = refused("--set", small_set, "--out", curated, "--recipe", recipe)
    assert "not empty and not made by jobs/train.py" in line
    assert [path.name for path in curated.iterdir()] == ["synclora.json"]
