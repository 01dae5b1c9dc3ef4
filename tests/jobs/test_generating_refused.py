"""What the command refuses of a recipe that generates, and what it plans: one line, nothing written, no Ray."""

import pytest

from jobs.curate import main
from tests.jobs.conftest import SMALL

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

TINY = "dtype: float32, steps: 2, width: 64, height: 64"
RECIPE = f"""
generate:
  portrait: {{model: "tiny:flux", {TINY}}}
  edit: {{model: "tiny:flux-kontext", {TINY}}}
  video: {{model: "tiny:wan-i2v", dtype: float32, steps: 2, width: 128, height: 64, frames: 17}}
"""

REFUSED = {
    "--input in": "--input: generate.yaml generates its own pairs; leave it out, or take another recipe",
    "--pairs 3": "--pairs: generate.yaml generates its own pairs; leave it out, or say --scenes",
    "--faces in": "--faces: generate.yaml generates its own pairs; leave it out, or say in prompts who is seen",
    "--scenes 0": "generate.goal.scenes = 0",
    "--target-kept -1": "generate.goal.target_kept = -1",
    "--gpu-hours nan": "generate.goal.gpu_hours = nan",
    "--seed -1": "generate.seed = -1",
    "--recipe puppet.yaml --scenes 3": "--scenes: puppet.yaml generates no pairs; give a --recipe with `generate:`",
    "--recipe puppet.yaml --target-kept 3": "--target-kept: puppet.yaml generates no pairs",
    "--recipe puppet.yaml --gpu-hours 1": "--gpu-hours: puppet.yaml generates no pairs",
    "--recipe puppet.yaml --plan": "--plan: puppet.yaml generates no pairs",
    "--recipe gone.yaml": "gone/model",
    "--recipe kinds.yaml": "generate.kinds: no edits of kind 'ears'",
    "--recipe class.yaml": "tiny:wan-i2v",
}


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    recipes = {
        "generate": RECIPE,
        "puppet": SMALL,
        "gone": RECIPE.replace("tiny:flux-kontext", "./gone/model"),
        "kinds": RECIPE + "  kinds: [ears]\n",
        "class": RECIPE.replace("tiny:flux-kontext", "tiny:wan-i2v"),
    }
    for name, text in recipes.items():
        (tmp_path / f"{name}.yaml").write_text(text)
    return tmp_path


@pytest.mark.parametrize("words", REFUSED)
def test_refused_before_anything_is_written(here, capfd, words):
    assert main(["--recipe", "generate.yaml", "--out", str(here / "out"), *words.split()]) == 2
    said = capfd.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert REFUSED[words] in said.err
    assert not (here / "out").exists()


def test_a_plan_is_printed_and_nothing_else_happens(here, capfd):
    words = ["--plan", "--target-kept", "512", "--gpu-hours", "1000", "--scenes", "100000"]
    assert main(["--recipe", "generate.yaml", "--out", str(here / "out"), *words]) == 0
    said = capfd.readouterr()
    for what in ("FluxPipeline", "FluxKontextPipeline", "WanImageToVideoPipeline", "GPU-hours", "24,577"):
        assert what in said.out
    assert not (here / "out").exists()
