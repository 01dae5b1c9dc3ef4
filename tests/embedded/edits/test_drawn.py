"""Edits drawn on every frame of a video: they move as the video does, and end where its face does."""

from functools import partial

import numpy as np
import pytest

from synclora.embedded.edits.drawn import SIDE, drawn_pictures
from synclora.embedded.edits.still import Sitter
from synclora.errors import MediaError
from synclora.pairs.puppet.portrait import crop_box, default_picture, find_face

SHIFTS = (0, 9, 18)


def catalogue(edit):
    return partial(Sitter.drawn, edit=edit, seed=1)


@pytest.fixture(scope="module")
def pictures():
    """A camera that pans over a still person."""
    whole = default_picture()
    return [np.ascontiguousarray(whole[:420, shift : shift + 440]) for shift in SHIFTS]


def test_an_edit_is_drawn_where_the_face_is_in_every_frame(pictures):
    source, edited = drawn_pictures(iter(pictures), [catalogue("hat"), catalogue("make-up"), partial(Sitter.painted, seed=2)])
    assert len(source) == len(SHIFTS)
    assert sorted(words.split()[0] for words in edited) == [
        "add",
        "paint",
        "put",
    ]  # make-up, paint, a hat: one choice each, for all frames
    hat = next(frames for words, frames in edited.items() if "hat" in words)
    middles = []
    for before, after in zip(source, hat, strict=True):
        assert before.shape == after.shape
        changed = np.abs(before.astype(int) - after).max(axis=-1) > 30
        face = find_face(before)[:468, :2]
        assert changed.mean() > 0.03
        assert np.median(np.nonzero(changed)[0]) < face[:, 1].mean()  # on the head
        middles.append(np.median(np.nonzero(changed)[1]) - face[:, 0].mean())
    assert np.ptp(middles) < 3  # pixels: it pans with the head


def test_it_ends_before_the_first_frame_without_a_face(pictures):
    nobody = np.full_like(pictures[0], 90)
    source, edited = drawn_pictures([*pictures[:2], nobody, pictures[2]], [catalogue("beard")])
    assert len(source) == 2
    assert [len(frames) for frames in edited.values()] == [2]
    with pytest.raises(MediaError):
        drawn_pictures([nobody], [catalogue("beard")])


def test_pictures_are_shrunk_to_what_is_needed(pictures):
    large = [np.ascontiguousarray(pictures[0].repeat(3, 0).repeat(3, 1))]
    source, edited = drawn_pictures(large, [catalogue("hair")])
    height, width = source[0].shape[:2]
    assert crop_box(find_face(source[0]), width, height)[2] == pytest.approx(SIDE, rel=0.05)
    assert width < large[0].shape[1] / 2
    assert next(iter(edited.values()))[0].shape == source[0].shape
