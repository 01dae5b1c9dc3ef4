"""The output folder: taken when it is empty or ours, refused otherwise, held by one run, swept of what a killed one left."""

import json

import pytest

from synclora.curation.outdir import OutputError, check_same_measuring, open_output, remember, write_whole
from synclora.curation.recipe import CurateRecipe


def test_new_empty_and_our_own_are_taken(tmp_path):
    (tmp_path / "empty").mkdir()
    for out in (tmp_path / "deep" / "new", tmp_path / "empty", tmp_path / "empty"):
        with open_output(out) as taken:
            assert taken == out
            assert json.loads((out / "synclora.json").read_text()) == {"kind": "synclora-curation"}


@pytest.mark.parametrize("marker", [None, "", "[]", '{"kind": "another"}'])
def test_a_folder_of_somebody_else_is_refused_and_left_alone(tmp_path, marker):
    (tmp_path / "photo.jpg").write_text("mine")
    if marker is not None:
        (tmp_path / "synclora.json").write_text(marker)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(OutputError, match="not empty and not made by"), open_output(tmp_path):
        pass
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "file").write_text("mine")
    for out in (tmp_path / "file", tmp_path / "file" / "out"):
        with pytest.raises(OutputError, match="Not a directory"), open_output(out):
            pass


def test_one_run_at_a_time(tmp_path):
    out = tmp_path / "out"
    with open_output(out), pytest.raises(OutputError, match="another run is writing there"), open_output(out):
        pass
    with open_output(tmp_path / "out"):
        pass


def test_a_rescore_makes_no_folder(tmp_path):
    with pytest.raises(OutputError, match="no curation there"), open_output(tmp_path / "out", made=True):
        pass
    assert not (tmp_path / "out").exists()


def test_what_a_killed_run_left_is_swept_and_nothing_else(tmp_path):
    left = (
        ".manifest.parquet.part",
        "measured/ab/.ab12.parquet.7.part",
        "generated/puppet/.ab12-x/source.mp4",
        "kept/source/.a.mp4.7.part",
    )
    stays = ("manifest.parquet", "measured/ab/ab12.parquet", "generated/puppet/ab12/source.mp4", ".git/config", ".hidden")
    with open_output(tmp_path):
        pass
    for name in (*left, *stays):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    with open_output(tmp_path):
        assert not [name for name in left if (tmp_path / name).exists()]
        assert all((tmp_path / name).exists() for name in stays)
        assert not (tmp_path / "generated" / "puppet" / ".ab12-x").exists()


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


def test_a_file_appears_whole_or_stays_as_it_was(tmp_path):
    write_whole(tmp_path / "a", "one")
    with pytest.raises(UnicodeEncodeError):
        write_whole(tmp_path / "a", "\ud800")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a", "one")]
