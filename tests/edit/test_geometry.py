import numpy as np
import pytest

from synclora.edit.geometry import Size, output_size, resized, working_size


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((512, 512), (512, 512)),
        ((512, 640), (448, 576)),
        ((1080, 1920), (384, 672)),
        ((640, 480), (576, 448)),
        ((256, 256), (256, 256)),
    ],
)
def test_the_working_size_keeps_the_shape(size, expected):
    assert working_size(*size, max_pixels=512 * 512, stride=32) == expected


@pytest.mark.parametrize("stride", [32, 64])
def test_every_working_size_is_legal_and_hardly_stretched(stride):
    rng = np.random.default_rng(0)
    for _ in range(300):
        width, height = (int(side) for side in rng.integers(64, 4096, 2))
        if not 0.4 < width / height < 2.5:
            continue
        found = working_size(width, height, max_pixels=512 * 512, stride=stride)
        assert found.width % stride == found.height % stride == 0
        assert found.width * found.height <= 512 * 512
        if width * height >= 256 * 256:
            assert abs(np.log(found.width / found.height * height / width)) < (0.06 if stride == 32 else 0.2), (
                width,
                height,
                found,
            )
            assert found.width * found.height > 0.6 * min(512 * 512, width * height), (width, height, found)


def test_extremes_give_one_cell_at_least():
    assert working_size(4096, 64, max_pixels=64 * 64, stride=32).height == 32
    assert working_size(64, 64, max_pixels=16, stride=32) == (32, 32)


def test_the_output_is_even():
    assert output_size(97, 65, None) == (96, 64)
    assert output_size(97, 65, "480x321") == (480, 320)


def test_a_picture_of_the_right_size_is_not_touched():
    picture = np.arange(64 * 96 * 3, dtype=np.uint8).reshape(64, 96, 3)
    assert resized(picture, Size(96, 64)) is picture
    assert resized(picture, Size(48, 32)).shape == (32, 48, 3)
