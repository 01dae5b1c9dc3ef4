"""Pairs that models make, from the outside: the models replay known pictures and videos, so that every verdict, the funnel and who was asked
for what are exact."""

import json
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
import psutil
import pytest
from PIL import Image

from synclora.curation.recipe import CurateRecipe
from synclora.media.decode import Decoder
from synclora.pairs.diffusion.catalogue import read_catalogue
from synclora.pairs.diffusion.scenes import scene
from synclora.pairs.diffusion.settings import Stage
from synclora.pairs.diffusion.take import Scene
from tests.jobs.conftest import Curated, joined, rows_of
from tests.jobs.replay import Replay

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

RECIPE = """
generate:
  prompts: {prompts}
  portrait: {{model: "tiny:flux", steps: 2, width: 192, height: 192, pool: {{gpus: 0, cpus: 0.2, batch: 2}}}}
  edit: {{model: "tiny:flux-kontext", steps: 2, width: 192, height: 192, pool: {{gpus: 0, cpus: 0.2, batch: 2}}}}
  video: {{model: "tiny:wan-i2v", steps: 2, width: 384, height: 192, frames: 25, fps: 25, pool: {{gpus: 0, cpus: 0.2}}}}
  checks: {{cpus: 0.1}}
  goal: {{scenes: {scenes}, ahead: 6}}
  attempts: 1
resources: {{actors: 1, actor_cpus: 0.5}}
"""

EXPECTED = [  # by scene: verdict, reason, the stage that dropped it
    ("quarantined", "no_face", "portrait"),
    ("kept", None, ""),
    ("rejected", "no_edit", "edit"),
    ("quarantined", "crashed", "edit"),  # ends its worker each time
    ("rejected", "", ""),  # the puppets' own verdict
    ("quarantined", "not_finite", "video"),
    ("quarantined", "duplicate", ""),
    ("quarantined", "crashed", "video"),  # the pipeline raises
    ("kept", None, ""),
]
KEPT, REJECTED = (1, 6, 8), 4


class Play(NamedTuple):
    """What the models replay, and the recipe that asks for it."""

    recipe: Path
    replay: Replay
    scenes: list[Scene]


def _pictures(folder: Path, pair: Path) -> list[Path]:
    """First frames of both halves."""
    paths = []
    for half in ("source", "edited"):
        with Decoder() as decoder:
            Image.fromarray(next(decoder.frames(pair / f"{half}.mp4"))).save(folder / f"{pair.name}-{half}.png")
        paths.append(folder / f"{pair.name}-{half}.png")
    return paths


@pytest.fixture(scope="module")
def play(puppets: Curated, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Play]:
    """play(name, scenes): a recipe and all that is to be seen: of the three puppets, two are kept and one is not."""
    rows = list(rows_of(puppets.out).values())
    good = [(puppets.out / row["source"]).parent for row in rows if row["verdict"] == "kept"]
    bad = next((puppets.out / row["source"]).parent for row in rows if row["verdict"] == "rejected")

    def make(name: str, scenes: int = len(EXPECTED), **more: object) -> Play:
        folder = tmp_path_factory.mktemp(name)
        (folder / "prompts").mkdir()
        (folder / "prompts" / "gestures.txt").write_text("x" * 500 + "\n")
        recipe = folder / "recipe.yaml"
        recipe.write_text(RECIPE.format(prompts=folder / "prompts", scenes=scenes))
        settings = CurateRecipe.from_yaml(recipe).generate
        asked = [scene(number, settings, read_catalogue(settings.prompts)) for number in range(scenes)]
        play = Play(recipe, Replay(folder / "replay", **more), asked)
        shown = {1: good[0], 6: good[0], 8: good[1], REJECTED: bad}
        for number, one in enumerate(asked):
            _write(play.replay, one, number, shown.get(number, good[0]), folder)
        return play

    return make


def _write(replay: Replay, one: Scene, number: int, pair: Path, folder: Path) -> None:
    pictures = _pictures(folder, pair)
    if number == 0:
        Image.fromarray(np.full((192, 192, 3), 120, np.uint8)).save(folder / "grey.png")
    replay.write(Stage.PORTRAIT, one, picture=folder / "grey.png" if number == 0 else pictures[0])
    replay.write(Stage.EDIT, one, picture=pictures[0 if number == 2 else 1], fault="kill" if number == 3 else None)
    fault = {5: "nan", 7: "raise"}.get(number)
    replay.write(Stage.VIDEO, one, video=(pair / "source.mp4", pair / "edited.mp4"), fault=fault)


