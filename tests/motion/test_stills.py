"""Held graphs answer as new ones do, and remember nothing."""

import numpy as np
import pytest

from synclora.media.images import read_picture
from synclora.motion.signals import FACE_FRAME
from synclora.motion.stills import Stills, face_distance, face_width, still_faces


@pytest.fixture(scope="module")
def shirt(portraits):
    return read_picture(portraits / "faces" / "f01_man_green_shirt.jpg", 512)


@pytest.fixture(scope="module")
def beach(portraits):
    return read_picture(portraits / "faces" / "f05_man_sunglasses_beach.jpg", 512)


def test_held_graphs_answer_as_new_ones(shirt, beach):
    (fresh,) = still_faces(shirt)
    with Stills() as stills:
        for picture in (beach, shirt, np.zeros_like(shirt), shirt):
            faces = stills.faces(picture)
        np.testing.assert_array_equal(faces[0], fresh)
        assert stills.faces(np.zeros_like(shirt)) == []


def test_a_second_face_is_a_person_and_no_hand(shirt, beach):
    with Stills() as stills:
        assert stills.second_face(shirt) == 0  # whose detector half believes in a face in the shirt
        assert stills.second_face(np.hstack([beach, beach])) == pytest.approx(1, abs=0.1)
        assert stills.second_face(np.zeros_like(shirt)) == 0


def test_distance_is_in_widths_of_the_still_face(shirt):
    (face,) = (face[list(FACE_FRAME), :2] for face in still_faces(shirt))
    width = face_width(face)
    assert 0.1 < width / shirt.shape[1] < 0.2
    assert face_distance(face, face) == 0
    assert face_distance(face + np.array([width / 2, 0]), face) == pytest.approx(0.5, rel=1e-4)
    assert face_distance(face, face * 2) == pytest.approx(face_distance(face * 2, face) / 2, rel=1e-4)
