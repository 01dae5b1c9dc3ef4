"""Counts that add up to the manifest, costs that count each artifact once; nothing that is missing ends the counting."""

import json
import math
import shutil
import tracemalloc

import pytest

from synclora.errors import Reason
from synclora.motion.verdict import Judgement, Verdict
from synclora.pairs.base import Pair, View
from synclora.pairs.diffusion.funnel import PAPER_KEPT, PAPER_SCENES, Step, funnel_lines, funnel_of, read_funnel
from synclora.pairs.diffusion.settings import Stage
from synclora.pairs.diffusion.store import MadeStore
from synclora.pairs.diffusion.take import Take
from synclora.pairs.manifest import manifest_row
from tests.pairs.diffusion.by_hand import (
    BROKEN_VIDEO,
    GPU_S,
    KEPT,
    LATE,
    NO_EDIT,
    NO_PORTRAIT,
    TWO_PEOPLE,
    Ending,
    made_id,
    make,
    scene,
)

BROKEN_EDIT = Ending("hair", Stage.EDIT, Reason.CRASHED, made=False)
SHIFTED = Ending("hair", Stage.EDIT, Reason.MISALIGNED, rejected=True)
ENDINGS = [KEPT, LATE, NO_PORTRAIT, TWO_PEOPLE, NO_EDIT, NO_EDIT, SHIFTED, BROKEN_VIDEO, BROKEN_EDIT, Ending("hair", like=0)]
NOTHING = {}


def bad_row(number):
    """A line of a catalogue that cannot be used."""
    judgement = Judgement.unmeasured(Verdict.QUARANTINED, Reason.BAD_ROW, "edits.yaml, row 3: no text")
    return manifest_row(f"bad-{number}", Pair(f"edits.yaml-{number}", View(""), View("")), judgement, None, "f")


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    folder = tmp_path_factory.mktemp("set")
    make(folder, ENDINGS)
    return folder


@pytest.fixture(scope="module")
def funnel(out):
    return read_funnel(out / "manifest.parquet", MadeStore(out).facts)


def test_every_scene_ends_in_its_step(funnel):
    found = [(step.step, step.entered, step.rejected, step.quarantined, step.left) for step in funnel.steps]
    assert found == [
        (Step.PORTRAIT, 10, {}, {"out_of_memory": 1}, 9),
        (Step.PORTRAIT_CHECK, 9, {}, {"two_faces": 1}, 8),
        (Step.EDIT, 8, {}, {"crashed": 1}, 7),
        (Step.EDIT_CHECK, 7, {"no_edit": 2, "misaligned": 1}, {}, 4),
        (Step.VIDEO, 4, {}, {"not_finite": 1}, 3),
        (Step.VERDICT, 3, {"speech": 1}, {}, 2),
    ]
    assert list(funnel.steps[3].rejected) == ["no_edit", "misaligned"]  # the most frequent first
    assert (funnel.scenes, funnel.kept) == (10, 2)
    assert funnel.scenes == funnel.kept + sum(step.dropped for step in funnel.steps)


def test_kinds_add_up_to_the_whole(funnel):
    assert [(kind.kind, kind.scenes, kind.left) for kind in funnel.kinds] == [
        ("beard", 3, (3, 3, 3, 1, 0, 0)),
        ("hair", 7, (6, 5, 4, 3, 3, 2)),
    ]
    for i, step in enumerate(funnel.steps):
        assert sum(kind.left[i] for kind in funnel.kinds) == step.left


def test_what_scenes_share_is_paid_once(funnel):
    portraits, edits, videos = funnel.costs
    assert (portraits.made, edits.made, videos.made) == (8, 7, 3)  # nine scenes have a portrait, two of them the same
    assert [cost.gpu_s for cost in funnel.costs] == [8 * 2.0, 7 * 4.0, 3 * 64.0]
    assert funnel.gpu_s == 236.0
    assert funnel.gpu_s_per_kept() == 118.0
    assert funnel.gpu_s_per_kept(Stage.VIDEO) == 96.0
    assert (funnel.scenes_per_kept, videos.gpu_s_each, videos.models) == (5.0, 64.0, ("video-model",))
    assert not funnel.random
    assert (PAPER_SCENES, PAPER_KEPT) == (24577, 512)


