"""One stage on one worker: exact ids, exact counts, exact reasons."""

import errno
import json
import multiprocessing
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from synclora.errors import MediaError, Reason
from synclora.media.decode import Decoder
from synclora.pairs.diffusion.find import ModelError
from synclora.pairs.diffusion.halves import side_by_side
from synclora.pairs.diffusion.look import Look
from synclora.pairs.diffusion.maker import Maker, already
from synclora.pairs.diffusion.settings import GenerateSettings, Stage
from synclora.pairs.diffusion.store import EDITED, PICTURE, SOURCE, MadeStore, made_id, stage_seed
from synclora.pairs.diffusion.take import Take
from tests.pairs.diffusion.stand_in import FOUNDS, KILL, StandIn, as_floats, drawn, found_of, settings_of, take_of


def maker_of(out: Path, model: StandIn, stage: Stage = Stage.PORTRAIT, *, run: str = "run", **settings: Any) -> Maker:
    return Maker(stage, settings_of(**settings), FOUNDS[stage], out, run, open_model=model.open)


def through(out: Path, takes: Sequence[Take], model: StandIn, settings: GenerateSettings, **named: Any) -> list[Take]:
    """All three stages."""
    for stage in Stage:
        takes = Maker(stage, settings, named.get(stage.value, FOUNDS[stage]), out, "run", open_model=model.open).make(takes)
    return list(takes)


def test_a_picture_is_rounded_and_its_facts_are_kept(tmp_path):
    levels = np.random.default_rng(1).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    off = (as_floats(levels) + np.where(levels % 2, 0.4, -0.4) / 255).astype(np.float32)
    model = StandIn(answers={"portrait 3": off})
    (take,) = maker_of(tmp_path, model).make([take_of(3)])
    seed = stage_seed(103, Stage.PORTRAIT)
    identity = made_id(Stage.PORTRAIT, "portrait0000", settings_of().portrait, "portrait 3", seed, [])
    assert take.made == {"portrait": identity}
    store = MadeStore(tmp_path)
    assert (store.picture(Stage.PORTRAIT, identity) == levels).all()
    facts = store.facts(Stage.PORTRAIT, identity)
    assert {name: facts[name] for name in ("model", "identity", "class", "random", "prompt", "seed", "batch")} == {
        "model": "house/portrait", "identity": "portrait0000", "class": "PortraitPipeline", "random": True,
        "prompt": "portrait 3", "seed": seed, "batch": 1,
    }  # fmt: skip
    assert facts["settings"] == settings_of().portrait.making()
    assert (facts["width"], facts["height"]) == (64, 64)
    assert take.spent_s == facts["gpu_s"] > 0
    assert take.dropped is None
    assert not (tmp_path / "attempts" / f"portrait-{identity}").exists()


def test_seconds_are_those_of_a_share_of_the_card(tmp_path):
    maker = maker_of(tmp_path, StandIn(during=lambda: time.sleep(0.2)), batch=2)
    begun = time.monotonic()
    takes = maker.make([take_of(0), take_of(1)])
    took = time.monotonic() - begun
    assert 0.1 <= sum(take.spent_s for take in takes) <= took / 2  # of half a card
    for take in takes:
        assert take.spent_s == takes[0].spent_s == MadeStore(tmp_path).facts(Stage.PORTRAIT, take.made["portrait"])["gpu_s"]


