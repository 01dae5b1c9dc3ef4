import numpy as np
import pytest
from PIL import Image

from synclora.report.contact import COLUMNS, contact_sheet, evenly, stack, write_png


def clip(level, frames=20, height=90, width=60):
    return np.full((frames, height, width, 3), level, np.uint8)


def test_frames_are_evenly_spread_from_the_first_to_the_last():
    assert evenly(81) == [0, 16, 32, 48, 64, 80]
    assert evenly(3) == [0, 1, 2]
    assert evenly(1) == [0]
    assert len(evenly(1000)) == COLUMNS


def test_each_row_shows_its_clip_and_each_column_its_moment():
    ramp = np.stack([np.full((90, 60, 3), 10 * i, np.uint8) for i in range(20)])
    sheet = contact_sheet("one", {"source": ramp, "edit": clip(130)}, 25.0)
    middle = sheet[50 + 80]
    levels = [run for run in np.unique(middle[:, 0]) if run in range(0, 200, 10)]
    assert [10 * frame for frame in evenly(20)] == levels
    lower = sheet[50 + 164 + 80]
    assert (lower == 130).all(-1).sum() > 5 * 100


def test_small_clips_are_enlarged_and_large_ones_reduced_to_one_height():
    heights = {contact_sheet("x", {"a": clip(9, height=side, width=side)}, 25.0).shape for side in (16, 160, 700)}
    assert len(heights) == 1


def test_pictures_keep_their_shape():
    sheet = contact_sheet("x", {"a": clip(130, frames=1, height=100, width=200)}, 25.0)
    rows, columns = np.nonzero((sheet == 130).all(-1))
    assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == (160, 320)


def test_a_banner_stands_over_everything():
    plain, warned = (contact_sheet("x", {"a": clip(9)}, 25.0, banner=banner) for banner in ("", "beware"))
    assert warned.shape[0] == plain.shape[0] + 30
    assert (warned[0] == (168, 40, 30)).all()
    np.testing.assert_array_equal(warned[30:], plain)


def test_long_titles_are_cut_and_hostile_ones_harmless():
    sheet = contact_sheet("W" * 500 + "\n", {"a" * 80: clip(9)}, 25.0)
    assert sheet.shape == contact_sheet("x", {"a": clip(9)}, 25.0).shape
    assert (sheet[:, -8:] == sheet[0, 0]).all()
    assert (sheet[60:200, 100:108] == sheet[0, 0]).all()


def test_the_same_clips_give_the_same_bytes(tmp_path):
    for name in ("a.png", "b.png"):
        write_png(
            tmp_path / name,
            stack([contact_sheet("x", {"a": clip(9)}, 25.0), contact_sheet("y", {"b": clip(7, width=200)}, 25.0)]),
        )
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "b.png"]
    assert Image.open(tmp_path / "a.png").height == 2 * contact_sheet("x", {"a": clip(9)}, 25.0).shape[0]


@pytest.mark.parametrize("clips", [{}, {"a": clip(1), "b": clip(1, frames=3)}, {"a": clip(1, frames=0)}])
def test_clips_that_do_not_belong_together_are_refused(clips):
    with pytest.raises(ValueError, match="one length"):
        contact_sheet("x", clips, 25.0)
