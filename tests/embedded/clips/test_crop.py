"""The square around a face, on a real clip: inside the picture, the face at its share, eyes above the mouth."""

import numpy as np
import pytest

from synclora.embedded.clips.crop import EYE, MOUTH, Square, labels_of, square_of
from synclora.embedded.clips.feed import plain_window
from synclora.embedded.gate import judged_square
from tests.embedded.conftest import TINY


@pytest.mark.parametrize("identity", ["man_webcam", "man_green_screen", "woman_reporter_synth"])
def test_the_face_has_its_share_of_the_width_and_stays_inside(index, identity):
    item = next(item for item in index.items if item.identity == identity)
    pictures, fps = item.origin.pictures()
    assert (item.fps, item.frames) == (fps, len(pictures))
    height, width = pictures[0].shape[:2]
    square = judged_square(item, TINY)
    assert 0.5 <= square.face <= 0.66
    assert 0 <= square.left <= width - square.side
    assert 0 <= square.top <= height - square.side
    window = plain_window(item, TINY)
    assert window.side <= TINY.clips.cache_px


def test_eyes_and_mouth_are_marked_where_they_are(index):
    labels = index.of("train")[0].labels()
    rows = {label: np.nonzero(labels == label)[1].mean() for label in (EYE, MOUTH)}
    assert rows[EYE] + 8 < rows[MOUTH]
    share = (labels > 0).mean()
    assert 0.005 < share < 0.15
    x, y = index.of("train")[0].middle
    assert 0.3 < x < 0.7
    assert rows[EYE] < y * TINY.clips.cache_px < rows[MOUTH] + 8


def test_a_face_at_the_edge_moves_the_square_in_and_a_wide_one_makes_it_smaller():
    face = np.zeros((3, 478, 2), np.float32)
    face[:, 0], face[:, 1] = (0, 40), (40, 90)
    square = square_of(face, 200, 100, 0.5)
    assert (square.left, square.top, square.side) == (0, 5, 80)
    face[:, 1] = (120, 90)
    assert square_of(face, 200, 100, 0.5) == Square(10, 0, 100, 1.2)
    with pytest.raises(ValueError, match="no frame shows a face"):
        square_of(face * np.nan, 200, 100, 0.5)


def test_a_frame_without_a_face_has_no_labels():
    face = np.full((2, 478, 2), np.nan, np.float32)
    assert not labels_of(face, Square(0, 0, 100, 0.5), 64).any()