def test_each_stage_is_given_what_the_one_before_made(tmp_path):
    model, settings = StandIn(), settings_of(edit={"model": "b", "width": 96, "height": 96})
    (take,) = through(tmp_path, [take_of()], model, settings)
    store = MadeStore(tmp_path)
    portrait, edit = (store.picture(stage, take.made[stage]) for stage in (Stage.PORTRAIT, Stage.EDIT))
    assert [order.prompt for order in model.orders] == ["portrait 0", "edit 0", "speaks 0"]
    assert [order.seed for order in model.orders] == [stage_seed(100, stage) for stage in Stage]
    first, second, third = (order.picture for order in model.orders)
    assert first is None
    assert second is not None
    assert second.shape == (96, 96, 3)
    assert third is not None
    assert (third == side_by_side(portrait, edit, 128, 64)).all()
    assert (third[:, :64] == portrait).all()
    video = drawn((9, 64, 128, 3), stage_seed(100, Stage.VIDEO))
    with Decoder() as decoder:
        for name, half in ((SOURCE, video[:, :, :64]), (EDITED, video[:, :, 64:])):
            frames = np.stack(list(decoder.frames(store.folder(Stage.VIDEO, take.made["video"]) / name)))
            assert frames.shape == (9, 64, 64, 3)
            luma = np.array([0.2126, 0.7152, 0.0722])
            assert np.corrcoef((frames @ luma).ravel(), (half @ luma).ravel())[0, 1] > 0.98
    facts = store.facts(Stage.VIDEO, take.made["video"])
    assert (facts["width"], facts["height"], facts["frames"], facts["fps"]) == (128, 64, 9, 8)


def test_a_second_time_nothing_is_loaded(tmp_path):
    before = through(tmp_path, [take_of(0), take_of(1)], StandIn(), settings_of(batch=2))
    model = StandIn()
    after = through(tmp_path, [take_of(0), take_of(1)], model, settings_of())
    assert [take.made for take in after] == [take.made for take in before]
    assert (model.opened, model.calls, [take.spent_s for take in after]) == (0, [], [0, 0])


def test_another_edit_model_makes_again_from_there(tmp_path):
    (before,) = through(tmp_path, [take_of()], StandIn(), settings_of())
    model = StandIn(answers={"edit 0": np.zeros((64, 64, 3), np.float32)})
    (after,) = through(tmp_path, [take_of()], model, settings_of(), edit=found_of(Stage.EDIT, "another"))
    assert [order.prompt for order in model.orders] == ["edit 0", "speaks 0"]
    assert [after.made[stage] == before.made[stage] for stage in Stage] == [True, False, False]


def test_other_bytes_of_a_portrait_are_another_edit(tmp_path):
    first, second = (
        through(tmp_path / name, [take_of()], StandIn(answers={"portrait 0": np.full((64, 64, 3), shade, np.float32)}), settings_of())
        for name, shade in (("one", 0.2), ("two", 0.4))
    )  # fmt: skip
    assert [first[0].made[stage] == second[0].made[stage] for stage in Stage] == [True, False, False]


def test_dropped_and_stored_ones_stay_in_their_places(tmp_path):
    model = StandIn()
    maker = maker_of(tmp_path, model, batch=2)
    maker.make([take_of(1)])
    dropped = take_of(2).drop(Stage.PORTRAIT, Reason.NO_FACE, "none")
    takes = maker.make([take_of(0), take_of(1), dropped, take_of(3), take_of(4)])
    assert [take.scene.number for take in takes] == [0, 1, 2, 3, 4]
    assert takes[2] == dropped
    assert takes[1].spent_s == 0
    assert model.calls == [["portrait 1"], ["portrait 0", "portrait 3"], ["portrait 4"]]
    assert model.opened == 1


def test_without_its_portrait_there_is_no_edit(tmp_path):
    lost = replace(take_of(), made={"portrait": "0" * 16})
    for take in maker_of(tmp_path, StandIn(), Stage.EDIT).make([take_of(), lost]):
        assert (take.dropped, take.at, take.rejected) == (Reason.MISSING, "edit", False)


