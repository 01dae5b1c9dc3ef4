"""The command line: one line for an error, a table at the end, exit codes as the jobs have."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from synclora.edit.__main__ import main
from synclora.edit.result import EditResult
from tests.edit.conftest import first_picture, grey, save
from tests.media.conftest import encode

pytestmark = pytest.mark.timeout(120)

SMALL = "{steps: 1, max_pixels: 4096, window_frames: 25, overlap_frames: 9}\n"


@pytest.fixture
def files(tmp_path) -> list[str]:
    source = encode(tmp_path / "source.mp4", frames=30)
    first = save(grey(first_picture(source)), tmp_path / "first.png")
    (tmp_path / "small.yaml").write_text(SMALL)
    words = [source, first, "--out", tmp_path / "out.mp4", "--settings", tmp_path / "small.yaml", "--backbone", "tiny:ltx-video"]
    return list(map(str, words))


def test_an_edit_ends_with_a_table_and_says_that_it_proves_nothing(files, tmp_path):
    command = [
        sys.executable,
        "-m",
        "synclora.edit",
        *files,
        "--report",
        str(tmp_path / "report.json"),
        "--steps",
        "2",
        "--seed",
        "4",
    ]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=100)
    assert (done.returncode, done.stderr) == (0, "")
    for words in ("sync score", "speech", "edit strength", "96x64, 30 frames, 25 fps", "seed 4, 2 steps", "Random weights"):
        assert words in done.stdout, words
    result = EditResult.model_validate(json.loads((tmp_path / "report.json").read_text()))
    assert (result.seed, result.steps, result.random_base, len(result.seams)) == (4, 2, True, 1)
    assert (tmp_path / "out.mp4").is_file()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--adapter", "/nowhere/x.safetensors"], "bad_adapter"),
        (["--adapter", "unheard-of"], "unknown_adapter"),
        (["--size", "big"], "bad_request: size"),
        (["--steps", "0"], "bad_request: steps"),
        (["--guidance", "hat=2"], "--guidance hat=2"),
        (["--guidance", "text"], "--guidance text"),
        (["--key-frame", "x=a.png"], "--key-frame x=a.png"),
        (["--key-frame", "99=first.png"], "30 frames"),
        (["--backbone", "tiny:nothing"], "no such miniature"),
        (["--settings", "/nowhere.yaml"], "recipe"),
        (["--unknown"], "--help"),
    ],
)
def test_what_cannot_be_meant_is_one_line(files, capfd, more, words, tmp_path):
    assert main([*files, *more]) == 2
    error = capfd.readouterr().err
    assert error.startswith("synclora.edit: ")
    assert words in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out.mp4").exists()
