"""The command line on top of the recipe."""

from pathlib import Path

import pytest

from synclora.errors import SyncLoraError
from synclora.train.command import parse, recipe_of
from synclora.train.recipe import TrainRecipe
from tests.train.conftest import one_line

DEFAULT = Path(__file__).parents[2] / "jobs" / "recipes" / "train.yaml"


def meant(*words, recipe=DEFAULT):
    return recipe_of(parse([*map(str, words)], recipe))


def refused(*words, recipe=DEFAULT):
    with pytest.raises(SyncLoraError) as error:
        meant(*words, recipe=recipe)
    return one_line(error.value)


@pytest.fixture
def recipe(tmp_path):
    def write(text):
        path = tmp_path / "recipe.yaml"
        path.write_text(text)
        return path

    return write


def test_without_words_it_is_the_recipe():
    assert meant() == TrainRecipe.from_yaml(DEFAULT)
    arguments = parse([], DEFAULT)
    assert (arguments.set, arguments.out, arguments.recipe) == (Path("out/curate"), Path("out/train"), DEFAULT)


def test_each_word_changes_its_setting_and_no_other():
    words = {
        "backbone": ("tiny:ltx-2", ("backbone",)),
        "steps": (7, ("steps",)),
        "workers": (3, ("parallel", "workers")),
        "strategy": ("ddp", ("parallel", "strategy")),
        "mode": ("causal-source", ("context", "mode")),
        "seed": (5, ("seed",)),
        "start": ("/data/lora", ("lora", "start")),
    }
    plain = TrainRecipe.from_yaml(DEFAULT).model_dump()
    for word, (value, place) in words.items():
        changed = meant(f"--{word}", value).model_dump()
        *rooms, setting = place
        inner, before = changed, plain
        for room in rooms:
            inner, before = inner[room], before[room]
        assert inner[setting] == value != before[setting]
        inner[setting] = before[setting]
        assert changed == plain
    together = meant(*(part for word, (value, _) in words.items() for part in (f"--{word}", value)))
    assert (together.backbone, together.steps, together.seed, together.context.mode) == ("tiny:ltx-2", 7, 5, "causal-source")
    assert (together.parallel.workers, together.parallel.strategy) == (3, "ddp")


def test_zero_is_a_value(recipe):
    path = recipe("seed: 4\nparallel: {workers: 3}\n")
    assert meant("--seed", 0, "--workers", 0, "--recipe", path) == TrainRecipe()


def test_an_empty_recipe_is_the_defaults(recipe):
    assert meant("--recipe", recipe("")) == TrainRecipe()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--steps", "many"), "argument --steps: invalid int value: 'many'; see --help"),
        (("--steps", 0), "recipe command line: steps = 0: "),
        (("--seed", -1), "recipe command line: seed = -1: "),
        (("--workers", -2), "recipe command line: parallel.workers = -2: "),
        (("--strategy", "zero9"), "recipe command line: parallel.strategy = 'zero9': "),
        (("--mode", "causal"), "recipe command line: context.mode = 'causal': "),
        (("--pairs", 3), "unrecognized arguments: --pairs 3; see --help"),
        (("--out",), "argument --out: expected one argument; see --help"),
        (
            ("--recipe", "/none/such.yaml"),
            "recipe /none/such.yaml: No such file or directory; give --recipe an existing YAML file",
        ),
    ],
)
def test_what_cannot_be_meant_is_said_on_one_line(words, said):
    assert refused(*words).startswith(said)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- 1\n", "expected a mapping of settings, found list"),
        ("steps: [1", "not YAML"),
        ("lora: {rank: zero}", "lora.rank = 'zero': "),
        ("lora: {size: 3}", "lora.size: no such setting; remove it or correct its name"),
        ("optimizer: 3", "optimizer = 3: "),
        ("parallel: {strategy: ddp, offload: all}", "offload all needs zero1, zero2 or zero3"),
    ],
)
def test_a_recipe_that_cannot_be_used_is_said_on_one_line(recipe, text, said):
    path = recipe(text)
    error = refused("--recipe", path)
    assert error.startswith(f"recipe {path}: ")
    assert said in error


def test_a_word_that_contradicts_the_recipe(recipe):
    path = recipe("parallel: {strategy: zero3, offload: all}")
    assert "offload all needs zero1, zero2 or zero3" in refused("--recipe", path, "--strategy", "ddp")
