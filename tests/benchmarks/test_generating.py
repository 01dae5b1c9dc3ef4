"""How far the stages of generating overlap: the wall time of the streaming run over the sum of its stages' times.

Models that wait as a GPU would, beside cores that are free; and the miniatures, which compute on the cores themselves, against the same scenes
one at a time. From the first call of a model to the last video on disk: Ray's start is left out, the loading of the later models is not.
"""

import json
import os
from pathlib import Path
from typing import NamedTuple

import pytest

from synclora.curation.recipe import CurateRecipe
from synclora.pairs.diffusion.catalogue import read_catalogue
from synclora.pairs.diffusion.scenes import scene
from synclora.pairs.diffusion.settings import Stage
from tests.jobs.replay import Replay

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(600)]

RECIPE = """
generate:
  portrait: {{model: "tiny:flux", dtype: float32, steps: {steps}, width: {side}, height: {side}}}
  edit: {{model: "tiny:flux-kontext", dtype: float32, steps: {steps}, width: {side}, height: {side}}}
  video: {{model: "tiny:wan-i2v", dtype: float32, steps: {steps}, width: {double}, height: {side}, frames: 17}}
  checks: {{faces: false, min_edit: 0, cpus: 0.1}}
  goal: {{scenes: {scenes}, ahead: {ahead}}}
resources: {{actors: 1}}
"""


class Times(NamedTuple):
    """Seconds of a run.

    Attributes:
        stages: of each stage's calls, one after the other.
        wall: from the first call to the last video.
    """

    stages: dict[Stage, float]
    wall: float

    def __str__(self) -> str:
        each = ", ".join(f"{stage.value} {seconds:.1f} s" for stage, seconds in self.stages.items())
        return f"{each}, sum {sum(self.stages.values()):.1f} s; wall {self.wall:.1f} s"


def run(folder: Path, replay: Replay | None = None, *, scenes: int, ahead: int = 0, steps: int = 2, side: int = 64) -> Times:
    import ray

    from jobs.curate import main

    folder.mkdir(exist_ok=True)
    recipe, out = folder / "recipe.yaml", folder / "out"
    recipe.write_text(RECIPE.format(steps=steps, side=side, double=2 * side, scenes=scenes, ahead=ahead))
    if replay:
        settings = CurateRecipe.from_yaml(recipe).generate
        for number in range(scenes):
            for stage in Stage:
                replay.write(stage, scene(number, settings, read_catalogue(None)))
    assert "RAY_ADDRESS" not in os.environ
    try:
        assert main(["--recipe", str(recipe), "--out", str(out)], replay) == 0
    finally:
        ray.shutdown()
    made = {stage: list((out / "generated" / stage).glob("*/*/made.json")) for stage in Stage}
    assert all(len(paths) == scenes for paths in made.values())
    calls = [(path.stat().st_mtime, json.loads(path.read_text())["gpu_s"], stage) for stage in Stage for path in made[stage]]
    stages = {stage: sum(seconds for _, seconds, of in calls if of is stage) for stage in Stage}
    return Times(stages, max(ended for ended, _, _ in calls) - min(ended - seconds for ended, seconds, _ in calls))


def test_models_that_wait_overlap(tmp_path, figure):
    took = run(tmp_path / "a", Replay(tmp_path / "replay", waits=(0.4, 0.4, 0.8)), scenes=30)
    ratio = took.wall / sum(took.stages.values())
    figure(
        f"30 scenes, models that wait: {took}; over the sum {ratio:.2f}, over the slowest {took.wall / max(took.stages.values()):.2f}"
    )
    assert ratio <= 0.65  # .5 is the slowest stage alone


def test_miniatures_on_the_cores_overlap(tmp_path, figure):
    alone = run(tmp_path / "alone", scenes=6, ahead=1, steps=6, side=96)
    took = run(tmp_path / "stream", scenes=6, steps=6, side=96)
    figure(f"6 scenes, miniatures, one scene at a time: {alone}")
    figure(f"… streaming: {took}; over the sum of the stages alone {took.wall / sum(alone.stages.values()):.2f}")
    assert took.wall < alone.wall
