"""First frames of another size, crop and place, on real portraits."""

import cv2
import numpy as np
import pytest

from synclora.edit.fit import fit_frame
from synclora.edit.settings import EditSettings
from synclora.errors import MediaError, Reason
from tests.edit.conftest import first_picture, grey

SETTINGS = EditSettings()


@pytest.fixture(scope="module")
def woman(portraits) -> np.ndarray:
    return first_picture(portraits / "clips" / "c01_woman_coat.mp4")


def moved(picture, scale=1.0, turn=0.0, right=0.0, down=0.0):
    """Scaled and turned about its middle, then shifted, in pixels; grey beyond its border."""
    height, width = picture.shape[:2]
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), turn, scale)
    matrix[:, 2] += right, down
    return cv2.warpAffine(picture, matrix, (width, height), flags=cv2.INTER_CUBIC, borderValue=(127,) * 3)


def levels_apart(a, b, inside=slice(None)):
    return float(np.abs(a[inside].astype(int) - b[inside]).mean())


def test_the_right_size_and_place_is_left_alone(woman):
    edited = grey(woman)
    picture, fit = fit_frame(edited, woman, SETTINGS)
    assert picture is edited
    assert fit.kind == "none"
    assert fit.misalignment_before < 0.05


@pytest.mark.parametrize("size", [(832, 1040), (256, 320), (400, 512)])
def test_another_size_is_scaled(woman, size):
    picture, fit = fit_frame(cv2.resize(grey(woman), size, interpolation=cv2.INTER_AREA), woman, SETTINGS)
    assert (picture.shape, fit.kind) == (woman.shape, "scaled")
    assert fit.misalignment_before < 0.1
    assert levels_apart(picture, grey(woman)) < 6


def test_another_shape_is_cut_to_the_middle(woman):
    wide = np.pad(grey(woman), ((0, 0), (60, 60), (0, 0)), mode="edge")
    picture, fit = fit_frame(wide, woman, SETTINGS)
    assert (picture.shape, fit.kind) == (woman.shape, "cropped")
    assert levels_apart(picture, grey(woman)) < 1


@pytest.mark.parametrize(
    ("scale", "turn", "right", "down"), [(1.0, 0, 102, 64), (1.6, 0, 0, 64), (0.85, 0, -70, -40), (1.2, 12, 90, 20)]
)
def test_a_misplaced_one_is_put_back(woman, scale, turn, right, down):
    edited = grey(woman)
    picture, fit = fit_frame(moved(edited, scale, turn, right, down), woman, SETTINGS)
    assert fit.kind == "aligned"
    assert fit.misalignment_before > SETTINGS.max_misalignment
    assert fit.misalignment_after < 0.05
    assert fit.scale == pytest.approx(1 / scale, rel=0.04)
    assert fit.turn_degrees == pytest.approx(turn, abs=2)
    assert 0 < fit.filled < 0.7
    face = (slice(60, 250), slice(180, 330))
    assert levels_apart(picture, grey(woman), face) < 10
    # what is filled in continues the edit: grey, though the source is coloured
    colours = picture.astype(int).max(axis=2) - picture.min(axis=2)
    assert colours.max() <= 3


@pytest.mark.parametrize(("scale", "turn", "right"), [(1.0, 15, 50), (1.0, 0, 25), (1.15, 0, 0)])
def test_a_little_misplaced_one_is_put_back_too(woman, scale, turn, right):
    _, fit = fit_frame(moved(grey(woman), scale, turn, right), woman, SETTINGS)
    assert fit.kind == "aligned"
    assert SETTINGS.align_beyond < fit.misalignment_before <= SETTINGS.max_misalignment
    assert fit.misalignment_after < 0.03
    _, fit = fit_frame(moved(grey(woman), scale, turn, right), woman, EditSettings(align=False))
    assert fit.kind == "none"


def test_a_face_that_the_edit_moved_is_left_where_it_is(woman):
    """The view is the source's own, only the head is larger: a turn of the whole would tear the rest away."""
    edited = grey(woman)
    head = (slice(40, 260), slice(170, 350))
    large = cv2.resize(edited[head], None, fx=1.3, fy=1.3)[20:-20, 20:-20]
    height, width = large.shape[:2]
    edited[40 : 40 + height, 160 : 160 + width] = large
    picture, fit = fit_frame(edited, woman, SETTINGS)
    assert SETTINGS.align_beyond < fit.misalignment_before < SETTINGS.max_misalignment
    assert (fit.kind, picture is edited) == ("none", True)


@pytest.mark.parametrize("scale", [0.5, 0.6])
def test_a_small_face_is_found_too(woman, scale):
    _, fit = fit_frame(moved(grey(woman), scale=scale), woman, SETTINGS)
    assert (fit.kind, fit.scale) == ("aligned", pytest.approx(1 / scale, rel=0.04))
    assert fit.misalignment_after < 0.03


def test_the_stated_transform_is_the_one_that_was_made(woman):
    _, fit = fit_frame(moved(grey(woman), right=102, down=64), woman, SETTINGS)
    assert fit.shift_x_px == pytest.approx(-102, abs=4)
    assert fit.shift_y_px == pytest.approx(-64, abs=4)


def test_a_close_up_is_recognised_as_a_part_of_the_view(woman):
    picture, fit = fit_frame(grey(woman)[60:330, 130:400], woman, SETTINGS)
    assert fit.kind == "aligned"
    assert 0.6 < fit.filled < 0.8
    assert levels_apart(picture, grey(woman)) < 8


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda woman: grey(woman)[:, ::-1], "mirrored"),
        (lambda woman: moved(grey(woman), turn=45, right=100), "turned by"),
        (lambda woman: moved(grey(woman), scale=1.5, right=40)[:, ::-1], "resembles the source"),
    ],
)
def test_what_cannot_be_mended_is_refused_with_numbers(woman, spoil, words):
    with pytest.raises(MediaError, match=words) as caught:
        fit_frame(np.ascontiguousarray(spoil(woman)), woman, SETTINGS)
    assert caught.value.reason is Reason.MISALIGNED
    assert any(letter.isdigit() for letter in caught.value.detail)


@pytest.mark.parametrize("name", ["c04_woman_red_hair.mp4", "c14_woman_reporter_synth.mp4"])
def test_another_persons_photo_is_refused_where_it_would_not_fill_the_picture(woman, portraits, name):
    stranger = first_picture(portraits / "clips" / name)
    with pytest.raises(MediaError, match=r"the head looks elsewhere|resembles the source") as caught:
        fit_frame(stranger, woman, SETTINGS)
    assert caught.value.reason is Reason.MISALIGNED


def test_aligning_can_be_forbidden(woman):
    with pytest.raises(MediaError, match="face widths"):
        fit_frame(moved(grey(woman), right=102), woman, EditSettings(align=False))


def test_without_a_face_the_size_alone_is_fitted(woman):
    wall = np.full((300, 240, 3), 90, np.uint8)
    for edited, source in ((wall, woman), (cv2.resize(woman, (240, 300)), wall)):
        picture, fit = fit_frame(edited, source, SETTINGS)
        assert picture.shape == source.shape
        assert fit.misalignment_before is None


def test_real_edits_are_all_left_in_place(portraits):
    for group in ("ginger_beard_man", "mic_woman", "taichi_man", "synth_paired"):
        source = first_picture(portraits / "pairs" / group / "source.mp4")
        for video in sorted((portraits / "pairs" / group).glob("*.mp4"))[:3]:
            _, fit = fit_frame(first_picture(video), source, SETTINGS)
            assert fit.kind == "none", video
