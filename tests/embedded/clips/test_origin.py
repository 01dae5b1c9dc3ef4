"""Puppets: of every face, the same each time; of videos only those of the training side lend a face."""

import json

import numpy as np
import pytest

from synclora.embedded.clips.origin import puppets_of, videos_of
from synclora.embedded.clips.settings import ClipSettings
from synclora.errors import SyncLoraError
from synclora.pairs.puppet.portrait import default_picture
from synclora.report.contact import write_png

SETTINGS = ClipSettings(puppets_per_face=2, puppet_px=192, puppet_fps=12, puppet_seconds=1.0)


@pytest.fixture
def with_face(small_portraits, tmp_path):
    manifest = json.loads((small_portraits / "MANIFEST.json").read_text(encoding="utf-8"))
    manifest["faces"] = [{"file": "faces/astronaut.png", "identity": "nasa_astronaut"}]
    (tmp_path / "faces").mkdir()
    (tmp_path / "clips").symlink_to(small_portraits / "clips")
    write_png(tmp_path / "faces" / "astronaut.png", default_picture())
    (tmp_path / "MANIFEST.json").write_text(json.dumps(manifest), encoding="utf-8")
    return tmp_path


def test_faces_come_from_pictures_and_from_training_videos(with_face):
    sources = list(puppets_of(with_face, SETTINGS, with_face / "first"))
    assert [source.identity for source in sources] == ["nasa_astronaut"] * 2 + ["man_webcam"] * 2
    assert len({source.name for source in sources}) == 4
    assert [bool(source.origin.edit) for source in sources] == [False, True] * 2
    assert sources == list(puppets_of(with_face, SETTINGS, with_face / "first"))


def test_a_puppet_is_the_same_each_time_and_moves(with_face):
    origin = list(puppets_of(with_face, SETTINGS, with_face / "first"))[1].origin
    (one, fps), (other, _fps) = origin.pictures(), origin.pictures()
    assert (len(one), fps) == (12, 12.0)
    assert one[0].shape == (192, 192, 3)
    assert np.array_equal(one, other)
    assert not np.array_equal(one[0], one[6])


def test_without_a_manifest_it_says_which_folder(tmp_path):
    with pytest.raises(SyncLoraError, match="give a folder of portraits"):
        list(videos_of(tmp_path))
