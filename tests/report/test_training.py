import json
import math
import re
from fractions import Fraction

import cv2
import numpy as np
import pytest

from synclora.media.decode import Decoder
from synclora.motion.settings import VerdictSettings
from synclora.report.charts import MAX_POINTS
from synclora.report.held_out import MAX_EARLIER
from synclora.report.training import write_training_report
from synclora.report.words import RANDOM_WEIGHTS
from synclora.train.validation import EditedClip, record
from tests.report.conftest import HOSTILE, Tags, assert_alone, in_chromium

RULE = VerdictSettings()


def log(out, steps, tail="", **changes):
    """A log whose loss falls from 1 to e^-3, higher at high sigma."""
    rng = np.random.default_rng(0)
    (out / "log").mkdir(parents=True, exist_ok=True)
    with (out / "log" / "steps.jsonl").open("w") as file:
        for step in range(1, steps + 1):
            sigmas = rng.uniform(0, 1, 4)
            losses = math.exp(-3 * step / steps) * (1 + sigmas)
            line = {"step": step, "loss": losses.mean(), "losses": losses.tolist(), "sigmas": sigmas.tolist(), "grad_norm": 0.3}
            line |= {
                "lr": 2e-4 * (1 - step / steps),
                "seconds": 2.0,
                "tokens": 9000,
                "memory_mb": [900.0, 1100.4],
                "time": 1e9 + step,
            }
            file.write(json.dumps(line | {"ceiling_s": 1.8} | {k: v(step) for k, v in changes.items()}) + "\n")
        file.write(tail)


def clip(edit=2, name="noise", pair_id="ab12", **texts):
    source, target, ours = (np.random.default_rng(seed).integers(0, 255, (9, 64, 96, 3), dtype=np.uint8) for seed in (0, 1, edit))
    return EditedClip(pair_id, name, texts.get("caption", ""), Fraction(25), source, target, ours)


def page_of(out, random_base=False, **facts):
    write_training_report(out, facts={"backbone": "miniature"} | facts, random_base=random_base)
    return (out / "report.html").read_text(encoding="utf-8")


def words(page):
    return " ".join(re.sub(r"<(script|style)>.*?</\1>|<[^>]+>", " ", page, flags=re.DOTALL).split())


def figures(page):
    """Each chart's data, by the title above it; of a page with one pair."""
    found = re.findall(r'<figcaption><b>([^<]+)</b>.*?</figcaption>(<svg[^>]*class="chart trends"[^>]*>)', page)
    return {title: dict(re.findall(r'data-(\w+)="([^"]*)"', tag)) for title, tag in found}


@pytest.fixture(scope="module")
def real(portraits, landmarker, tmp_path_factory):
    """A run of 300 steps with an edit of a real pair at 100, 200 and 300: late at first, then the true half itself."""
    with Decoder() as decoder:
        source, target = (
            np.stack([cv2.resize(one, (256, 256), interpolation=cv2.INTER_AREA) for one in list(decoder.frames(path))[:49]])
            for path in (portraits / "pairs/mic_woman/source.mp4", portraits / "pairs/mic_woman/blonde_SyncLoRA.mp4")
        )
    out = tmp_path_factory.mktemp("run")
    log(out, 300)
    for step, late in ((100, 6), (200, 3), (300, 0)):
        edit = np.concatenate([np.repeat(target[:1], late, 0), target[: 49 - late]])
        one = EditedClip("ab12", "blonde", "blonde hair", Fraction(20), source, target, edit)
        record(out, step, [one], RULE, landmarker, random_base=False)
    return out


@pytest.fixture(scope="module")
def page(real):
    return page_of(real)


def test_the_headline_compares_the_ends_of_the_run(tmp_path):
    log(tmp_path, 100, loss=float)
    said = words(page_of(tmp_path, took="3 min"))
    assert "100 steps, loss 10.5 → 90.5" in said
    assert "Mean loss of the first 20 steps and of the last 20." in said
    assert "backbone miniature took 3 min" in said


def test_the_page_stands_alone_and_is_well_formed(page):
    assert Tags(page).open == []
    assert_alone(page)


