"""What a curation notes of its folder, and what a rescore asks of it."""

import pytest

from synclora.curation.outdir import check_made, check_same_measuring, remember
from synclora.curation.recipe import CurateRecipe
from synclora.outdir import OutputError


def test_a_rescore_makes_no_folder(tmp_path):
    with pytest.raises(OutputError, match="no curation there"):
        check_made(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_rescore_needs_the_same_measuring(tmp_path):
    recipe = CurateRecipe()
    with pytest.raises(OutputError, match="no finished curation there"):
        check_same_measuring(tmp_path, recipe)
    remember(tmp_path, recipe)
    check_same_measuring(tmp_path, recipe)
    check_same_measuring(tmp_path, CurateRecipe.from_values({"verdict": {"min_sync": 0.9}, "resources": {"actors": 3}}, "test"))
    for values, name in (
        ({"landmarks": {"pose_step_s": 0.33}}, "landmarks.pose_step_s"),
        ({"media": {"analysis_side": 320}}, "media.analysis_side 640 -> 320"),
    ):
        with pytest.raises(OutputError, match=name):
            check_same_measuring(tmp_path, CurateRecipe.from_values(values, "test"))
