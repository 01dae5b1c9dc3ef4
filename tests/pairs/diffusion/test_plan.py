"""The plan: exact numbers for given settings, a run's own seconds and shares instead of the recipe's, and which budget ends it first."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from synclora.curation.recipe import CurateRecipe
from synclora.errors import Reason
from synclora.motion.verdict import Judgement, Verdict
from synclora.pairs.base import View
from synclora.pairs.diffusion.find import Found
from synclora.pairs.diffusion.maker import Maker
from synclora.pairs.diffusion.plan import ENOUGH_JUDGED, ENOUGH_MADE, Estimate, plan, plan_lines, plan_table
from synclora.pairs.diffusion.settings import GenerateSettings, Stage
from synclora.pairs.diffusion.store import MadeStore
from synclora.pairs.diffusion.take import Scene, Take
from synclora.pairs.manifest import manifest_row, write_rows
from tests.pairs.diffusion.stand_in import StandIn


def found(number: int, stage: Stage) -> Found:
    name, pipeline = f"some/{stage.value}", f"{stage.value.title()}Pipeline"
    return Found(name, None, None, pipeline, f"{number:012x}", number * 10**9, number * 2 * 10**9, random=False)


FOUNDS = {stage: found(number, stage) for number, stage in enumerate(Stage, 1)}


def settings(**goal: float) -> GenerateSettings:
    square = {"width": 64, "height": 64}
    pool = {"min_actors": 2, "max_actors": 4, "resource": "big"}
    values = {
        "portrait": {**square, "model": "a", "expect_s": 9, "pool": {"gpus": 0.5, "max_actors": 2, "batch": 4}},
        "edit": {**square, "model": "b", "expect_s": 20},
        "video": {"model": "c", "expect_s": 100, "width": 128, "height": 64, "frames": 17, "pool": pool},
        "expect": {"portrait": 0.5, "edit": 0.5, "video": 0.1},
        "goal": {"scenes": 100_000, **goal},
    }
    return GenerateSettings.model_validate(values)


def facts(of: GenerateSettings, stage: Stage, gpu_s: float) -> dict:
    return {"identity": FOUNDS[stage].identity, "settings": of.stage(stage).making(), "gpu_s": gpu_s}


def noted(out: Path, of: GenerateSettings, stage: Stage, number: int, gpu_s: float, **other: object) -> str:
    """What an artifact leaves of its cost."""
    identity = f"{number:016x}"
    folder = MadeStore(out).folder(stage, identity)
    folder.mkdir(parents=True)
    (folder / "made.json").write_text(json.dumps({"format": 1, **facts(of, stage, gpu_s), **other}))
    return identity


def ended(out: Path, takes: list[tuple[Take, Verdict]]) -> None:
    """A run's manifest."""
    rows = []
    for take, verdict in takes:
        pair = replace(take.pair("token", None, None), source=View("a"), edited=View("b"))
        judgement = Judgement.unmeasured(verdict, take.dropped or Reason.SYNC, "")
        rows.append(manifest_row(take.scene.name, pair, judgement, None, "rule"))
    write_rows(out / "manifest.parquet", rows)


def test_numbers_of_a_target(tmp_path):
    of = settings(target_kept=5)
    made = plan(of, FOUNDS, tmp_path / "nowhere")
    assert (made.needed, made.scenes, made.ends) == (200, 200, "")  # .5 x .5 x .1 = .025
    assert [stage.items for stage in made.stages] == [200, 100, 50]
    assert [stage.seconds for stage in made.stages] == [Estimate(9), Estimate(20), Estimate(100)]
    assert [round(stage.gpu_hours * 3600) for stage in made.stages] == [1800, 2000, 5000]
    assert made.gpu_hours == pytest.approx(8800 / 3600)
    assert [round(stage.wall_hours * 3600) for stage in made.stages] == [1800, 2000, 1250]  # two halves, one, four cards
    assert made.wall_hours == pytest.approx(2000 / 3600)
    assert made.kept == pytest.approx(5)


