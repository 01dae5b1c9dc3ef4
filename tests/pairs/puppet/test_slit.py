import numpy as np

from synclora.pairs.puppet.slit import Motion, build_slit, heal

CORNERS = np.linspace(20, 44, 9, dtype=np.float32)
ARCH = 6 * (1 - np.linspace(-1, 1, 9, dtype=np.float32) ** 2)


def eye_like():
    """A slit 24 pixels wide and 12 high whose upper edge comes down to the lower one."""
    upper, lower = np.stack([CORNERS, 32 - ARCH], axis=1), np.stack([CORNERS, 32 + ARCH], axis=1)
    still = np.zeros((1, 2), np.float32)
    down = np.stack([np.zeros(9, np.float32), 2 * ARCH], axis=1)
    motion = Motion(upper=down, lower=np.zeros_like(down), above=still, below=still)
    return build_slit(
        (0, 0, 64, 64), upper, lower, np.asarray([[32, 8]], np.float32), np.asarray([[32, 56]], np.float32), [motion], 5.0
    )


def test_it_opens_and_shuts():
    slit = eye_like()
    areas = [slit.opening(np.asarray([amount], np.float32)).sum() for amount in (0, 0.5, 1)]
    assert areas[0] > 150
    assert 0.35 < areas[1] / areas[0] < 0.65
    assert areas[2] < 0.2 * areas[0]


def test_shut_shows_skin_and_open_shows_the_interior():
    slit = eye_like()
    skin, interior = np.full((64, 64, 3), 200, np.uint8), np.zeros((64, 64, 3), np.uint8)
    opened, shut = (slit.draw(skin, interior, np.asarray([amount], np.float32)) for amount in (0, 1))
    assert opened[32, 32].max() < 20
    assert shut[32, 32].min() > 180
    assert np.array_equal(opened[:4], skin[:4])


def test_skin_outside_the_patch_margin_stays():
    slit = eye_like()
    skin = np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype(np.uint8)
    shut = slit.draw(skin, skin, np.asarray([1], np.float32))
    assert np.abs(shut[0].astype(int) - skin[0]).max() <= 1
    assert np.abs(shut[:, 0].astype(int) - skin[:, 0]).max() <= 1


def test_heal_covers_the_opening():
    patch = np.full((30, 30, 3), 180, np.uint8)
    opening = np.zeros((30, 30), np.float32)
    patch[10:20, 10:20], opening[10:20, 10:20] = 0, 1
    assert np.abs(heal(patch, opening).astype(int) - 180).max() <= 1
