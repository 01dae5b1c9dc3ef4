"""Side by side, and cut exactly in half."""

import numpy as np

from synclora.pairs.diffusion.halves import brought, cut, side_by_side

GREY = np.full((64, 64, 3), 100, np.uint8)


def test_no_seam_and_no_mixing_at_the_middle():
    double = side_by_side(GREY, GREY + 50, 64, 32)
    assert double.shape == (32, 64, 3)
    assert (double[:, :32] == 100).all()
    assert (double[:, 32:] == 150).all()


def test_shrinking_averages_areas():
    picture = np.zeros((4, 4, 3), np.uint8)
    picture[:2, :2] = [[[0], [100]], [[100], [200]]]
    assert brought(picture, 2, 2)[0, 0].tolist() == [100, 100, 100]


def test_a_picture_of_the_size_is_itself_and_a_small_one_grows():
    assert brought(GREY, 64, 64) is GREY
    assert brought(GREY, 96, 96).shape == (96, 96, 3)


def test_the_cut_is_exact():
    video = np.arange(2 * 3 * 8 * 3, dtype=np.uint8).reshape(2, 3, 8, 3)
    source, edited = cut(video)
    assert (source == video[:, :, :4]).all()
    assert (edited == video[:, :, 4:]).all()