def test_the_papers_goal_with_the_shipped_recipe(tmp_path):
    of = CurateRecipe.from_yaml(Path(__file__).parents[3] / "jobs" / "recipes" / "diffusion-pools.yaml").generate
    made = plan(of, FOUNDS, tmp_path)
    assert (made.target, made.ends) == (512, "")
    assert made.scenes == 23_704  # the paper needed 24,577
    assert made.gpu_hours < of.goal.gpu_hours
    assert made.stages[2].gpu_hours > 0.9 * made.gpu_hours


@pytest.mark.parametrize(
    ("goal", "scenes", "ends", "words"),
    [
        ({"target_kept": 5, "scenes": 150}, 150, "scenes", "5 kept need about 200 scenes"),
        ({"target_kept": 5, "scenes": 200}, 200, "", ""),
        ({"target_kept": 5, "gpu_hours": 4400 / 3600}, 100, "gpu_hours", "5 kept need about 200 scenes"),
        ({"target_kept": 5, "gpu_hours": 8800 / 3600}, 200, "", ""),
        ({"target_kept": 5, "gpu_hours": 4400 / 3600, "scenes": 50}, 50, "scenes", "goal.scenes ends the run"),
        ({"scenes": 40}, 40, "", ""),
        ({"scenes": 40, "gpu_hours": 880 / 3600}, 20, "gpu_hours", "before all of its 40 scenes"),
        ({"scenes": 40, "gpu_hours": 0.001}, 0, "gpu_hours", "before all of its 40 scenes"),
    ],
)
def test_which_budget_ends_it(tmp_path, goal, scenes, ends, words):
    made = plan(settings(**goal), FOUNDS, tmp_path)
    assert (made.scenes, made.ends) == (scenes, ends)
    assert words in "\n".join(plan_lines(made))
    assert ("before" in "\n".join(plan_lines(made))) == bool(ends)


def test_seconds_that_were_measured_take_the_place_of_expected_ones(tmp_path):
    of = settings(target_kept=5)
    for number in range(ENOUGH_MADE - 1):
        noted(tmp_path, of, Stage.EDIT, number, 30 + number)
    assert plan(of, FOUNDS, tmp_path).stages[1].seconds == Estimate(20)
    noted(tmp_path, of, Stage.EDIT, 99, 40)
    made = plan(of, FOUNDS, tmp_path)
    assert made.stages[1].seconds == Estimate((30 + 31 + 32 + 33 + 40) / 5, 5)
    assert made.stages[0].seconds == Estimate(9)
    assert round(made.stages[1].gpu_hours * 3600) == 3320


def test_other_models_and_settings_are_not_measured(tmp_path):
    of = settings()
    for number in range(ENOUGH_MADE):
        noted(tmp_path, of, Stage.EDIT, number, 30, identity="another")
        noted(tmp_path, of, Stage.EDIT, 100 + number, 30, settings={"steps": 2})
        noted(tmp_path, of, Stage.EDIT, 200 + number, -1)
        noted(tmp_path, of, Stage.EDIT, 300 + number, 30, format=99)
    (tmp_path / "generated/edit/00/.half").mkdir()
    assert plan(of, FOUNDS, tmp_path).stages[1].seconds == Estimate(20)


def test_what_a_maker_leaves_is_measured(tmp_path):
    of, stage = settings(), Stage.PORTRAIT
    maker = Maker(stage, of, FOUNDS[stage], tmp_path, "run", open_model=StandIn().open)
    takes = [Take(Scene(number, f"one {number}", "hair", "dye", "talks", number), {}) for number in range(ENOUGH_MADE)]
    assert all(take.made for take in maker.make(takes))
    assert plan(of, FOUNDS, tmp_path).stages[0].seconds.measured == ENOUGH_MADE


