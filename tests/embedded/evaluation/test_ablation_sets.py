"""Six sets of one pool: each filter lets in what is bad in its cue alone, and all have one size."""

import json
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from synclora.curation.recipe import CurateRecipe
from synclora.embedded.evaluation.ablation_sets import ALL, NO_FILTER, VARIANTS, WITHOUT, kept_ids, plan_sets, rule_of, write_set
from synclora.errors import Reason, SyncLoraError
from synclora.media.encode import write_video
from synclora.motion.settings import CUES, VerdictSettings
from synclora.motion.signals import PARTS
from synclora.motion.verdict import Judgement, Verdict, judge
from synclora.pairs.base import Pair, View
from synclora.pairs.manifest import manifest_row, write_rows
from synclora.train.curated import read_set
from tests.motion.motions import FRAMES, edited, person, with_signals

RULE = VerdictSettings()
SPOILT = {"speech": ("mouth",), "gaze": ("iris",), "blinks": ("lids",), "pose": ("head", "shoulders")}


def spoilt(source, defect, seed):
    """Another person's signals of one cue."""
    other = person(1000 + seed)
    names = [name for part in SPOILT[defect] for name in PARTS[part][1]]
    return with_signals(edited(source), **{name: other.signals[name].values for name in names})


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    """Two good pairs, one of each defect, one that was never measured; the videos of all are the same two files."""
    folder = tmp_path_factory.mktemp("pool")
    (folder / "generated").mkdir()
    for half, shade in (("s", 90), ("e", 150)):
        write_video(folder / "generated" / f"{half}.mp4", [np.full((64, 64, 3), shade, np.uint8)] * FRAMES, Fraction(25))
    rows = []
    for number, defect in enumerate([None, None, *SPOILT]):
        source = person(number)
        halves = source, edited(source) if defect is None else spoilt(source, defect, number)
        pair = Pair(f"p{number}", View("generated/s.mp4"), View("generated/e.mp4"), "3d1t", json.dumps({"defect": defect}))
        rows.append(manifest_row(f"id{number:02d}", pair, judge(*halves, RULE), halves, "r"))
    rows = [row | {"width": 64, "height": 64} for row in rows]
    unread = Pair("broken", View("x"), View("y"), "", json.dumps({"defect": None}))
    lost = Judgement.unmeasured(Verdict.QUARANTINED, Reason.MISSING, "gone")
    write_rows(folder / "manifest.parquet", [*rows, manifest_row("broken", unread, lost, None, "r")])
    return folder


@pytest.fixture(scope="module")
def plan(pool):
    return plan_sets(pool, RULE)


def test_each_filter_lets_in_what_is_bad_in_its_cue_alone(plan):
    bad = {"without-speech": "speech", "without-gaze": "gaze", "without-blink": "blinks", "without-pose": "pose"}
    assert plan.counts(plan.admitted[ALL]) == {"good": 2}
    for name, defect in bad.items():
        assert plan.counts(plan.admitted[name]) == {"good": 2, defect: 1}, name
    assert plan.counts(plan.admitted[NO_FILTER]) == {"good": 2, "speech": 1, "gaze": 1, "blinks": 1, "pose": 1}


def test_all_sets_are_of_one_size(pool, plan):
    assert {len(ids) for ids in plan.chosen.values()} == {2}
    assert all(set(plan.chosen[name]) <= set(plan.admitted[name]) for name in VARIANTS)
    assert set(plan.chosen["without-gaze"]) & set(plan.chosen["without-pose"])
    with pytest.raises(SyncLoraError, match=r"pairs_per_set = 3: all-cues has 2"):
        plan_sets(pool, RULE, 3)
    assert "| all-cues | 2 of 2 |" in plan.table()
    assert json.loads(json.dumps(plan.facts()))["sets"][NO_FILTER]["admitted"]["pose"] == 1


def test_rules_leave_out_one_cue_each():
    assert rule_of(ALL, RULE).cues == CUES
    assert {name: set(CUES) - set(rule_of(name, RULE).cues) for name in WITHOUT} == {name: {cue} for name, cue in WITHOUT.items()}
    assert rule_of(NO_FILTER, RULE) is None


@pytest.mark.parametrize("name", [ALL, NO_FILTER])
def test_a_set_is_one_that_training_reads(plan, tmp_path, name):
    write_set(plan, name, tmp_path / "set", CurateRecipe())
    samples = read_set(tmp_path / "set")
    assert sorted(sample.pair_id for sample in samples) == list(plan.chosen[name])
    assert kept_ids(tmp_path / "set") == set(plan.chosen[name])
    assert all(sample.source.exists() and sample.edited.exists() for sample in samples)
    fewer = replace(plan, chosen=plan.chosen | {name: plan.chosen[name][:1]})
    write_set(fewer, name, tmp_path / "set", CurateRecipe())  # another plan: the videos that went out go
    assert [path.stem for path in (tmp_path / "set" / "kept" / "source").iterdir()] == [plan.chosen[name][0]]