@pytest.mark.parametrize(
    ("answer", "reason", "detail"),
    [
        (np.full((64, 64, 3), np.nan, np.float32), Reason.NOT_FINITE, "12288 of 12288 values are no numbers; another dtype may help"),
        (np.zeros((32, 64, 3), np.float32), Reason.PICTURE_SIZE, "the model made 64x32 instead of 64x64"),
        (np.zeros((64, 64), np.float32), Reason.PICTURE_SIZE, "the model made an array (64, 64) instead of 64x64"),
        (ValueError("no\nsuch scheduler"), Reason.CRASHED, "ValueError: no such scheduler"),
        (RuntimeError("CUDA out of memory"), Reason.OUT_OF_MEMORY, "RuntimeError: CUDA out of memory"),
        (MediaError(Reason.BROKEN_MEDIA, "odd"), Reason.BROKEN_MEDIA, "odd"),
    ],
)  # fmt: skip
def test_a_scene_that_cannot_be_made_is_alone_with_it(tmp_path, answer, reason, detail):
    if isinstance(answer, np.ndarray) and np.isnan(answer).all():
        answer[0, 0] = np.inf
    takes = maker_of(tmp_path, StandIn(answers={"portrait 1": answer}), batch=4).make([take_of(n) for n in range(4)])
    assert [take.dropped for take in takes] == [None, reason, None, None]
    assert (takes[1].at, takes[1].detail, takes[1].rejected, takes[1].made) == ("portrait", detail, False, {})
    assert takes[1].spent_s > 0


@pytest.mark.parametrize(
    ("shape", "reason", "detail"),
    [
        ((17, 64, 128, 3), Reason.LENGTH_MISMATCH, "the model made 17 frames instead of 9"),
        ((9, 64, 64, 3), Reason.PICTURE_SIZE, "the model made 64x64 instead of 128x64"),
        ((64, 128, 3), Reason.PICTURE_SIZE, "the model made an array (64, 128, 3) instead of 128x64"),
    ],
)
def test_a_video_of_another_shape(tmp_path, shape, reason, detail):
    model = StandIn(answers={"speaks 0": np.zeros(shape, np.float32)})
    (take,) = through(tmp_path, [take_of()], model, settings_of())
    assert (take.dropped, take.detail, sorted(take.made)) == (reason, detail, ["edit", "portrait"])


def test_memory_halves_the_batch_for_the_workers_life(tmp_path):
    model = StandIn(memory=2)
    maker = maker_of(tmp_path, model, batch=4)
    takes = maker.make([take_of(n) for n in range(4)]) + maker.make([take_of(n) for n in range(4, 8)])
    assert [len(call) for call in model.calls] == [4, 2, 2, 2, 2]
    assert [take.scene.number for take in takes if take.made] == list(range(8))
    assert [len(take.notes) for take in takes] == [1, 0, 0, 0, 0, 0, 0, 0]
    assert takes[0].notes[0].startswith("portrait: batch 4 to 2, out of memory on ")
    assert MadeStore(tmp_path).facts(Stage.PORTRAIT, takes[0].made["portrait"])["batch"] == 2


def test_a_model_that_takes_one_at_a_time(tmp_path):
    model = StandIn(batches=False)
    maker_of(tmp_path, model, batch=4).make([take_of(n) for n in range(3)])
    assert [len(call) for call in model.calls] == [1, 1, 1]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ModelError("portrait: 32x32 instead of 64x64"), "portrait: 32x32 instead of 64x64"),
        (RuntimeError("CUDA out of memory"), "portrait: house/portrait: no memory for 64x64 on .*; ask for a smaller size"),
        (KeyError("scheduler"), "portrait: house/portrait: KeyError: 'scheduler'"),
    ],
)
def test_a_model_that_cannot_warm_up_ends_the_run(tmp_path, error, said):
    with pytest.raises(ModelError, match=said):
        maker_of(tmp_path, StandIn(warm=error)).make([take_of()])


