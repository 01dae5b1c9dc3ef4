"""The recipe: bad values are refused in one line, and what decides a run is told apart from how it is run."""

import json
from pathlib import Path

import pytest
from pydantic import BaseModel

from synclora.settings import RecipeError
from synclora.train.recipe import OptimizerSettings, ParallelSettings, TrainRecipe
from tests.train.conftest import one_line

RECIPES = Path(__file__).parents[2] / "jobs" / "recipes"


def refused(values):
    with pytest.raises(RecipeError) as error:
        TrainRecipe.from_values(values, "test")
    return one_line(error.value)


@pytest.mark.parametrize("path", sorted(RECIPES.glob("train*.yaml")), ids=lambda path: path.stem)
def test_the_recipes_that_come_along_can_be_read(path):
    recipe = TrainRecipe.from_yaml(path)
    assert recipe.context.first_frame == (0.9 if path.stem.startswith("train-embedded") else 1.0)  # it can be guided by it
    assert recipe.backbone
    assert TrainRecipe.from_values(json.loads(recipe.model_dump_json()), "again") == recipe


def test_at_least_three_recipes_come_along():
    assert len(list(RECIPES.glob("train*.yaml"))) >= 3


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"step": 3}, "step"),
        ({"lora": {"ranks": 3}}, "lora.ranks"),
        ({"validation": {"sampler": {"stps": 3}}}, "validation.sampler.stps"),
        ({"encode_resources": {"media": {"frames": 3}}}, "encode_resources.media.frames"),
    ],
)
def test_unknown_settings_are_named(values, field):
    assert refused(values) == f"recipe test: {field}: no such setting; remove it or correct its name"


BAD = {
    "steps": (0, -1, 1.5, "many", None),
    "batch": (0, "4.5"),
    "seed": (-1, 0.5),
    "precision": ("fp16",),
    "lora.rank": (0, -3),
    "lora.alpha": (0, -1.0, float("nan")),
    "lora.dropout": (1.0, -0.1),
    "optimizer.lr": (0, -1e-4, float("nan"), float("inf")),
    "optimizer.clip": (0, float("inf")),
    "optimizer.warmup": (-1,),
    "optimizer.schedule": ("cosine",),
    "optimizer.weight_decay": (-0.1,),
    "context.mode": ("causal",),
    "context.first_frame": (1.1, -0.1),
    "context.drop_caption": (2,),
    "context.drop_source": (1.0,),
    "sigma.kind": ("normal",),
    "sigma.std": (0,),
    "parallel.strategy": ("zero", "zero4", "fsdp"),
    "parallel.workers": (-1,),
    "parallel.micro_batch": (0,),
    "parallel.cpus_per_worker": (0,),
    "checkpoints.every": (0,),
    "checkpoints.keep": (1,),
    "validation.every": (-1,),
    "validation.pairs": (-1,),
    "validation.sampler.steps": (0,),
    "faults.retries": (-1,),
}


@pytest.mark.parametrize(("field", "value"), [(field, value) for field, values in BAD.items() for value in values])
def test_bad_values_are_named_with_what_would_do(field, value):
    values = value
    for name in reversed(field.split(".")):
        values = {name: values}
    said = refused(values)
    assert said.startswith(f"recipe test: {field} = {value!r}: ")
    assert len(said) > len(f"recipe test: {field} = {value!r}: ") + 10


@pytest.mark.parametrize("betas", [(1.0, 0.9), (0.9, 1.0), (-0.1, 0.9), (0.9,), (0.9, 0.99, 0.999)])
def test_betas_are_what_adamw_takes(betas):
    assert refused({"optimizer": {"betas": betas}}).startswith("recipe test: optimizer.betas")


def test_bad_buckets():
    for buckets in ([], ["512x512"], ["100x128x17"], ["128x128x16"], ["128x128x1"]):
        assert refused({"encode": {"buckets": buckets}}).startswith("recipe test: encode.buckets")


def test_previews_cannot_be_guided_by_text():
    said = refused({"validation": {"sampler": {"guidance": {"text": 3.0}}}})
    assert said.startswith("recipe test: validation.sampler = ")
    assert said.endswith("guidance.text 3.0 needs the empty caption, which is not kept; leave it at 1")


def test_two_bad_values_are_both_named():
    said = refused({"steps": 0, "lora": {"rank": 0}})
    assert "steps = 0" in said
    assert "lora.rank = 0" in said


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"strategy": "ddp", "offload": "optimizer"}, "offload optimizer needs zero1, zero2 or zero3"),
        ({"strategy": "ddp", "offload": "all"}, "offload all needs zero1, zero2 or zero3"),
        ({"strategy": "zero1", "offload": "all"}, "offload all needs zero3, which alone cuts the weights"),
        ({"strategy": "zero2", "offload": "all"}, "offload all needs zero3, which alone cuts the weights"),
    ],
)
def test_what_a_strategy_cannot_offload(settings, why):
    assert why in refused({"parallel": settings})


