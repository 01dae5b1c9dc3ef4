"""A folder of faces is of one side of the split alone."""

import json

import pytest

from synclora.embedded.clips.split import split_of
from synclora.embedded.faces import faces_in, fill, identity_of, main
from synclora.errors import SyncLoraError


@pytest.fixture(scope="module")
def portraits_of_two(portraits, tmp_path_factory):
    """One picture of each side, and one of a held-out video."""
    folder = tmp_path_factory.mktemp("two")
    manifest = json.loads((portraits / "MANIFEST.json").read_text())
    faces = [entry for entry in manifest["faces"] if entry["identity"] in ("flux_woman_0035", "nasa_astronaut", "hallo3_0008")]
    clips = [entry for entry in manifest["clips"] if entry["identity"] in ("man_green_screen", "woman_red_hair")]
    for entry in (*faces, *clips):
        (folder / entry["file"]).parent.mkdir(exist_ok=True)
        (folder / entry["file"]).symlink_to(portraits / entry["file"])
    (folder / "MANIFEST.json").write_text(json.dumps({"clips": clips, "pairs": [], "faces": faces}))
    return folder


def test_sides_never_mix_and_what_cannot_be_animated_is_left_out(portraits_of_two, tmp_path, capsys):
    assert main(["--portraits", str(portraits_of_two), "--split", "train", "--out", str(tmp_path / "train")]) == 0
    said = capsys.readouterr().out
    assert "hallo3_0008: left out: its irises cannot be followed" in said  # dark glasses
    train = faces_in(tmp_path / "train", "train")
    assert {face.identity for face in train} == {"nasa_astronaut", "woman_red_hair"}  # a picture, and a video's first frame
    held = fill(portraits_of_two, "held_out", make(tmp_path / "held"))
    assert [face.identity for face in held] == ["flux_woman_0035"]  # no first frame of a held-out video
    for face in (*train, *held):
        assert identity_of(face.path.name) == face.identity
        assert split_of(face.identity) in ("train", "held_out")
    with pytest.raises(SyncLoraError, match="of the held_out side, not the train one"):
        faces_in(tmp_path / "held", "train")


def test_a_side_without_faces_is_one_line(portraits_of_two, tmp_path, capsys):
    assert main(["--portraits", str(portraits_of_two), "--split", "validation", "--out", str(tmp_path / "none")]) == 2
    assert "no face of the validation side can be animated" in capsys.readouterr().err


def make(folder):
    folder.mkdir()
    return folder
