"""The tables say what the videos scored; a run goes on where it was, and takes no result of other weights."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from synclora.backbone.tiny import tiny_folder
from synclora.edit.settings import EditSettings
from synclora.embedded.evaluation.make import Condition
from synclora.embedded.evaluation.report import cell, gains_of, markdown, table_of
from synclora.embedded.evaluation.result import Result
from synclora.embedded.evaluation.score import Score
from synclora.embedded.evaluation.sets import Clip
from synclora.embedded.evaluation.stats import Spread
from synclora.embedded.measure import Asked, _noted, digests_of, main, named, run
from synclora.errors import SyncLoraError


def scored(unit, condition, seed, blink, mean=0.5):
    cues = {"speech": 0.5, "gaze": None, "blink": blink, "pose": 0.5}
    score = Score(cues, mean, {}, None, "rejected", "sync", None, 0.1, 0.0, 1.0, 1.0)
    clip = Clip("seen", unit, unit, "nasa_astronaut", "a hat", Path("s"), Path("f"), None)
    return Result(clip, condition, seed, score, Path("v"), Path("r"), 1.0)


def test_tables_hold_means_over_clips_and_what_the_adapter_adds():
    results = [scored("a", "lora", seed, value) for seed, value in enumerate((0.6, 0.8))] + [scored("b", "lora", 0, 0.9)]
    results += [scored("a", "bare", 0, 0.1), scored("a", "bare", 1, 0.3), scored("b", "bare", 0, 0.1)]
    table, gains = table_of(results), gains_of(results, ["lora"])
    assert table["seen"]["lora"]["blink"].mean == pytest.approx(0.8)
    assert table["seen"]["lora"]["gaze"] is None
    assert gains["seen"]["lora"]["blink"].mean == pytest.approx((0.5 + 0.8) / 2)
    text = markdown(table, gains, {"seeds": 2})
    row = next(line for line in text.splitlines() if line.startswith("| lora |"))
    cells = [part.strip() for part in row.strip("|").split("|")]
    assert len(cells) == 13
    assert cells[3] == "–"  # gaze: no clip tells it
    assert cells[4].startswith(".80 (")
    assert "| *lora over bare* | +.00 (" in text


def test_cells_are_short_and_keep_their_sign():
    value = Spread(-0.05, -0.2, 0.1, 3, 3)
    assert cell(value, interval=True) == "-.05 (-.20 to .10)"
    assert cell(replace(value, mean=6.4), interval=False) == "6.40"
    assert cell(None, interval=True) == "–"


def test_adapters_are_told_apart_by_their_folders():
    assert named([Path("out/one/adapter"), Path("adapters/two")]) == {"one": Path("out/one/adapter"), "two": Path("adapters/two")}
    with pytest.raises(SyncLoraError, match="the name bare is taken"):
        named([Path("bare")])
    with pytest.raises(SyncLoraError, match="the name one is taken"):
        named([Path("one"), Path("out/one/adapter")])
    assert [name for name in ("lora", "bare", "frozen", "source", "codec") if Condition(name).sampled] == [
        "lora",
        "bare",
    ]


def test_what_cannot_be_measured_is_one_line(tmp_path, capsys):
    words = ["--backbone", str(tmp_path), "--portraits", str(tmp_path), "--out", str(tmp_path / "out")]
    assert main(words) == 2
    assert capsys.readouterr().err.startswith("synclora.embedded.measure: backbone ")


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    """The miniature, which says that it knows faces at 64 pixels."""
    folder = tmp_path_factory.mktemp("backbone") / "tiny"
    shutil.copytree(tiny_folder("ltx-video"), folder)
    (folder / "model.json").write_text(json.dumps({"trained": {"width": 64, "height": 64, "frames": 17, "face_share": 0.58}}))
    return folder


@pytest.mark.slow
@pytest.mark.timeout(900)  # half a minute alone, five beside other work
def test_a_whole_run_and_how_it_goes_on(small_portraits, backbone, tmp_path):
    asked = Asked(str(backbone), (), small_portraits, tmp_path / "out", clips=1, seeds=2, sets=("real",), steps=1)
    said: list[str] = []
    results = run(asked, said.append)
    assert [(one.condition, one.seed) for one in results[:5]] == [
        ("bare", 0),
        ("bare", 1),
        ("frozen", 0),
        ("source", 0),
        ("codec", 0),
    ]
    assert len(said) == 5
    for one in results:
        if one.condition == "source":  # shrunk to 64 pixels and enlarged again: the motion is there
            assert one.score.mean > 0.8
            assert one.score.strength < 0.05
        if one.condition == "frozen":
            assert one.score.mean == 0
            assert one.score.first < 0.02
            assert one.score.face == 1
        if one.condition == "bare":  # random weights
            assert one.score.mean < 0.3
    numbers = json.loads((tmp_path / "out" / "numbers.json").read_text())
    assert numbers["sets"]["real"]["source"]["mean"]["units"] == 1
    assert "### 3. Real clips never trained on" in (tmp_path / "out" / "numbers.md").read_text()
    assert (tmp_path / "out" / "contact.png").stat().st_size > 10_000

    gone = results[3].video  # a killed run: one video is missing
    gone.unlink()
    again: list[str] = []
    once_more = run(asked, again.append)
    assert [line.split(":")[0] for line in again] == [f"real/{results[3].clip.name} source-0"]
    assert [one.score for one in once_more if one.condition != "source"] == [
        one.score for one in results if one.condition != "source"
    ]


def test_results_depend_on_weights_steps_and_clip(backbone, tmp_path):
    one = digests_of(str(backbone), {}, 8, EditSettings())
    assert digests_of(str(backbone), {}, 9, EditSettings())["bare"] != one["bare"]
    other = tmp_path / "other"
    shutil.copytree(backbone, other)
    file = next((other / "transformer").glob("*.safetensors"))
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    assert digests_of(str(other), {}, 8, EditSettings())["bare"] != one["bare"]
    (tmp_path / "note.json").write_text(json.dumps({"key": "a", "score": 1}))
    assert _noted(tmp_path / "note.json", "a") == {"key": "a", "score": 1}
    assert _noted(tmp_path / "note.json", "b") is None
    (tmp_path / "note.json").write_text('{"key": "a", "sc')
    assert _noted(tmp_path / "note.json", "a") is None