def test_what_it_can():
    for strategy in ("zero1", "zero2", "zero3"):
        ParallelSettings(strategy=strategy, offload="optimizer")
    ParallelSettings(strategy="zero3", offload="all")


def test_a_linear_schedule_ends_just_above_nothing():
    settings = OptimizerSettings(lr=0.4, schedule="linear")
    assert [settings.lr_at(step, 4) for step in range(4)] == pytest.approx([0.4, 0.3, 0.2, 0.1])


def test_a_constant_schedule():
    assert [OptimizerSettings(lr=0.4, schedule="constant").lr_at(step, 4) for step in range(4)] == [0.4] * 4


def test_warmup_rises_to_the_schedule():
    settings = OptimizerSettings(lr=1.0, schedule="constant", warmup=3)
    assert [settings.lr_at(step, 9) for step in range(6)] == pytest.approx([0.25, 0.5, 0.75, 1, 1, 1])
    falling = OptimizerSettings(lr=1.0, schedule="linear", warmup=3)
    assert [falling.lr_at(step, 8) for step in range(6)] == pytest.approx([0.25, 0.5 * 7 / 8, 0.75 * 6 / 8, 5 / 8, 4 / 8, 3 / 8])
    assert all(OptimizerSettings(warmup=9).lr_at(step, 4) > 0 for step in range(4))


@pytest.mark.parametrize(
    ("precision", "on_cpu", "on_cuda"), [("auto", False, True), ("bf16", True, True), ("float32", False, False)]
)
def test_precision(precision, on_cpu, on_cuda):
    recipe = TrainRecipe(precision=precision)
    assert (recipe.bf16("cpu"), recipe.bf16("cuda")) == (on_cpu, on_cuda)


FREE = {
    *("parallel", "checkpoints", "faults", "encode_resources", "license", "checkpointing"),
    *("validation.every", "validation.sampler"),
}
"""How a run is run and looked at. Everything else decides what comes out."""
OTHER = {
    "backbone": "tiny:ltx-2",
    "revision": "main",
    "caption": None,
    "precision": "bf16",
    "checkpointing": True,
    "license": "mit",
    "encode.buckets": ("64x64x9",),
    "encode.crop": "center",
    "encode.face_share": 0.58,
    "encode.dtype": "bfloat16",
    "context.mode": "causal-source",
    "context.first_frame": 0.5,
    "context.given_frames": (0.8, 0.2),
    "sigma.kind": "uniform",
    "lora.alpha": 3.0,
    "lora.targets": "attention",
    "lora.seed": 3,
    "lora.start": "adapters/may",
    "optimizer.schedule": "constant",
    "validation.sampler.schedule": "distilled",
    "validation.sampler.guidance.text": 1.0,  # the only value: previews have no empty caption
    "optimizer.betas": (0.8, 0.9),
    "parallel.strategy": "zero3",
    "parallel.offload": "optimizer",
    "encode_resources.pin": False,
    "encode_resources.attempts": 3,
}


def leaves(model, prefix=""):
    for name in type(model).model_fields:
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def changed(field, value):
    if field in OTHER:
        return OTHER[field]
    if isinstance(value, bool):
        return not value
    return value + 1 if isinstance(value, int) else value / 2 + 0.001


def with_change(field, value):
    values = json.loads(TrainRecipe().model_dump_json())
    *rooms, name = field.split(".")
    inner = values
    for room in rooms:
        inner = inner[room]
    inner[name] = value
    return TrainRecipe.from_values(values, "test")


@pytest.mark.parametrize(("field", "value"), leaves(TrainRecipe()), ids=lambda part: part if isinstance(part, str) else "")
def test_every_setting_decides_or_is_free(field, value):
    before = TrainRecipe().deciding()
    after = with_change(field, changed(field, value)).deciding()
    differing = {name for name in {*before, *after} if before.get(name) != after.get(name)}
    is_free = any(field == free or field.startswith(f"{free}.") for free in FREE)
    assert differing == (set() if is_free else {field})


def test_what_decides_can_be_written_down():
    recipe = with_change("optimizer.betas", (0.8, 0.9))
    assert json.loads(json.dumps(recipe.deciding())) == recipe.deciding()


@pytest.mark.parametrize(
    ("shares", "said"), [((0.8, 0.1), "the shares sum to 0.9; let them sum to 1"), ((), "at least 1 item"), ((1.5, -0.5), "1.5")]
)
def test_shares_of_given_frames_are_of_a_whole(shares, said):
    with pytest.raises(RecipeError) as error:
        with_change("context.given_frames", shares)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_a_run_begun_before_a_setting_was_there_goes_on():
    assert not {"context.given_frames", "context.edit_share", "lora.start"} & TrainRecipe().deciding().keys()
