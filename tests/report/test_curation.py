import re

import numpy as np
import pytest

from synclora.errors import Reason
from synclora.media.encode import write_video
from synclora.report.curation import write_report
from tests.report.conftest import FRAMES, HOSTILE, RULE, Tags, assert_alone, in_chromium, measured, row, unread, wave


@pytest.fixture
def page(manifest, tmp_path):
    out = tmp_path / "report.html"
    write_report(manifest, out, facts={"inputs": "12 pairs"}, rule=RULE, shown=2)
    return out.read_text(encoding="utf-8")


def test_the_headline_adds_up(page):
    text = re.sub(r"<[^>]+>", "", page)
    inputs, *amounts = (
        int(n) for n in re.search(r"(\d+) inputs = (\d+) kept \+ (\d+) rejected \+ (\d+) quarantined", text).groups()
    )
    assert inputs == 12 == sum(amounts)
    assert "12 pairs" in text
    assert "decoding stopped at frame 12 of 80" in text


def test_tags_are_balanced(page):
    assert Tags(page).open == []


def test_nothing_outside_the_file_is_named(page):
    assert_alone(page)


def test_hostile_names_stay_text(made, tmp_path):
    bad = row(HOSTILE, measured(), measured(tint=130, speech=wave(7)), (HOSTILE, HOSTILE), caption=HOSTILE)
    manifest = made([bad, unread(HOSTILE, Reason.BROKEN_MEDIA, HOSTILE)])
    write_report(manifest, tmp_path / "r.html", title=HOSTILE, facts={HOSTILE: HOSTILE}, rule=RULE)
    tags = Tags((tmp_path / "r.html").read_text(encoding="utf-8"))
    assert sum(tag == "script" for tag, _ in tags.found) == 1
    assert not any(name.startswith("on") for _tag, attrs in tags.found for name in attrs)
    assert not any(tag == "img" for tag, _ in tags.found)


def test_the_same_inputs_give_the_same_bytes(manifest, tmp_path):
    for name in ("a.html", "b.html"):
        write_report(manifest, tmp_path / name, facts={"inputs": "12"}, rule=RULE, shown=1)
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.html", "b.html"]


def test_a_report_that_cannot_be_made_leaves_the_older_one(tmp_path):
    (tmp_path / "report.html").write_text("older")
    (tmp_path / "manifest.parquet").write_text("no parquet")
    with pytest.raises(Exception, match="manifest"):
        write_report(tmp_path / "manifest.parquet", tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text() == "older"


def test_an_empty_manifest_and_an_unknown_rule_are_fine(made, tmp_path, rows):
    for given in ([], rows[:1], rows[-2:]):
        write_report(made(given), tmp_path / "report.html")
        assert Tags((tmp_path / "report.html").read_text(encoding="utf-8")).open == []


def test_frames_of_the_moments_are_in_the_page(made, tmp_path):
    rng = np.random.default_rng(0)
    for name in ("s.mp4", "e.mp4"):
        write_video(tmp_path / name, iter(rng.integers(0, 255, (FRAMES, 96, 128, 3), dtype=np.uint8)), 25)
    videos = str(tmp_path / "s.mp4"), str(tmp_path / "e.mp4")
    manifest = made([row("dubbed", measured(), measured(tint=130, speech=wave(7)), videos)])
    write_report(manifest, tmp_path / "report.html", rule=RULE)
    images = [attrs for tag, attrs in Tags((tmp_path / "report.html").read_text(encoding="utf-8")).found if tag == "img"]
    assert len(images) >= 4
    assert all(image["src"].startswith("data:image/jpeg;base64,") and image["alt"] for image in images)


def test_headless_chromium_says_nothing(manifest, tmp_path):
    out = tmp_path / "report.html"
    write_report(manifest, out, rule=RULE, shown=1)
    dom = in_chromium(out)
    assert 'tabindex="0"' in re.search(r"<svg[^>]*class=\"chart lines[^>]*>", dom).group()  # the script ran to its end
    assert '<label class="filter">' in dom
