"""jobs/curate.py from the outside: what a run leaves, that a second one finds it, and that no way of ending it costs anything but time."""

import json
import os
import shutil
import signal
import subprocess
from contextlib import suppress

import pytest

from tests.jobs.conftest import curated, rows_of, stopped

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def test_verdicts_are_the_truth(puppets):
    rows = rows_of(puppets.out)
    assert len(rows) == 3
    for row in rows.values():
        truth = json.loads(row["truth"])
        assert row["verdict"] == truth["expected"], row["detail"]
    assert {row["verdict"] for row in rows.values()} == {"kept", "rejected"}


def test_what_lies_in_the_output_folder(puppets):
    rows, out = rows_of(puppets.out), puppets.out
    kept = [row for row in rows.values() if row["verdict"] == "kept"]
    assert {path.name for path in out.iterdir() if not path.name.startswith(".")} == {
        *("manifest.parquet", "metadata.jsonl", "report.html", "synclora.json"),
        *("kept", "measured", "generated", "attempts"),
    }
    lines = [json.loads(line) for line in (out / "metadata.jsonl").read_text().splitlines()]
    assert [line["pair_id"] for line in lines] == [row["pair_id"] for row in kept]
    for line, row in zip(lines, kept, strict=True):
        assert line["video"] == line["media_path"] == f"kept/edited/{row['pair_id']}.mp4"
        assert line["reference_video"] == line["reference_path"] == f"kept/source/{row['pair_id']}.mp4"
        assert line["caption"] == row["caption"]
        assert (out / line["reference_video"]).read_bytes() == (out / row["source"]).read_bytes()
    assert len(list((out / "kept").rglob("*.mp4"))) == 2 * len(kept)
    assert json.loads((out / "synclora.json").read_text())["kind"] == "synclora-curation"
    assert not list((out / "attempts").iterdir())
    assert not list(out.rglob("*.part"))
    assert "data:image/jpeg" in (out / "report.html").read_text()


def test_it_says_how_it_went_and_nothing_else(puppets):
    assert puppets.stderr == ""
    assert "judged 3 of 3: 2 kept 1 rejected 0 quarantined" in puppets.stdout
    assert "3 = 2 kept + 1 rejected + 0 quarantined" in puppets.stdout
    assert "150 frames" in puppets.stdout
    for noise in ("WARNING", "INFO", "ray", "Error", "Traceback"):
        assert noise not in puppets.stdout


def test_its_processes_are_gone(puppets):
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert not [line for line in listed.splitlines() if str(puppets.out) in line]


def test_a_second_run_elsewhere_measures_nothing(copied, serial, puppets, curate_here):
    """Of a run that ended when all was judged and nothing exported yet."""
    for name in ("kept", "metadata.jsonl", "report.html"):
        (shutil.rmtree if (copied / name).is_dir() else os.remove)(copied / name)
    done = curate_here("--recipe", serial, "--out", copied)
    assert "nothing: every video was measured before" in done.stdout
    assert done.stderr == ""
    for name in ("manifest.parquet", "metadata.jsonl"):
        assert (copied / name).read_bytes() == (puppets.out / name).read_bytes()
    assert {path.name for path in copied.rglob("*.mp4")} == {path.name for path in puppets.out.rglob("*.mp4")}
    assert (copied / "report.html").exists()


@pytest.fixture(scope="module")
def folder(puppets, tmp_path_factory):
    """The finished run's pairs as somebody's own videos."""
    videos = tmp_path_factory.mktemp("own") / "in"
    for row in rows_of(puppets.out).values():
        for half in ("source", "edited"):
            (videos / row["name"]).mkdir(parents=True, exist_ok=True)
            shutil.copy(puppets.out / row[half], videos / row["name"] / f"{half}.mp4")
    return videos


@pytest.fixture(scope="module")
def whole(folder, serial, driver, tmp_path_factory):
    """The folder, curated in one go. Not to be written to."""
    return curated(driver, "--recipe", serial, "--input", folder, "--out", tmp_path_factory.mktemp("whole") / "out").out


def test_killed_interrupted_and_run_again_it_ends_with_the_same_bytes(folder, whole, serial, tmp_path, curate_here):
    out = tmp_path / "out"
    words = ["--recipe", serial, "--input", folder, "--out", out]

    def measured() -> int:
        return len(list((out / "measured").glob("*/*.parquet")))

    status, stdout, _ = stopped(words, lambda: measured() >= 1, signal.SIGKILL)
    assert status == -signal.SIGKILL
    assert "in all" not in stdout
    status, _, stderr = stopped(words, lambda: measured() >= 3, signal.SIGINT)
    assert (status, stderr) == (130, "curate: interrupted; what was finished stays, run again to go on\n")
    assert not (out / "manifest.parquet").exists()
    curate_here(*words)
    for name in ("manifest.parquet", "metadata.jsonl"):
        assert (out / name).read_bytes() == (whole / name).read_bytes()
    assert not [path for path in out.rglob(".*") if path.name != ".lock"]


def test_a_full_disk_costs_one_line_and_nothing_that_was_finished(folder, whole, serial, tmp_path, curate_here):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("a small disk cannot be mounted here")
    try:
        words = ["--recipe", serial, "--input", folder, "--out", disk / "out"]
        shutil.copytree(whole, disk / "out")
        before = {path: path.read_bytes() for path in (disk / "out").rglob("*") if path.is_file()}
        shutil.copytree(folder / next(folder.iterdir()).name, folder / "new")
        with (folder / "new" / "source.mp4").open("ab") as file:
            file.write(b"\0\0\0\x08free")  # other content, the same pictures
        with (disk / "ballast").open("wb", buffering=0) as file, suppress(OSError):
            while file.write(bytes(4096)):
                pass
        done = curate_here(*words, status=2)
        assert done.stderr.count("\n") == 1
        assert done.stderr.startswith("curate: No space left on device")
        assert done.stderr.endswith("what was finished stays, run again to go on\n")
        assert {path: path.read_bytes() for path in before} == before
        (disk / "ballast").unlink()
        done = curate_here(*words)
        assert "4 = " in done.stdout
    finally:
        shutil.rmtree(folder / "new", ignore_errors=True)
        subprocess.run(["umount", "--lazy", disk], check=True)  # a worker that is just ending may still hold a file
