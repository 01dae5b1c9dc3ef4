"""An edit is told from what every model and codec does to a picture."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from synclora.media.images import read_picture
from synclora.pairs.diffusion.change import TINT, edit_strength
from synclora.pairs.diffusion.settings import CheckSettings

LEAST = CheckSettings().min_edit


@pytest.fixture(scope="module")
def portrait(portraits):
    return read_picture(portraits / "faces" / "f03_woman_white_tshirt.jpg", 512)


def jpeg(picture, quality):
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=quality)
    return np.array(Image.open(file))


def moved(picture, pixels, scale):
    height, width = picture.shape[:2]
    matrix = np.array([[scale, 0, pixels + (1 - scale) * width / 2], [0, scale, (1 - scale) * height / 2]])
    return cv2.warpAffine(picture, matrix, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)


def softened(picture):
    """As an autoencoder: fine detail is made up anew, flat places get faint clouds."""
    rng, (height, width) = np.random.default_rng(0), picture.shape[:2]
    clouds = cv2.resize(rng.normal(0, 3, (height // 8, width // 8, 3)), (width, height), interpolation=cv2.INTER_CUBIC)
    half = cv2.resize(picture, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    return np.clip(cv2.resize(half, (width, height), interpolation=cv2.INTER_CUBIC) + clouds, 0, 255).astype(np.uint8)


def drifted(picture):
    """3 % of contrast and 3 levels of light."""
    return np.clip((picture.astype(float) - 128) * 1.03 + 131, 0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda p: p,
        lambda p: jpeg(p, 60),
        lambda p: cv2.GaussianBlur(p, (0, 0), 1),
        softened,
        lambda p: moved(p, 3, 1.01),
        lambda p: softened(drifted(moved(p, 2, 1.0))),
        lambda p: cv2.resize(p, (480, 480), interpolation=cv2.INTER_AREA),
    ],
    ids=["copy", "jpeg", "blur", "autoencoder", "moved", "all", "another size"],
)
def test_what_models_and_codecs_do_is_no_edit(portrait, spoil):
    assert edit_strength(portrait, spoil(portrait)) < LEAST / 2


@pytest.mark.parametrize("spoil", [lambda p: p, lambda p: softened(drifted(moved(p, 2, 1.0)))], ids=["clean", "all"])
def test_small_edits_are_edits(portrait, spoil):
    earring, frame = portrait.copy(), portrait.copy()
    cv2.circle(earring, (228, 150), 4, (230, 190, 60), -1, cv2.LINE_AA)
    cv2.circle(frame, (240, 130), 13, (60, 50, 50), 2, cv2.LINE_AA)
    assert edit_strength(portrait, spoil(earring)) > 1.5 * LEAST
    assert edit_strength(portrait, spoil(frame)) > 1.5 * LEAST


def test_another_light_is_an_edit_by_itself(portrait):
    evening = (portrait * np.array([1.0, 0.85, 0.7])).astype(np.uint8)
    assert edit_strength(portrait, evening) > TINT
    assert edit_strength(portrait, (portrait * np.array([1.0, 0.99, 0.97])).astype(np.uint8)) < LEAST


def test_another_picture_is_a_strong_edit(portrait, portraits):
    other = read_picture(portraits / "faces" / "f05_man_sunglasses_beach.jpg", 512)
    assert edit_strength(portrait, other) > 0.2


def test_flat_pictures_are_compared_too():
    grey = np.full((64, 96, 3), 100, np.uint8)
    assert edit_strength(grey, grey) == 0
    assert edit_strength(grey, grey + 50) == pytest.approx(50 / 255, abs=0.01)