def test_losses_are_shown_raw_smooth_and_by_sigma(page):
    shown = figures(page)
    assert shown["loss"]["names"] == "loss|mean"
    assert len(shown["loss"]["values"].split("|")[0].split(",")) == 300
    early, late = ([float(value) for value in values.split(",")] for values in shown["loss by σ"]["values"].split("|"))
    assert len(early) == len(late) == 10
    assert all(a > 5 * b for a, b in zip(early, late, strict=True))
    assert early[-1] > 1.5 * early[0]


def test_the_machine_is_shown_against_its_ceiling(page):
    assert "median 4 500, 90 % of the bare forward and backward pass" in words(page).replace("\u202f", " ")
    assert figures(page)["tokens per second"]["names"].endswith("bare transformer")
    assert "at most 1 100, by worker 1 of 2; the least 900" in words(page).replace("\u202f", " ")
    assert figures(page)["learning rate"]["values"].endswith(",0")


def test_the_last_edit_is_large_and_the_earlier_ones_small(page):
    images = [attrs for tag, attrs in Tags(page).found if tag == "img"]
    large = [
        image["alt"]
        for image in images
        if re.match(r"(source|true half|our edit) at \d", image["alt"]) and ", " not in image["alt"]
    ]
    small = [image["alt"] for image in images if image["alt"].startswith("our edit of step")]
    assert len(large) == 3 * 6
    assert [alt for alt in small if alt.endswith("picture 1")] == [f"our edit of step {step}, picture 1" for step in (200, 100)]
    assert len(small) == 2 * 6
    assert all(image["src"].startswith("data:image/jpeg;base64,") for image in images)


def test_sync_and_distance_follow_the_edits(page):
    shown = figures(page)
    sync, distance = (
        [float(v) for v in shown[name]["values"].split(",")] for name in ("sync score", "distance to the true half")
    )
    assert shown["sync score"]["titles"] == "step 100|step 200|step 300"
    assert sync == sorted(sync)
    assert sync[-1] > sync[0] + 0.05
    assert distance == sorted(distance, reverse=True)
    assert distance[-1] == 0
    assert {"speech", "gaze", "blink", "pose"} < set(shown)
    assert re.search(r"sync score true half 0\.\d\d, asked 0\.75", words(page))
    assert re.search(r"in levels of 255, the source itself \d\d\.\d", words(page))


def test_the_last_edit_has_a_card_with_its_curves(page):
    assert "Step 300, judged as curation judges a pair kept" in words(page)
    assert len(re.findall(r'class="chart lines', page)) == 4
    assert "edited at" in page
    assert 'class="strip"' in page


def test_the_same_inputs_give_the_same_bytes(real, page):
    assert page_of(real) == page
    assert not list(real.glob(".*.part"))


def test_headless_chromium_reads_the_values_out(real, page, tmp_path):
    ask = 'for (const one of document.querySelectorAll("svg.trends")) one.dispatchEvent(new KeyboardEvent("keydown", {key: "ArrowRight"}));'
    (tmp_path / "report.html").write_text(page.replace("</body>", f"<script>{ask}</script></body>"), encoding="utf-8")
    dom = in_chromium(tmp_path / "report.html")
    said = re.findall(r"<output[^>]*>([^<]+)</output>", dom)
    assert re.fullmatch(r"step 2: loss [\d.]+, mean [\d.]+", said[0])
    assert re.fullmatch(r"σ 0.1 to 0.2: early [\d.]+, late [\d.]+", said[1])
    assert re.fullmatch(r"step 200: sync score 0.\d+", said[2])


def test_random_weights_are_said_first(tmp_path):
    log(tmp_path, 3)
    assert words(page_of(tmp_path, random_base=True)).startswith(f"Training {RANDOM_WEIGHTS} Training")
    assert RANDOM_WEIGHTS not in page_of(tmp_path)


@pytest.mark.parametrize("steps", [0, 1, 2, 7])
def test_few_steps_and_no_validation_are_fine(tmp_path, steps):
    log(tmp_path, steps)
    page = page_of(tmp_path)
    assert Tags(page).open == []
    assert "No validation was made." in page
    assert ("No step was logged." in page) == (steps == 0)
    assert ("loss by σ" in figures(page)) == (steps > 0)
    assert "early" not in words(page) or steps > 1


