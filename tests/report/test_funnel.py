"""The section on a generated set: counts that add up, costs, one page that needs nothing else, whatever has gone missing."""

import re
import shutil

import pytest

from synclora.errors import Reason
from synclora.pairs.diffusion.settings import Stage
from synclora.pairs.diffusion.store import MadeStore
from synclora.pairs.diffusion.take import Take
from synclora.pairs.manifest import read_rows, write_rows
from synclora.report.curation import write_report
from synclora.report.funnel import funnel_bar, generated_section
from synclora.report.words import RANDOM_WEIGHTS
from tests.pairs.diffusion.by_hand import (
    BROKEN_VIDEO,
    KEPT,
    LATE,
    NO_EDIT,
    NO_PORTRAIT,
    TWO_PEOPLE,
    Ending,
    make,
    scene,
)
from tests.report.conftest import HOSTILE, RULE, Tags, assert_alone, in_chromium, unread

OTHER = Ending("hair", Stage.EDIT, Reason.MISALIGNED, rejected=True)
ENDINGS = [KEPT, LATE, NO_PORTRAIT, TWO_PEOPLE, NO_EDIT, OTHER, BROKEN_VIDEO, KEPT]


def report(out, name="report.html"):
    write_report(out / "manifest.parquet", out / name, rule=RULE, shown=2, generated=MadeStore(out))
    return (out / name).read_text(encoding="utf-8")


def words(page):
    return re.sub(r"[ \n]+", " ", re.sub(r"<[^>]+>", " ", page.partition("<body>")[2]))


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    folder = tmp_path_factory.mktemp("set")
    make(folder, ENDINGS)
    return folder


@pytest.fixture(scope="module")
def page(out):
    return report(out)


def test_the_section_says_what_came_how_far(page):
    text = words(page)
    assert "8 scenes, 2 kept (25\u202f%). A kept pair took 4 scenes and 115 seconds of GPU" in text
    assert "edit check 6 4 67\u202f% 50\u202f% misaligned 1 no_edit 1 video made" in text
    assert "portrait made 8 7 88\u202f% 88\u202f% out_of_memory 1 quarantined portrait check" in text
    assert "the paper 24\u202f577 512 2.1\u202f%" in text
    assert "video video-model 3 192 64 96" in text
    assert "all 16 230 115" in text
    assert "hair 6 4 3 3 2 33\u202f%" in text
    assert "beard 2 2 1 0 0 0\u202f%" in text
    assert RANDOM_WEIGHTS not in text


def test_it_is_one_page_that_a_browser_takes(out, page):
    assert Tags(page).open == []
    assert_alone(page)
    assert page.count('id="generated"') == 1
    images = [attrs for tag, attrs in Tags(page).found if tag == "img"]
    assert all(image["alt"] and image["src"].startswith("data:image/jpeg") for image in images)
    assert '<label class="filter">' in in_chromium(out / "report.html")  # the scripts ran to their end


def test_the_same_set_gives_the_same_bytes(out, page):
    assert report(out, "again.html") == page


def test_a_set_that_was_not_generated_has_no_such_section(manifest, tmp_path):
    write_rows(tmp_path / "manifest.parquet", [unread("a prompt", Reason.BAD_ROW, "empty")])
    for path, store in ((manifest, None), (manifest, MadeStore(tmp_path)), (tmp_path / "manifest.parquet", MadeStore(tmp_path))):
        write_report(path, tmp_path / "r.html", rule=RULE, shown=0, generated=store)
        text = (tmp_path / "r.html").read_text(encoding="utf-8")
        assert "generated" not in text
        assert ".shots" not in text


def test_random_weights_are_said_at_the_top(tmp_path):
    make(tmp_path, [KEPT], random=True)
    assert words(report(tmp_path)).startswith(f" {RANDOM_WEIGHTS} Curation")


def test_what_is_gone_leaves_a_place(out, tmp_path):
    shutil.copytree(out, tmp_path / "set")
    shutil.rmtree(tmp_path / "set" / "generated")
    text = words(report(tmp_path / "set"))
    assert "not available : portrait of 0000000-hair" in text
    assert "not available : source of 0000001-hair" in text
    assert "Of 16 no cost is noted." in text
    assert "8 scenes, 2 kept" in text


def test_hostile_words_stay_text(tmp_path):
    make(tmp_path, [KEPT, NO_EDIT])
    rows = list(read_rows(tmp_path / "manifest.parquet"))
    for number, row in enumerate(rows):
        asked = scene(number, HOSTILE)
        row |= {"truth": Take(asked, {s.value: f"{number:016x}" for s in Stage}).truth(), "name": HOSTILE, "detail": HOSTILE}
    write_rows(tmp_path / "manifest.parquet", [*rows, unread(HOSTILE, Reason.BAD_ROW, HOSTILE)])
    page = report(tmp_path)
    tags = Tags(page)
    assert tags.open == []
    assert sum(tag == "script" for tag, _ in tags.found) == 1
    assert not any(name.startswith("on") for _tag, attrs in tags.found for name in attrs)
    assert "1 input that is no scene" in words(page)


def test_a_run_that_kept_nothing(tmp_path):
    make(tmp_path, [NO_PORTRAIT])
    page = report(tmp_path)
    assert Tags(page).open == []
    assert "1 scene, 0 kept (0\u202f%). " in words(page)
    assert "A kept pair took" not in page


def test_bars_are_as_long_as_what_entered():
    def widths(bar):
        return {
            name: (float(x), float(width))
            for name, x, width in re.findall(r'class="(left|rejected|quarantined)" x="([\d.]+)" y="6.00" width="([\d.]+)"', bar)
        }

    assert widths(funnel_bar("x", 100, 50, 20, 10)) == {"left": (0, 500), "rejected": (500, 200), "quarantined": (700, 100)}
    assert widths(funnel_bar("x", 24577, 1, 0, 0)) == {"left": (0, 3)}  # one of very many is still seen
    assert widths(funnel_bar("x", 0, 0, 0, 0)) == {}


def test_lines_of_costs_and_kinds(out):
    section = generated_section(out / "manifest.parquet", MadeStore(out))
    assert section
    assert [(line.name, line.made, line.gpu_s, line.each, line.per_kept) for line in section.costs] == [
        ("portrait", "7", "14", "2", "7"),
        ("edit", "6", "24", "4", "12"),
        ("video", "3", "192", "64", "96"),
        ("all", "16", "230", "", "115"),
    ]
    assert [(line.name, line.left, line.of_all) for line in section.totals] == [
        ("this set", 2, "25\u202f%"),
        ("the paper", 512, "2.1\u202f%"),
    ]