@pytest.fixture(scope="module")
def make(driver: str, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., int]:
    """make(play, out, words): the command within this process, on the warm Ray; its status."""
    from jobs.curate import main

    def run(play: Play, out: Path, *words: object) -> int:
        with joined(driver), pytest.MonkeyPatch.context() as patch:
            patch.setenv("COLUMNS", "200")
            return main(["--recipe", str(play.recipe), "--out", str(out), *map(str, words)], play.replay)

    return run


class Played(NamedTuple):
    """A finished run."""

    play: Play
    out: Path
    said: str


@pytest.fixture(scope="module")
def played(play, make, tmp_path_factory) -> Played:
    """All nine scenes. Not to be written to: take a copy."""
    from contextlib import redirect_stdout
    from io import StringIO

    one, out = play("played", room=1), tmp_path_factory.mktemp("played") / "out"
    with redirect_stdout(StringIO()) as said:
        assert make(one, out) == 0
    return Played(one, out, said.getvalue())


@pytest.fixture
def again(played: Played, tmp_path: Path) -> tuple[Play, Path]:
    """A copy of the run, its calls forgotten."""
    shutil.copytree(played.out, tmp_path / "out")
    played.play.replay.forget()
    return played.play, tmp_path / "out"


def test_every_scene_is_one_row_with_its_verdict(played, puppets):
    rows = rows_of(played.out)
    reason = next(row["reason"] for row in rows_of(puppets.out).values() if row["verdict"] == "rejected")
    assert len(rows) == len(EXPECTED) + 1
    assert rows["gestures.txt line 1"]["reason"] == "bad_row"
    for one, (verdict, why, at) in zip(played.play.scenes, EXPECTED, strict=True):
        row = rows[one.name]
        assert (row["verdict"], row["reason"]) == (verdict, reason if why == "" else why), row["detail"]
        truth = json.loads(row["truth"])
        assert truth["at"] == at
        assert truth["scene"]["edit"] == row["caption"] == one.edit
        assert row["detail"] or verdict == "kept"
    assert rows[played.play.scenes[3].name]["detail"] == "ended its worker 1 times"
    assert rows[played.play.scenes[7].name]["detail"] == "ValueError: no such prompt"


def test_captions_and_halves_of_what_is_kept(played):
    lines = [json.loads(line) for line in (played.out / "metadata.jsonl").read_text().splitlines()]
    assert [line["caption"] for line in lines] == [played.play.scenes[number].edit for number in (1, 8)]
    for line in lines:
        with Decoder() as decoder:
            halves = [decoder.probe(played.out / line[name]) for name in ("video", "reference_video")]
        assert [(half.width, half.height, half.frames) for half in halves] == [(192, 192, 25)] * 2


def test_it_tells_the_funnel_once(played):
    assert "portrait: batch 2 to 1, out of memory on " in played.said
    assert played.said.count("batch 2 to 1") == 1
    assert "generated 9 scenes: 2 kept, dropped 1 by portrait 2 by edit 2 by video 2 by verdict" in played.said
    assert "all scenes tried: 2 kept of 9" in played.said
    assert "10 = 2 kept + 2 rejected + 6 quarantined" in played.said
    for noise in ("WARNING", "Error", "Traceback", "ray"):
        assert noise not in played.said
    assert "funnel, step by step" in (played.out / "report.html").read_text()


def test_who_was_asked_for_what(played):
    calls = Counter(stage for stage, _ in played.play.replay.calls())
    assert calls == {"portrait": 9, "edit": 7, "video": 5}  # not of the killed, the raising and what was dropped before
    opened = played.play.replay.calls("open")
    assert len(opened) == len(set(opened))  # once in each process
    assert not list(played.out.rglob(".*.*"))


