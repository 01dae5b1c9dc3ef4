"""Verdicts anew without a video, and all that the command refuses: one line, nothing written. In this process: no Ray is started."""

import importlib.util
import json
import os
import re
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.jobs.conftest import ROOT, SMALL, curate, rows_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def job():
    spec = importlib.util.spec_from_file_location("curate_job", ROOT / "jobs" / "curate.py")
    module = importlib.util.module_from_spec(spec)
    before = dict(os.environ)
    spec.loader.exec_module(module)
    yield module
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def rescore(job, copied, small, capfd):
    """Rescore a copy of the finished run; gives its rows."""

    def run(*words):
        assert job.main(["--recipe", str(small), "--out", str(copied), "--rescore", *words]) == 0
        captured = capfd.readouterr()
        assert captured.err == ""
        rows = rows_of(copied)
        names = {f"{row['pair_id']}.mp4" for row in rows.values() if row["verdict"] == "kept"}
        for half in ("source", "edited"):
            assert {path.name for path in (copied / "kept" / half).iterdir()} == names
        assert len((copied / "metadata.jsonl").read_text().splitlines()) == len(names)
        assert f"{len(rows)} = {len(names)} kept" in captured.out
        return rows

    return run


@pytest.fixture
def refused(job, capfd):
    """Run what must be refused; gives the line."""

    def run(*words):
        assert job.main([str(word) for word in words]) == 2
        captured = capfd.readouterr()
        assert captured.err.count("\n") == 1
        assert captured.err.startswith("curate: ")
        assert captured.out == ""
        return captured.err

    return run


def test_same_rule_same_bytes(rescore, copied, puppets):
    rescore()
    assert (copied / "manifest.parquet").read_bytes() == (puppets.out / "manifest.parquet").read_bytes()


def test_without_a_cue_and_back(rescore, copied, puppets):
    rows = rescore("--without", "speech")
    assert all(row["sync_speech"] is None for row in rows.values())
    assert any(row["sync_pose"] is not None for row in rows.values())
    assert "speech" not in json.loads((copied / "synclora.json").read_text())["recipe"]["verdict"]["cues"]
    rescore()
    assert (copied / "manifest.parquet").read_bytes() == (puppets.out / "manifest.parquet").read_bytes()


def test_by_score_and_by_best(rescore):
    best = max((row for row in rescore().values() if row["verdict"] == "kept"), key=lambda row: row["sync"])
    rows = rescore("--best", "1")
    assert [row["name"] for row in rows.values() if row["verdict"] == "kept"] == [best["name"]]
    assert sum(row["reason"] == "not_best" for row in rows.values()) == 1
    rows = rescore("--min-sync", "1")
    assert {row["verdict"] for row in rows.values()} == {"rejected"}
    assert sum(row["reason"] == "sync" for row in rows.values()) == 2


def test_videos_gone_the_verdicts_stand(job, rescore, copied, small, capfd):
    rescore("--min-sync", "1")
    shutil.rmtree(copied / "generated")
    assert job.main(["--recipe", str(small), "--out", str(copied), "--rescore"]) == 2
    captured = capfd.readouterr()
    assert captured.err.count("\n") == 1
    assert "2 kept without a video" in captured.err
    assert "restore the input and run again" in captured.err
    assert sum(row["verdict"] == "kept" for row in rows_of(copied).values()) == 2
    assert (copied / "metadata.jsonl").read_text() == ""
    assert "No frames of the source half" in (copied / "report.html").read_text()


def test_videos_gone_but_exported_is_no_error(rescore, copied):
    shutil.rmtree(copied / "generated")
    assert sum(row["verdict"] == "kept" for row in rescore("--without", "gaze").values()) == 2


def test_rescore_refuses_what_was_measured_otherwise(refused, copied, tmp_path):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(SMALL + "landmarks: {pose_step_s: 0.31}\n")
    line = refused("--recipe", recipe, "--out", copied, "--rescore")
    assert re.search(r"\(landmarks.pose_step_s \S+ -> 0.31\)", line)
    assert "run without --rescore" in line


def test_rescore_refuses_where_nothing_is(refused, tmp_path):
    (tmp_path / "empty").mkdir()
    for out in (tmp_path / "none", tmp_path / "empty"):
        assert "no curation there" in refused("--out", out, "--rescore")
    assert [path.name for path in tmp_path.rglob("*")] == ["empty"]


def test_rescore_refuses_a_manifest_of_another_version(refused, copied, small):
    manifest = copied / "manifest.parquet"
    table = pq.read_table(manifest).drop(["sync_gaze"]).append_column("sync_ears", pa.nulls(3, pa.float64()))
    pq.write_table(table, manifest)
    before = manifest.read_bytes()
    line = refused("--recipe", small, "--out", copied, "--rescore")
    assert "written by another version (sync_ears, sync_gaze)" in line
    assert manifest.read_bytes() == before


REFUSED = {
    "--pairs 0": "puppet.pairs = 0",
    "--pairs many": "argument --pairs: invalid int value: 'many'",
    "--faces none": "no such folder",
    "--faces empty": "no picture in it",
    "--recipe none.yaml": "No such file or directory",
    "--recipe odd.yaml": "verdict.min_ears: no such setting",
    "--recipe torn.yaml": "not YAML",
    "--without ears": "leave out some of speech, gaze, blink, pose",
    "--without speech --without gaze --without blink --without pose": "not all",
    "--input none": "none",
    "--input empty": "no pairs found",
    "--input closed": "Permission denied",
    "--layout sideways": "invalid choice: 'sideways'",
    "--min-sync nan": "verdict.min_sync",
    "--ears 2": "unrecognized arguments: --ears 2",
}


@pytest.mark.parametrize("words", REFUSED)
def test_refused_before_anything_is_written(refused, tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    for folder in ("empty", "closed"):
        (tmp_path / folder).mkdir()
    (tmp_path / "closed").chmod(0)
    (tmp_path / "odd.yaml").write_text("verdict: {min_ears: 2}\n")
    (tmp_path / "torn.yaml").write_text("verdict: {")
    assert REFUSED[words] in refused("--out", tmp_path / "out", *words.split())
    assert not (tmp_path / "out").exists()


def test_an_output_folder_that_is_not_ours(refused, tmp_path):
    (tmp_path / "photo.jpg").write_text("mine")
    assert "not empty and not made by jobs/curate.py" in refused("--out", tmp_path)
    assert "Not a directory" in refused("--out", tmp_path / "photo.jpg" / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["photo.jpg"]


def test_the_process_ends_with_that_status(tmp_path):
    done = curate("--pairs", 0, "--out", tmp_path / "out", status=2)
    assert (done.stdout, done.stderr.count("\n")) == ("", 1)
    assert len(curate("--help").stdout.splitlines()) <= 30
