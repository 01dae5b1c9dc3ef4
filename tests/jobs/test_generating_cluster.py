"""Three models on three machines with shares of a GPU each, one of which dies: every scene is one row, every picture and video whole."""

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from synclora.media.decode import Decoder
from synclora.pairs.diffusion.settings import Stage
from synclora.pairs.diffusion.store import EDITED, SOURCE, MadeStore
from tests.jobs.conftest import ROOT, Machines, command, environment, rows_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

POOL = "pool: {gpus: 0.3, cpus: 0.2, max_actors: %d, resource: %s}"
SMALL = "dtype: float32, steps: 2, width: 64, height: 64"
RECIPE = f"""
generate:
  portrait: {{model: "tiny:flux", {SMALL}, {POOL % (1, "drawing")}}}
  edit: {{model: "tiny:EDIT", {SMALL}, {POOL % (1, "drawing")}}}
  video: {{model: "tiny:VIDEO", dtype: float32, steps: 2, width: 128, height: 64, frames: 17, {POOL % (2, "animating")}}}
  checks: {{faces: false, min_edit: 0, cpus: 0.1}}
  goal: {{scenes: SCENES, ahead: 6}}
resources: {{actors: 1, actor_cpus: 0.5}}
"""


@contextmanager
def started(machines: Machines, out: Path, edit: str, video: str, scenes: int) -> Iterator[subprocess.Popen[str]]:
    recipe = out.with_suffix(".yaml")
    recipe.write_text(RECIPE.replace("EDIT", edit).replace("VIDEO", video).replace("SCENES", str(scenes)))
    env = environment(RAY_ADDRESS=machines.address, PYTHONUNBUFFERED="1", OMP_NUM_THREADS="1")
    words = command("--recipe", recipe, "--out", out)
    job = subprocess.Popen(words, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield job
    finally:
        job.kill()


def videos(out: Path) -> list[Path]:
    return list((out / "generated" / "video").glob("*/*/made.json"))


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("generated") / "out"


def whole(out: Path, scenes: int) -> None:
    """Every scene is one row, with all that was made of it."""
    rows, store = rows_of(out), MadeStore(out)
    assert len(rows) == scenes
    for row in rows.values():
        assert row["reason"] in ("no_face", "face_lost"), row["detail"]  # noise
        made = json.loads(row["truth"])["made"]
        assert set(made) == set(Stage)
        assert all(store.has(stage, made[stage]) for stage in Stage)
        for name in (SOURCE, EDITED):
            with Decoder() as decoder:
                info = decoder.probe(store.folder(Stage.VIDEO, made[Stage.VIDEO]) / name)
            assert (info.width, info.height, info.frames) == (64, 64, 17)


def made(out: Path) -> list[int]:
    """How many portraits, edits and videos."""
    return [len(list((out / "generated" / stage).glob("*/*/made.json"))) for stage in Stage]


def test_a_machine_that_dies_costs_no_scene_and_tears_no_picture(machines, out):
    machines.have(3)
    with started(machines, out, "flux-kontext", "wan-i2v", 6) as job:
        while not videos(out):
            assert job.poll() is None, job.communicate()
            time.sleep(0.05)
        machines.kill(1)
        said, err = job.communicate(timeout=200)
    assert (job.returncode, err) == (0, ""), said
    assert "6 = 0 kept" in said
    whole(out, 6)
    assert made(out) == [6, 6, 6]
    assert not [one for one in psutil.process_iter(["cmdline"]) if str(out) in " ".join(one.info["cmdline"] or [])]


def test_other_models_go_on_from_the_portraits_on_what_is_left(machines, out):
    machines.have(2)
    with started(machines, out, "qwen-image-edit", "ltx-2-i2v", 2) as job:
        said, err = job.communicate(timeout=200)
    assert (job.returncode, err) == (0, ""), said
    whole(out, 2)
    assert made(out) == [6, 8, 8]