def test_a_cost_that_is_not_noted_is_said_and_not_guessed(out, funnel, tmp_path):
    shutil.copytree(out, tmp_path / "set")
    store = MadeStore(tmp_path / "set")
    (store.folder(Stage.VIDEO, made_id(Stage.VIDEO, 0)) / "made.json").unlink()
    (store.folder(Stage.VIDEO, made_id(Stage.VIDEO, 1)) / "made.json").write_text('{"format": 1, "gpu_s": NaN}')
    less = read_funnel(tmp_path / "set" / "manifest.parquet", store.facts)
    assert less.steps == funnel.steps
    videos = less.costs[2]
    assert (videos.made, videos.unknown, videos.gpu_s, videos.gpu_s_each) == (3, 2, 64.0, 64.0)
    shutil.rmtree(tmp_path / "set" / "generated")
    none = read_funnel(tmp_path / "set" / "manifest.parquet", store.facts)
    assert none.steps == funnel.steps
    assert (none.gpu_s, none.costs[0].unknown) == (0.0, 8)
    assert math.isnan(none.costs[0].gpu_s_each)
    assert "of 18 pieces no cost is noted" in funnel_lines(none)["GPU"]


def test_a_prompt_that_cannot_be_used_is_no_scene():
    funnel = funnel_of([bad_row(0), bad_row(1)], lambda _stage, _id: NOTHING)
    assert (funnel.scenes, funnel.kept, funnel.other_rows, funnel.kinds) == (0, 0, 2, ())
    assert math.isnan(funnel.gpu_s_per_kept())
    assert math.isnan(funnel.scenes_per_kept)
    lines = funnel_lines(funnel)
    assert lines["Scenes"].startswith("0, 0 kept")
    assert lines["No scenes"].startswith("2 rows")


def test_a_scene_that_broke_off_without_a_word_ended_where_nothing_is():
    take = Take(scene(0, "hair"), {"portrait": made_id(0)})
    lost = Judgement.unmeasured(Verdict.QUARANTINED, Reason.MISSING, "x")
    row = manifest_row("x", take.pair("", None, None), lost, None, "f")
    funnel = funnel_of([row], lambda _stage, _id: NOTHING)
    assert [step.step for step in funnel.steps if step.dropped] == [Step.EDIT]


def test_the_order_of_rows_changes_nothing(out):
    takes = [Take(scene(i, "hair"), {stage.value: made_id(stage, i) for stage in Stage}).truth() for i in range(40)]
    rows = [{"verdict": "kept", "reason": None, "truth": truth} for truth in takes]

    def facts(_stage, identity):
        return {"gpu_s": int(identity, 16) / 7e17, "random": identity.endswith("0")}

    first, second = funnel_of(rows, facts), funnel_of(reversed(rows), facts)
    assert first == second
    assert first.gpu_s != sum(facts(None, made_id(Stage.EDIT, i))["gpu_s"] for i in range(40))
    assert first.random


def test_memory_does_not_grow_with_the_manifest():
    def rows():
        for i in range(4000):
            made = {stage.value: f"{3 * i + j:016x}" for j, stage in enumerate(Stage)}
            truth = json.dumps({"scene": {"kind": "hair", "portrait": "x" * 500}, "made": made, "at": ""})
            yield {"verdict": "rejected", "reason": "speech", "truth": truth}

    tracemalloc.start()
    funnel = funnel_of(rows(), lambda _stage, _id: NOTHING)
    _now, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert funnel.scenes == 4000
    assert peak < 4000 * 500  # less than the words of its scenes alone


def test_the_closing_lines(funnel):
    lines = funnel_lines(funnel)
    assert lines["Scenes"] == "10, 2 kept (20.0%; the paper: 24577 to 512, 2.1%)"
    assert lines["Portraits"] == "9 of 10 made, 8 passed (out_of_memory 1, two_faces 1)"
    assert lines["Edits"] == "7 of 8 made, 4 passed (no_edit 2, crashed 1, misaligned 1)"
    assert lines["Videos"] == "3 of 4 made, 2 kept (not_finite 1, speech 1)"
    assert lines["GPU"] == "236 GPU-seconds in what was made, 118.0 per kept pair (portrait 8.0, edit 14.0, video 96.0)"
    assert GPU_S[Stage.VIDEO] == 64.0
