"""The recipes of generating pairs: they can be read, they say what their comments and each other say, and what the models' pipelines take."""

from pathlib import Path

import pytest

from synclora.curation.recipe import CurateRecipe
from synclora.motion.settings import VerdictSettings
from synclora.pairs.diffusion.call import Call, pipeline_class
from synclora.pairs.diffusion.catalogue import read_catalogue
from synclora.pairs.diffusion.scenes import scene
from synclora.pairs.diffusion.settings import GenerateSettings, Stage

RECIPES = Path(__file__).parents[2] / "jobs" / "recipes"
NAMES = sorted(path.name for path in RECIPES.glob("diffusion*.yaml"))
PIPELINES = {
    "black-forest-labs/FLUX.1-dev": "FluxPipeline",
    "black-forest-labs/FLUX.1-Kontext-dev": "FluxKontextPipeline",
    "Qwen/Qwen-Image-Edit-2509": "QwenImageEditPlusPipeline",
    "Wan-AI/Wan2.2-I2V-A14B-Diffusers": "WanImageToVideoPipeline",
    "diffusers/LTX-2.3-Diffusers": "LTX2ImageToVideoPipeline",
    "tiny:flux": "FluxPipeline",
    "tiny:flux-kontext": "FluxKontextPipeline",
    "tiny:wan-i2v": "WanImageToVideoPipeline",
}


def generate(name: str) -> GenerateSettings:
    settings = CurateRecipe.from_yaml(RECIPES / name).generate
    assert settings is not None
    return settings


def test_the_recipes_are_these():
    assert NAMES == ["diffusion-ltx2.yaml", "diffusion-pools.yaml", "diffusion-tiny.yaml", "diffusion.yaml"]


@pytest.mark.parametrize("name", NAMES)
def test_recipe_asks_for_what_its_pipelines_take(name):
    settings = generate(name)
    for stage in Stage:
        model = settings.stage(stage)
        assert model.pipeline in ("", PIPELINES[model.model])
        Call(stage, model, pipeline_class(model.model, PIPELINES[model.model])).check(model.model, {})
    length = 8 if "LTX" in settings.video.model else 4
    assert (settings.video.frames - 1) % length == 0
    assert (settings.video.frames - 1) % 8 == 0  # as the backbones want it
    assert scene(0, settings, read_catalogue(settings.prompts)).portrait


def test_default_recipe_is_what_the_settings_default_to():
    """What a recipe leaves out is what the main one says: the two never part."""
    said, default = generate("diffusion.yaml"), GenerateSettings()
    for stage in Stage:
        ours, theirs = said.stage(stage), default.stage(stage)
        for name in ("model", "dtype", "steps", "guidance", "width", "height"):
            assert getattr(ours, name) == getattr(theirs, name), (stage, name)
    assert said.checks == default.checks
    assert said.expect == default.expect
    assert said.goal == default.goal


def test_pools_recipe_makes_the_same_pairs():
    one, placed = generate("diffusion.yaml"), generate("diffusion-pools.yaml")
    for stage in Stage:
        ours, theirs = one.stage(stage), placed.stage(stage)
        assert ours.model_dump(exclude={"pool"}) == theirs.model_dump(exclude={"pool"})
        assert (ours.pool.batch, ours.pool.memory_mb) == (theirs.pool.batch, theirs.pool.memory_mb)
        assert theirs.pool.resource == stage.value
    assert one.model_dump(exclude={*Stage, "goal"}) == placed.model_dump(exclude={*Stage, "goal"})


def test_pictures_share_a_card_and_the_rest_are_for_videos():
    settings = generate("diffusion.yaml")
    assert settings.portrait.pool.gpus + settings.edit.pool.gpus <= 1
    assert not any(settings.stage(stage).pool.resource for stage in Stage)  # any machine will do


@pytest.mark.parametrize("name", ["diffusion.yaml", "diffusion-pools.yaml", "diffusion-ltx2.yaml"])
def test_pictures_keep_up_with_the_video_pool(name):
    """Cards stand where the time is spent: with all pools full, videos are the slowest, or no stage is by more than a tenth."""
    settings = generate(name)
    come = {
        Stage.PORTRAIT: 1.0,
        Stage.EDIT: settings.expect.portrait,
        Stage.VIDEO: settings.expect.portrait * settings.expect.edit,
    }
    models = {stage: settings.stage(stage) for stage in Stage}
    busy = {stage: come[stage] * model.expect_s / (model.pool.max_actors * model.pool.gpus) for stage, model in models.items()}
    assert max(busy.values()) <= 1.1 * busy[Stage.VIDEO], busy


def test_expected_shares_are_the_papers():
    expect = generate("diffusion.yaml").expect
    assert expect.portrait * expect.edit * expect.video == pytest.approx(512 / 24_577, abs=0.001)


def test_tiny_recipe_runs_on_cpus_and_looks_for_no_face():
    recipe = CurateRecipe.from_yaml(RECIPES / "diffusion-tiny.yaml")
    settings = recipe.generate
    assert settings is not None
    assert all(settings.stage(stage).pool.gpus == 0 and settings.stage(stage).model.startswith("tiny:") for stage in Stage)
    assert not settings.checks.faces
    assert (settings.video.width // 2, settings.video.height) == (recipe.media.min_side, recipe.media.min_side)
    assert settings.video.frames >= VerdictSettings().min_frames
    cpus = sum(settings.stage(stage).pool.cpus for stage in Stage) + recipe.resources.actor_cpus * recipe.resources.actors
    assert cpus + settings.checks.cpus <= 2


def test_every_alternative_in_the_comments_can_be_used(tmp_path):
    text = (RECIPES / "diffusion.yaml").read_text()
    lines = [line.removeprefix("#") for line in text[text.index("# Other editors") :].splitlines() if line.startswith("#  ")]
    blocks = "\n".join(lines).split("  edit:")[1:]
    pipelines = ["QwenImageEditPlusPipeline", "Flux2KleinPipeline", "Flux2Pipeline"]
    for block, pipeline in zip(blocks, pipelines, strict=True):
        path = tmp_path / "recipe.yaml"
        path.write_text(f"generate:\n  edit:{block}")
        settings = CurateRecipe.from_yaml(path).generate
        assert settings is not None
        Call(Stage.EDIT, settings.edit, pipeline_class(settings.edit.model, pipeline)).check(settings.edit.model, {})
        assert settings.edit.pool.gpus <= 1
