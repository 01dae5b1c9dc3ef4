"""The driver takes up what is there, refuses what was made otherwise, and its table has a row for every set."""

import json
from pathlib import Path

import pytest

from synclora.curation.outdir import CURATION, remember
from synclora.curation.recipe import CurateRecipe
from synclora.embedded.ablation import RECIPE, STAGES, Ablation, AblationRecipe, figures, main, markdown
from synclora.embedded.evaluation.ablation_sets import VARIANTS, SetPlan
from synclora.errors import SyncLoraError
from synclora.outdir import open_output
from synclora.train.recipe import TrainRecipe
from tests.embedded.test_measure import scored

RECIPES = Path(__file__).parents[2] / "jobs" / "recipes"


def test_recipes_can_be_read_and_agree():
    ablation, train = AblationRecipe.from_yaml(RECIPE), TrainRecipe.from_yaml(RECIPES / "train-embedded-2.yaml")
    curate = CurateRecipe.from_yaml(RECIPES / "curate-embedded.yaml")
    assert ablation.train.encode.buckets == train.encode.buckets == ("128x128x17",)
    assert ablation.train.encode.face_share == train.encode.face_share == 0.58
    assert ablation.train.context == train.context
    assert ablation.train.lora == train.lora
    assert {"speech", "gaze", "blinks", "pose"} <= set(curate.puppet.defects)
    assert (curate.puppet.seed, ablation.curate.puppet.seed) == (0, 1)  # the pool is no part of the set
    bad = ablation.curate.puppet.bad_share * ablation.curate.puppet.pairs
    assert bad % len(ablation.curate.puppet.defects) == 0  # each cue as often


def test_a_pool_of_another_recipe_is_refused(tmp_path):
    recipe = AblationRecipe(curate=CurateRecipe.from_values({"puppet": {"pairs": 8}}, "here"))
    with open_output(tmp_path / "pool", CURATION):
        remember(tmp_path / "pool", recipe.curate)
    work = Ablation(recipe, None, tmp_path, tmp_path, lambda _line: None)
    work._pool()  # the same: nothing is done
    other = AblationRecipe(curate=CurateRecipe.from_values({"puppet": {"pairs": 9}}, "here"))
    with pytest.raises(SyncLoraError, match="pairs 8 -> 9"):
        Ablation(other, None, tmp_path, tmp_path, lambda _line: None)._pool()


def test_six_rows_with_what_each_loses():
    names = (*VARIANTS, "bare")
    results = [scored(unit, name, 0, 0.9 - 0.1 * at) for at, name in enumerate(names) for unit in ("a", "b")]
    found = figures(results)["sets"]["seen"]
    assert list(found) == list(names)
    assert found["without-gaze"]["blink"]["value"]["mean"] == pytest.approx(0.7)
    assert found["without-gaze"]["blink"]["over_all_cues"]["mean"] == pytest.approx(-0.2)
    plan = SetPlan(Path("pool"), dict.fromkeys(VARIANTS, ("x",)), dict.fromkeys(VARIANTS, ("x",)), {"x": ""})
    text = markdown(results, plan, AblationRecipe())
    assert [line.split(" |")[0][2:] for line in text.splitlines() if line.startswith("| ")][1:8] == list(names)
    assert "33% of 24 pairs were spoilt on purpose" in text
    assert json.dumps(found)


def test_a_failing_stage_is_one_line(tmp_path, capsys):
    assert STAGES[0] == "faces"
    assert main(["--portraits", str(tmp_path), "--out", str(tmp_path / "out"), "--until", "faces"]) == 2
    assert "MANIFEST.json" in capsys.readouterr().err