def test_a_second_run_asks_nobody_and_ends_with_the_same_bytes(again, played, make, capfd):
    play, out = again
    shutil.rmtree(out / "attempts", ignore_errors=True)
    assert make(play, out, "--min-sync", 1) == 0
    assert {stage for stage, _ in play.replay.calls("open")} <= {
        "edit",
        "video",
    }  # what failed is tried again, with no new portrait
    assert Counter(stage for stage, _ in play.replay.calls()) == {
        "video": 1
    }  # the NaN one; the others end before they make anything
    assert "0 kept + 4 rejected" in capfd.readouterr().out
    assert make(play, out, "--rescore") == 0
    for name in ("manifest.parquet", "metadata.jsonl"):
        assert (out / name).read_bytes() == (played.out / name).read_bytes()


def test_another_edit_model_makes_edits_and_videos_anew(again, make):
    play, out = again
    one = play.scenes[1]
    edit = next((out / "generated" / "edit").glob(f"*/{_made(out, one, Stage.EDIT)}/picture.png"))
    picture = np.array(Image.open(edit))
    picture[0, 0] ^= 1
    Image.fromarray(picture).save(out / "another.png")
    play.replay.write(Stage.EDIT, one, picture=out / "another.png")
    recipe = play.recipe.with_name("other.yaml")
    recipe.write_text(
        play.recipe.read_text().replace('kontext", steps: 2', 'kontext", steps: 3').replace("scenes: 9", "scenes: 3")
    )
    assert make(play._replace(recipe=recipe), out) == 0
    assert Counter(stage for stage, _ in play.replay.calls()) == {"edit": 2, "video": 1}
    play.replay.write(Stage.EDIT, one, picture=edit)
    assert [row["verdict"] for row in rows_of(out).values()] == ["quarantined", "quarantined", "kept", "rejected"]


def _made(out: Path, one: Scene, stage: Stage) -> str:
    return json.loads(rows_of(out)[one.name]["truth"])["made"][stage]


def test_it_ends_at_the_target_whatever_is_still_at_work(play, make, tmp_path, capfd):
    one = play("target", 9)
    for late in one.scenes[2:]:
        one.replay.write(Stage.VIDEO, late, one.scenes[1], fault="wait")
        one.replay.write(Stage.EDIT, late, one.scenes[1], fault="wait")
    begun, out = time.monotonic(), tmp_path / "out"
    assert make(one, out, "--target-kept", 1) == 0
    assert time.monotonic() - begun < 200  # and not ten minutes
    said = capfd.readouterr()
    assert "target reached: 1 kept of 2 scenes" in said.out
    assert said.err == ""
    assert [row["verdict"] for row in rows_of(out).values()] == ["quarantined", "quarantined", "kept"]
    assert len(list((out / "generated" / "portrait").glob("*/*"))) > 2  # kept for the next run
    while any(psutil.pid_exists(int(process)) and _works(int(process)) for _, process in one.replay.calls("open")):
        assert time.monotonic() - begun < 250
        time.sleep(0.1)
    one.replay.forget()
    assert make(one, out, "--target-kept", 1) == 0  # what is made suffices
    assert one.replay.calls("open") == []


def _works(process: int) -> bool:
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(process).status() != psutil.STATUS_ZOMBIE
    return False


def test_a_full_disk_costs_one_line_and_nothing_that_was_finished(play, make, tmp_path, capfd):
    disk, one = tmp_path / "disk", play("disk", 2)
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("a small disk cannot be mounted here")
    try:
        (disk / "ballast").write_bytes(bytes(900_000))
        assert make(one, disk / "out") == 2
        assert capfd.readouterr().err == "curate: No space left on device; what was finished stays, run again to go on\n"
        before = {path: path.read_bytes() for path in (disk / "out" / "generated").rglob("*") if path.is_file()}
        (disk / "ballast").unlink()
        assert make(one, disk / "out") == 0
        assert {path: path.read_bytes() for path in before} == before
        assert "3 = 1 kept + 0 rejected + 2 quarantined" in capfd.readouterr().out
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)  # a worker that is just ending may still hold a file


def test_a_model_that_does_not_load_ends_the_run_on_one_line(play, make, tmp_path, capfd):
    one = play("broken", 2)
    (one.replay.folder / "edit-does-not-load").touch()
    assert make(one, tmp_path / "out") == 2
    assert capfd.readouterr().err == "curate: model tiny:flux-kontext: does not load\n"
    assert len(list((tmp_path / "out" / "generated" / "portrait").glob("*/*"))) == 2
