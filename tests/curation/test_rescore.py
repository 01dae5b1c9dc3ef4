"""Rows judged again equal rows judged for the first time; duplicates stay; the best are chosen by score."""

import numpy as np
import pytest

from synclora.curation.rescore import best_of, rejudged, without_duplicates
from synclora.motion.settings import VerdictSettings
from synclora.motion.verdict import judge
from synclora.pairs.base import Pair, View
from synclora.pairs.manifest import manifest_row, read_rows, write_rows
from tests.pairs.diffusion.by_hand import BROKEN_VIDEO, KEPT, NO_EDIT, TWO_PEOPLE
from tests.pairs.diffusion.by_hand import rows as generated
from tests.report.conftest import like, measured, row, wave

HALVES = {
    "twin": (measured(), measured(tint=130)),
    "rough": (measured(), measured(tint=130, speech=like(wave(0), 0.8))),
    "dubbed": (measured(), measured(tint=130, speech=wave(7))),
    "copy": (measured(), measured()),
}


def fresh(name, rule, fingerprint):
    halves = HALVES[name]
    return manifest_row(f"id-{name}", Pair(name, View("s.mp4"), View("e.mp4")), judge(*halves, rule), halves, fingerprint)


@pytest.mark.parametrize(
    "rule",
    [
        VerdictSettings(),
        VerdictSettings(cues=("gaze", "blink", "pose")),
        VerdictSettings(min_sync=0.99),
        VerdictSettings(min_edit=0.0, min_r_speech=0.9),
    ],
)
def test_equals_a_fresh_judgement(tmp_path, rule):
    first = [fresh(name, VerdictSettings(), "before") for name in HALVES]
    write_rows(tmp_path / "before.parquet", first)
    write_rows(tmp_path / "again.parquet", rejudged(read_rows(tmp_path / "before.parquet"), rule, "after"))
    write_rows(tmp_path / "fresh.parquet", [fresh(name, rule, "after") for name in HALVES])
    assert (tmp_path / "again.parquet").read_bytes() == (tmp_path / "fresh.parquet").read_bytes()
    assert len({row["verdict"] for row in read_rows(tmp_path / "again.parquet")}) == 2


def test_the_second_row_of_a_content_is_a_duplicate_and_stays_one():
    rows = [row(name, *HALVES["twin"]) | {"pair_id": "same"} for name in ("ana", "ben", "cleo")]
    for _again in range(2):
        rows = list(without_duplicates(rejudged(rows, VerdictSettings(), "f")))
        assert [(r["pair_id"], r["verdict"], r["reason"]) for r in rows] == [
            ("same", "kept", None),
            ("same-2", "quarantined", "duplicate"),
            ("same-3", "quarantined", "duplicate"),
        ]
    assert rows[2]["detail"] == "same videos as ana"


def test_the_best_by_score_then_by_id():
    rows = [row(name, *HALVES["twin"]) for name in "dcba"] + [row("bad", *HALVES["dubbed"])]
    scores = {"id-a": 0.9, "id-b": 0.95, "id-c": 0.9, "id-d": 0.8}
    rows = list(best_of(rows, scores, 2))
    assert [r["name"] for r in rows if r["verdict"] == "kept"] == ["b", "a"]
    assert [r["reason"] for r in rows] == ["not_best", "not_best", None, None, "speech"]
    back = list(rejudged(rows, VerdictSettings(), "f"))
    assert sum(r["verdict"] == "kept" for r in back) == 4
    assert np.isfinite(back[0]["sync"])


def test_scenes_dropped_before_they_had_videos_stay_as_they_are(tmp_path):
    first = generated(tmp_path, [NO_EDIT, KEPT, TWO_PEOPLE, BROKEN_VIDEO, NO_EDIT])
    write_rows(tmp_path / "before.parquet", first)
    rule = VerdictSettings(min_sync=1.0, min_edit=0.9)
    again = list(without_duplicates(rejudged(read_rows(tmp_path / "before.parquet"), rule, "after")))
    before = list(read_rows(tmp_path / "before.parquet"))
    for i in (0, 2, 3, 4):
        assert again[i] == before[i] | {"recipe": "after"}
    assert (again[1]["verdict"], again[1]["reason"]) == ("rejected", "no_edit")
    kept = list(best_of(read_rows(tmp_path / "before.parquet"), {"id-1": 1.0}, 1))
    assert kept == before
