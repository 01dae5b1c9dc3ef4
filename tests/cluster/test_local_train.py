"""Training as a submitted job gives an adapter; what the copy of the working directory would swallow is refused."""

import json
from pathlib import Path

import pytest
from safetensors import safe_open

from tests.cluster.conftest import local
from tests.train.sets import add_pair, finish

pytestmark = [pytest.mark.slow, pytest.mark.timeout(800)]

RECIPE = """
steps: 4
batch: 2
encode: {buckets: [128x128x17]}
encode_resources: {actors: 1}
lora: {rank: 4}
checkpoints: {every: 2}
validation: {every: 0, pairs: 0}
"""


def test_what_a_temporary_copy_would_swallow_is_refused(running: dict[str, str], tmp_path: Path) -> None:
    """Of both jobs, in one that is submitted."""
    train = [["--set", "out/set", "--out", str(tmp_path / "out")], ["--set", str(tmp_path), "--out", "out/relative"]]
    curate = ["--out", "out/relative"]
    each = f"[jobs.train.main(line) for line in {train}] + [jobs.curate.main({curate})]"
    refused = local("submit", "--", "python", "-c", f"import sys, jobs.train, jobs.curate; sys.exit(min({each}))", env=running)
    assert refused.returncode != 0
    said = refused.stdout + refused.stderr
    assert {line for line in said.splitlines() if line.startswith(("train: ", "curate: "))} == {  # Ray repeats a log's end
        f"{what}: a submitted job runs in a temporary copy; give an absolute path on shared storage"
        for what in ("train: --set out/set", "train: --out out/relative", "curate: --out out/relative")
    }
    assert "Traceback" not in said
    assert not (tmp_path / "out").exists()


def test_a_submitted_training_gives_an_adapter(running: dict[str, str], tmp_path: Path) -> None:
    pairs, out, recipe = tmp_path / "set", tmp_path / "out", tmp_path / "recipe.yaml"
    finish(pairs, [add_pair(pairs, f"p{number}", tint=10 + 20 * number) for number in range(3)])
    recipe.write_text(RECIPE)

    words = ("--set", str(pairs), "--out", str(out), "--recipe", str(recipe), "--workers", "2")
    done = local("train", *words, env=running, timeout=400)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2, zero1" in done.stdout
    assert "3 = 3 encoded + 0 found + 0 dropped" in done.stdout
    steps = [json.loads(line) for line in (out / "log" / "steps.jsonl").read_text().splitlines()]
    assert [step["step"] for step in steps] == [1, 2, 3, 4]
    assert {len(step["memory_mb"]) for step in steps} == {2}  # two workers
    with safe_open(out / "adapter" / "pytorch_lora_weights.safetensors", "pt") as file:
        assert any(file.get_tensor(name).abs().max() > 0 for name in file.keys() if ".lora_B." in name)  # noqa: SIM118
    assert (out / "report.html").exists()
