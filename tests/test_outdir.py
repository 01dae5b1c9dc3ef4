"""The output folder: taken when it is empty or ours, refused otherwise, held by one run, swept of what a killed one left."""

import json

import pytest

from synclora.outdir import Kind, OutputError, differences, open_output, read_marker, write_marker, write_whole

JOB = Kind("test-job", "jobs/test.py", ("measured", "generated", "kept"))
OTHER = Kind("other-job", "jobs/other.py", ())


def test_new_empty_and_our_own_are_taken(tmp_path):
    (tmp_path / "empty").mkdir()
    for out in (tmp_path / "deep" / "new", tmp_path / "empty", tmp_path / "empty"):
        with open_output(out, JOB) as taken:
            assert taken == out
            assert json.loads((out / "synclora.json").read_text()) == {"kind": "test-job"}


@pytest.mark.parametrize("marker", [None, "", "[]", '{"kind": "another"}'])
def test_a_folder_of_somebody_else_is_refused_and_left_alone(tmp_path, marker):
    (tmp_path / "photo.jpg").write_text("mine")
    if marker is not None:
        (tmp_path / "synclora.json").write_text(marker)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(OutputError, match="not empty and not made by"), open_output(tmp_path, JOB):
        pass
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "file").write_text("mine")
    for out in (tmp_path / "file", tmp_path / "file" / "out"):
        with pytest.raises(OutputError, match="Not a directory"), open_output(out, JOB):
            pass


def test_one_run_at_a_time(tmp_path):
    out = tmp_path / "out"
    with open_output(out, JOB), pytest.raises(OutputError, match="another run is writing there"), open_output(out, JOB):
        pass
    with open_output(tmp_path / "out", JOB):
        pass


def test_what_a_killed_run_left_is_swept_and_nothing_else(tmp_path):
    left = (
        ".manifest.parquet.part",
        "measured/ab/.ab12.parquet.7.part",
        "generated/puppet/.ab12-x/source.mp4",
        "kept/source/.a.mp4.7.part",
    )
    stays = ("manifest.parquet", "measured/ab/ab12.parquet", "generated/puppet/ab12/source.mp4", ".git/config", ".hidden")
    with open_output(tmp_path, JOB):
        pass
    for name in (*left, *stays):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    with open_output(tmp_path, JOB):
        assert not [name for name in left if (tmp_path / name).exists()]
        assert all((tmp_path / name).exists() for name in stays)
        assert not (tmp_path / "generated" / "puppet" / ".ab12-x").exists()


def test_a_file_appears_whole_or_stays_as_it_was(tmp_path):
    write_whole(tmp_path / "a", "one")
    with pytest.raises(UnicodeEncodeError):
        write_whole(tmp_path / "a", "\ud800")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a", "one")]


def test_a_folder_of_another_job_is_refused(tmp_path):
    with open_output(tmp_path / "out", JOB):
        pass
    with pytest.raises(OutputError, match=r"not empty and not made by jobs/other\.py"), open_output(tmp_path / "out", OTHER):
        pass
    assert read_marker(tmp_path / "out", OTHER) is None


def test_notes_are_kept_with_the_kind(tmp_path):
    write_marker(tmp_path, JOB, {"recipe": {"a": 1}})
    assert read_marker(tmp_path, JOB) == {"kind": "test-job", "recipe": {"a": 1}}
    with open_output(tmp_path, JOB):
        assert read_marker(tmp_path, JOB) == {"kind": "test-job", "recipe": {"a": 1}}


def test_differences_name_every_setting_that_is_not_the_same():
    assert differences({"a": 1, "b": [1, 2], "c": None}, {"a": 2, "b": (1, 2), "d": "x"}) == ["a 1 -> 2", "d None -> x"]