def test_shares_of_the_last_run_take_the_place_of_expected_ones(tmp_path):
    of, takes = settings(target_kept=4), []
    for number in range(200):
        take = Take(
            Scene(number, "one", "hair", "dye", "talks", number), {"portrait": noted(tmp_path, of, Stage.PORTRAIT, number, 9)}
        )
        if number < 40:
            takes.append((take.drop(Stage.PORTRAIT, Reason.NO_FACE, ""), Verdict.QUARANTINED))
            continue
        take = replace(take, made=take.made | {"edit": noted(tmp_path, of, Stage.EDIT, number, 20)})
        if number < 80:
            takes.append((take.drop(Stage.EDIT, Reason.NO_EDIT, "", rejected=True), Verdict.REJECTED))
        elif number < 100:
            takes.append(
                (take.drop(Stage.VIDEO, Reason.CRASHED, ""), Verdict.QUARANTINED)
            )  # never made: says nothing of the share
        else:
            take = replace(take, made=take.made | {"video": noted(tmp_path, of, Stage.VIDEO, number, 100)})
            takes.append((take, Verdict.KEPT if number < 110 else Verdict.REJECTED))
    lost = Take(Scene(999, "one", "hair", "dye", "talks", 1), {}).drop(Stage.PORTRAIT, Reason.OUT_OF_MEMORY, "")
    ended(tmp_path, [*takes, (lost, Verdict.QUARANTINED)])
    made = plan(of, FOUNDS, tmp_path)
    assert [stage.passes for stage in made.stages] == [Estimate(0.8, 200), Estimate(0.75, 160), Estimate(0.1, 100)]
    assert made.needed == 67  # 4 / (.8 x .75 x .1)


def test_few_scenes_say_nothing_and_none_kept_is_not_never(tmp_path):
    of = settings(target_kept=5)
    takes = [
        (Take(Scene(number, "one", "hair", "dye", "talks", number), {"video": noted(tmp_path, of, Stage.VIDEO, number, 100)}), Verdict.REJECTED)
        for number in range(ENOUGH_JUDGED)
    ]  # fmt: skip
    ended(tmp_path, takes[:-1])
    assert plan(of, FOUNDS, tmp_path).stages[2].passes == Estimate(0.1)
    ended(tmp_path, takes)
    assert plan(of, FOUNDS, tmp_path).stages[2].passes == Estimate(1 / 51, 50)


def test_what_another_model_made_says_nothing_of_the_share(tmp_path):
    of, takes = settings(), []
    for number in range(ENOUGH_JUDGED):
        made = {"edit": noted(tmp_path, of, Stage.EDIT, number, 20, identity="another")}
        takes.append((Take(Scene(number, "one", "hair", "dye", "talks", number), made), Verdict.REJECTED))
    ended(tmp_path, takes)
    assert plan(of, FOUNDS, tmp_path).stages[1].passes == Estimate(0.5)


@pytest.mark.parametrize("content", [b"no parquet", b""])
def test_a_manifest_that_cannot_be_read_is_none(tmp_path, content):
    (tmp_path / "manifest.parquet").write_bytes(content)
    assert plan(settings(), FOUNDS, tmp_path).stages[0].passes == Estimate(0.5)


def test_the_table_says_it_all(tmp_path):
    of = settings(target_kept=5, scenes=150)
    noted(tmp_path, of, Stage.PORTRAIT, 0, 9)
    founds = FOUNDS | {Stage.EDIT: replace(FOUNDS[Stage.EDIT], random=True, bytes=0)}
    console = Console(width=220, record=True, file=open("/dev/null", "w"))  # noqa: PTH123, SIM115
    console.print(plan_table(plan(of, founds, tmp_path)))
    shown = console.export_text()
    for words in ("some/video", "VideoPipeline", "3 B", "6 GB", "unknown", "(random weights)", "128x64", "17 frames, 16 fps", "bfloat16",
                  "2-4, 1 GPU each", "big", "1-2, 0.5 GPU each", "0.1 (expected)", "150 scenes, about 3.8 pairs kept (2.50%",
                  "1.8 GPU-hours", "the edit pool is the slowest", "generate.goal.scenes ends the run before its target"):  # fmt: skip
        assert words in shown, words