def test_a_full_disk_ends_the_run(tmp_path, monkeypatch):
    def full(*_arguments: object, **_named: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(MadeStore, "put_picture", full)
    with pytest.raises(OSError, match="No space"):
        maker_of(tmp_path, StandIn()).make([take_of()])


def _worker(out: Path, model: StandIn, batch: int, answers: Any, hang: float = 0.0) -> None:
    takes = maker_of(out, model, batch=batch, seconds_per_call=hang or 60).make([take_of(n) for n in range(3)])
    answers.put([(take.dropped, take.detail) for take in takes])


def ended_workers(out: Path, model: StandIn, batch: int, hang: float = 0.0) -> tuple[list[int | None], list[Any]]:
    """Statuses of processes that died until one went through, and what that one answers."""
    context, statuses = multiprocessing.get_context("fork"), list[int | None]()
    while len(statuses) < 9:
        answers = context.Queue()
        process = context.Process(target=_worker, args=(out, model, batch, answers, hang))
        process.start()
        process.join(30)
        if process.exitcode == 0:
            return statuses, answers.get(timeout=5)
        statuses.append(process.exitcode)
    raise AssertionError(statuses)


def test_what_ends_its_process_is_dropped_after_as_many_attempts(tmp_path):
    statuses, takes = ended_workers(tmp_path, StandIn(answers={"portrait 1": KILL}), batch=1)
    assert statuses == [9, 9]
    assert takes == [(None, ""), (Reason.CRASHED, "ended its worker 2 times"), (None, "")]


def test_what_ends_its_process_does_not_take_its_batch_with_it(tmp_path):
    statuses, takes = ended_workers(tmp_path, StandIn(answers={"portrait 1": KILL}), batch=3)
    assert statuses == [9, 9, 9]  # once together, twice alone
    assert takes == [(None, ""), (Reason.CRASHED, "ended its worker 2 times"), (None, "")]


def test_a_call_that_hangs_ends_its_process(tmp_path):
    statuses, takes = ended_workers(tmp_path, StandIn(during=lambda: time.sleep(20)), batch=1, hang=0.1)
    assert statuses == [75] * 6
    assert {reason for reason, _detail in takes} == {Reason.CRASHED}


def test_how_far_a_scene_is_already(tmp_path):
    settings, one = settings_of(), take_of()
    assert already(one, settings, FOUNDS, tmp_path) == one
    (made,) = through(tmp_path, [one], StandIn(), settings)
    assert already(one, settings, FOUNDS, tmp_path).made == made.made
    (MadeStore(tmp_path).folder(Stage.EDIT, made.made["edit"]) / PICTURE).unlink()
    assert list(already(one, settings, FOUNDS, tmp_path).made) == ["portrait"]
    assert already(one, settings, FOUNDS | {Stage.PORTRAIT: found_of(Stage.PORTRAIT, "new")}, tmp_path) == one


def test_what_a_check_once_measured_decides_again(tmp_path):
    settings, one, store = settings_of(), take_of(), MadeStore(tmp_path)
    (made,) = through(tmp_path, [one], StandIn(), settings)
    store.keep_look(Stage.EDIT, made.made["edit"], Look(64, 64, None, change=0.004))
    dropped = already(one, settings, FOUNDS, tmp_path)
    assert (dropped.dropped, dropped.at, dropped.rejected, sorted(dropped.made)) == (
        Reason.NO_EDIT,
        "edit",
        True,
        ["edit", "portrait"],
    )
    lower = settings_of(checks={"faces": False, "min_edit": 0.001})
    assert already(one, lower, FOUNDS, tmp_path).made == made.made
    # looked at without looking for faces: with faces asked for, that is no answer
    assert already(one, settings_of(checks={"faces": True}), FOUNDS, tmp_path).made == made.made


def test_made_json_is_the_promised_one(tmp_path):
    (take,) = through(tmp_path, [take_of()], StandIn(), settings_of())
    facts = json.loads((MadeStore(tmp_path).folder(Stage.VIDEO, take.made["video"]) / "made.json").read_text())
    assert set(facts) == {
        *("format", "stage", "model", "identity", "class", "random", "settings", "prompt", "seed", "gpu_s", "batch"),
        *("width", "height", "frames", "fps", "bytes"),
    }
