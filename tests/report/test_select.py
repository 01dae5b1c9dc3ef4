import pyarrow.parquet as pq
import pytest

from synclora.errors import Reason
from synclora.motion.verdict import Verdict
from synclora.pairs.manifest import ManifestError
from synclora.report import select
from synclora.report.select import choose, fetch, take
from tests.pairs.diffusion.by_hand import NO_EDIT, TWO_PEOPLE
from tests.pairs.diffusion.by_hand import rows as generated
from tests.report.conftest import RULE, unread


def names(manifest, indices):
    rows = fetch(manifest, indices)
    return [rows[index]["name"] for index in indices]


def test_counts_sum_to_the_inputs(manifest, rows):
    survey = take(manifest, RULE)
    assert survey.inputs == len(rows) == sum(survey.verdicts.values())
    assert sum(survey.reasons.values()) == survey.inputs - survey.verdicts[Verdict.KEPT]
    assert len(survey.judged) + len(survey.quarantined) == survey.inputs


def test_best_borderline_and_rejected_are_disjoint_and_follow_their_rules(manifest, rows):
    picks = choose(take(manifest, RULE), 2)
    assert names(manifest, picks.best) == ["twin", "armless"]
    assert names(manifest, picks.borderline) == ["nearest", "rough"]
    assert len({rows[i]["reason"] for i in picks.rejected}) == 2
    assert len(set(picks.all)) == len(picks.all)


def test_borderline_fills_up_from_the_other_side(made, rows):
    kept = [row for row in rows if row["verdict"] == Verdict.KEPT]
    manifest = made(kept)
    picks = choose(take(manifest, RULE), 2)
    assert len(picks.borderline) == 2
    assert picks.rejected == []


def test_without_a_rule_the_score_ranks(manifest):
    picks = choose(take(manifest, None), 2)
    assert names(manifest, picks.borderline)[0] == "nearest"


def test_only_row_groups_with_a_pick_are_read(made, rows, monkeypatch):
    manifest = made([row | {"name": f"{i}"} for i, row in enumerate(rows * 12)])
    opened = []
    read = pq.ParquetFile.read_row_group
    monkeypatch.setattr(pq.ParquetFile, "read_row_group", lambda self, group: opened.append(group) or read(self, group))
    found = fetch(manifest, [70, 3])
    assert (found[70]["name"], found[3]["name"]) == ("70", "3")
    assert opened == [0, 1]


def test_more_quarantined_rows_than_fit_are_counted_not_listed(made, monkeypatch):
    monkeypatch.setattr(select, "MAX_QUARANTINED", 3)
    survey = take(made([unread(f"{i}", Reason.CRASHED, "x") for i in range(5)]), None)
    assert len(survey.quarantined) == 3
    assert survey.verdicts["quarantined"] == 5


def test_what_was_dropped_before_it_had_videos_comes_last(made, rows, tmp_path):
    bare = generated(tmp_path, [NO_EDIT, NO_EDIT, NO_EDIT, TWO_PEOPLE])
    bare[0]["reason"] = Reason.GAZE.value
    manifest = made([*bare, *(row for row in rows if row["name"] in ("dubbed", "rough", "staring"))])
    survey = take(manifest, RULE)
    assert [row.measured for row in survey.judged] == [False] * 3 + [True] * 3
    assert [row.name for row in survey.quarantined] == ["0000003-hair"]
    picks = choose(survey, 2)
    assert names(manifest, picks.borderline) == ["rough", "staring"]
    assert names(manifest, picks.rejected) == ["dubbed", "0000001-beard"]
    assert names(manifest, choose(survey, 3).rejected) == ["0000001-beard", "0000000-beard", "0000002-beard"]


def test_a_manifest_that_is_none_is_named(tmp_path):
    with pytest.raises(ManifestError, match="nothing"):
        take(tmp_path / "nothing.parquet", None)
