import base64

import cv2
import numpy as np

from synclora.media.decode import Decoder
from synclora.media.encode import write_video
from synclora.pairs.base import View
from synclora.report.frames import MAX_HEIGHT, face_box, jpeg, pictures


def test_wanted_frames_come_by_number(tmp_path):
    clip = [np.full((96, 128, 3), 10 * i, np.uint8) for i in range(20)]
    write_video(tmp_path / "clip.mp4", iter(clip), 25)
    with Decoder() as decoder:
        found, problem = pictures(decoder, View(str(tmp_path / "clip.mp4")), [0, 7])
        beyond, short = pictures(decoder, View(str(tmp_path / "clip.mp4")), [3, 40])
    assert (sorted(found), problem) == ([0, 7], "")
    assert abs(float(found[7].mean()) - 70) < 4
    assert (sorted(beyond), short) == ([3], "the video ends after 20 frames")


def test_a_missing_or_broken_video_is_words_not_an_error(tmp_path):
    (tmp_path / "text.mp4").write_text("not a video")
    with Decoder() as decoder:
        for path in (tmp_path / "none.mp4", tmp_path / "text.mp4"):
            found, problem = pictures(decoder, View(str(path)), [0])
            assert found == {}
            assert problem


def test_the_face_is_cut_out_as_a_square_inside_the_picture():
    rows, columns = face_box(np.array([[0.0, 0.1], [0.3, 0.5]], np.float32), 640, 360)
    assert rows.stop - rows.start == columns.stop - columns.start == round(1.7 * 0.4 * 360)
    assert columns.start == 0
    assert face_box(np.full((3, 2), np.nan, np.float32), 640, 360) is None
    assert face_box(np.empty((0, 2), np.float32), 640, 360) is None


def test_pictures_are_small_jpegs_in_true_colours():
    picture = np.zeros((480, 640, 3), np.uint8)
    picture[..., 0] = 200
    data = base64.b64decode(jpeg(picture).removeprefix("data:image/jpeg;base64,"))
    back = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert back.shape[0] == MAX_HEIGHT
    assert back[..., 2].mean() > 190
    assert back[..., 0].mean() < 10