def test_a_folder_without_anything_is_a_report_too(tmp_path):
    assert "No step was logged." in page_of(tmp_path)


def test_thousands_of_steps_are_held_to_what_a_screen_gives(tmp_path):
    log(tmp_path, 12_000)
    page = page_of(tmp_path)
    assert "12\u202f000" in page
    assert all(len(data["at"].split(",")) <= MAX_POINTS for data in figures(page).values())
    assert len(page) < 400_000


def test_a_torn_last_line_is_left_out(tmp_path):
    log(tmp_path, 5)
    whole = page_of(tmp_path)
    log(tmp_path, 5, tail='{"step": 6, "loss": 0.')
    assert page_of(tmp_path) == whole


def test_a_loss_that_was_no_number_is_named_and_not_drawn(tmp_path):
    log(tmp_path, 50, loss=lambda step: math.nan if step == 41 else 1.0, ceiling_s=lambda step: None, memory_mb=lambda step: [])
    page = page_of(tmp_path)
    assert "The loss was no number at step 41." in page
    assert not re.search("nan|infinity", words(page) + " ".join(str(data) for data in figures(page).values()), re.IGNORECASE)
    assert "bare" not in words(page)
    assert "memory per worker" not in figures(page)


def test_of_many_workers_the_lowest_and_the_highest_are_drawn(tmp_path):
    log(tmp_path, 3, memory_mb=lambda step: [500.0 + 7 * (worker * 5 % 16) for worker in range(16)])
    assert figures(page_of(tmp_path))["memory per worker"]["names"] == "worker 0|worker 3"


def test_edits_without_a_face_are_a_result(tmp_path, landmarker):
    log(tmp_path, 20)
    for step in range(2, 22, 2):
        record(tmp_path, step, [clip(step)], RULE, landmarker, random_base=True)
    page = page_of(tmp_path, random_base=True)
    assert "No edit could be compared with the source. No face was found." in words(page)
    assert "sync score" not in figures(page)
    assert len(figures(page)["distance to the true half"]["values"].split(",")) == 10
    shown = re.findall(r"our edit of step (\d+), picture 1\b", page)
    assert len(shown) == MAX_EARLIER
    assert (shown[0], shown[-1]) == ("18", "2")
    assert "(1 more are not shown)" in words(page)


def test_videos_that_are_gone_leave_the_rest(tmp_path, landmarker):
    for step in (1, 2):
        result = record(tmp_path, step, [clip()], RULE, landmarker, random_base=True)
        (result.folder / "ab12.mp4").unlink()
    (tmp_path / "validation/pairs/ab12/target.mp4").write_bytes(b"torn")
    said = words(page_of(tmp_path))
    assert "No frames of the true half:" in said
    assert "No frames of the edit:" in said
    assert "not available" in said


def test_a_pair_that_is_no_longer_edited_keeps_its_last_edit(tmp_path, landmarker):
    record(tmp_path, 1, [clip(name="old", pair_id="old"), clip(name="new", pair_id="new")], RULE, landmarker, random_base=True)
    record(tmp_path, 2, [clip(name="new", pair_id="new")], RULE, landmarker, random_base=True)
    said = words(page_of(tmp_path))
    assert said.index("new Step 2:") < said.index("old Step 1:")


def test_hostile_names_stay_text(tmp_path, landmarker):
    log(tmp_path, 2)
    record(tmp_path, 1, [clip(name=HOSTILE, caption=HOSTILE)], RULE, landmarker, random_base=True)
    page = page_of(tmp_path, **{HOSTILE: HOSTILE})
    tags = Tags(page)
    assert sum(tag == "script" for tag, _ in tags.found) == 1
    assert not any(name.startswith("on") for _tag, attrs in tags.found for name in attrs)
    assert all(attrs["src"].startswith("data:") for tag, attrs in tags.found if tag == "img")


def test_a_report_that_cannot_be_made_leaves_the_older_one(tmp_path):
    (tmp_path / "report.html").write_text("older")
    with pytest.raises(TypeError):
        write_training_report(tmp_path, facts=3, random_base=False)
    assert (tmp_path / "report.html").read_text() == "older"
