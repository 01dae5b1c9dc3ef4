"""Which frames, which part, which size: the same in every run and for both halves."""

import random
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from synclora.embedded.clips.crop import square_of
from synclora.errors import MediaError, Reason
from synclora.media.decode import Decoder
from synclora.motion.signals import FACE_FRAME
from synclora.motion.stills import still_faces
from synclora.settings import RecipeError
from synclora.train.clips import (
    OUTER_WIDTH,
    Bucket,
    Crop,
    EncodeSettings,
    choose_bucket,
    clips_of,
    crop_of,
    cut_of,
    face_crop,
    read_clip,
    windows_of,
)
from synclora.train.curated import Sample
from tests.media.conftest import encode, number_of
from tests.train.sets import drawn, place_of_marker


def sample(width=512, height=512, frames=81, face=None):
    return Sample("a", "pair a", "", frames, 25.0, width, height, 0.9, face, Path("s.mp4"), Path("e.mp4"))


def face_at(x, y, radius=0.1):
    return tuple((x + dx * radius, y + dy * radius) for dx, dy in ((-1, 0), (1, 0), (0, -1), (0, 1)))


@pytest.fixture(scope="module")
def decoder():
    with Decoder() as one:
        yield one


def test_a_bucket_is_written_as_it_is_read():
    assert Bucket.parse("768x512x81") == Bucket(768, 512, 81)
    assert str(Bucket(768, 512, 81)) == "768x512x81"
    assert EncodeSettings().shapes == (Bucket(512, 512, 81),)


@pytest.mark.parametrize(
    ("buckets", "said"),
    [
        (["512x512"], "write width, height and frames as in 512x512x81"),
        (["512x-32x81"], "write width, height and frames as in 512x512x81"),
        (["0x512x81"], "write width, height and frames as in 512x512x81"),
        (["500x512x81"], "sides must be multiples of 32"),
        (["512x480x80"], "frames 8k + 1"),
        (["512x512x1"], "9 or more"),
        ([], "at least 1 item"),
    ],
)
def test_a_bucket_that_no_autoencoder_takes_is_refused_on_one_line(buckets, said):
    with pytest.raises(RecipeError) as error:
        EncodeSettings.from_values({"buckets": buckets}, "test")
    assert said in str(error.value)
    assert "buckets" in str(error.value)
    assert "\n" not in str(error.value)


LISTED = ("512x512x81", "512x512x49", "704x512x81", "512x704x49", "960x512x121", "256x256x81")


@pytest.mark.parametrize(
    ("width", "height", "frames", "chosen"),
    [
        (480, 480, 81, "512x512x81"),  # not 256x256x81, which is listed later
        (480, 480, 80, "512x512x49"),
        (640, 480, 100, "704x512x81"),
        (480, 640, 100, "512x704x49"),
        (480, 720, 48 + 1, "512x704x49"),
        (1920, 1080, 100, "704x512x81"),
        (1920, 1080, 121, "960x512x121"),
        (592, 512, 300, "512x512x81"),  # 37:32 is nearer 1 than 11:8 as a ratio; the other way as a difference of widths
        (608, 512, 300, "704x512x81"),
    ],
)
def test_the_bucket_of_nearest_aspect_ratio_then_the_longest(width, height, frames, chosen):
    buckets = [Bucket.parse(text) for text in LISTED]
    assert str(choose_bucket(sample(width, height, frames), buckets)) == chosen


def test_of_equal_ratios_the_first_listed():
    wide, tall = Bucket(640, 512, 81), Bucket(512, 640, 81)
    assert choose_bucket(sample(512, 512), [wide, tall]) == wide
    assert choose_bucket(sample(512, 512), [tall, wide]) == tall


@pytest.mark.parametrize(
    ("frames", "remedy"), [(40, "; add the bucket 512x512x33 "), (16, "; add the bucket 512x512x9 "), (8, "")]
)
def test_a_pair_shorter_than_every_bucket_says_what_would_do(frames, remedy):
    with pytest.raises(MediaError) as error:
        choose_bucket(sample(frames=frames), [Bucket(704, 512, 81), Bucket(512, 512, 49)])
    assert error.value.reason is Reason.TOO_SHORT
    assert f"{frames} frames, the shortest bucket has 49{remedy}" in error.value.detail
    assert bool(remedy) == ("add" in error.value.detail)


def test_windows_follow_each_other_and_never_overlap():
    bucket, settings = Bucket(512, 512, 17), EncodeSettings(buckets=("512x512x17",), windows_per_pair=3)
    assert windows_of(sample(frames=60), bucket, settings) == [range(0, 17), range(17, 34), range(34, 51)]
    assert windows_of(sample(frames=50), bucket, settings) == [range(0, 17), range(17, 34)]
    assert windows_of(sample(frames=60), bucket, EncodeSettings(buckets=("512x512x17",))) == [range(0, 17)]
    assert [clips_of(sample(frames=frames), settings) for frames in (16, 17, 34, 500)] == [1, 1, 2, 3]


def test_a_crop_is_the_largest_part_of_the_buckets_ratio():
    drawing = random.Random(0)
    for _ in range(300):
        width, height = (2 * drawing.randint(32, 1000) for _ in range(2))
        bucket = Bucket(32 * drawing.randint(1, 40), 32 * drawing.randint(1, 40), 81)
        face = face_at(drawing.uniform(-0.2, 2), drawing.uniform(-0.2, 1.2)) if drawing.random() < 0.7 else None
        crop = crop_of(sample(width, height, face=face), bucket, "face")
        assert 0 <= crop.left <= width - crop.width
        assert 0 <= crop.top <= height - crop.height
        assert crop.width == width or crop.height == height
        assert abs(crop.width * bucket.height - crop.height * bucket.width) <= max(bucket.width, bucket.height)  # half a pixel


def test_the_face_is_as_central_as_the_picture_allows():
    bucket = Bucket(512, 512, 81)
    wide = {x: sample(1280, 720, face=face_at(x, 0.4)) for x in (0.2, 0.9, 1.2, 1.7)}
    assert crop_of(wide[0.9], bucket, "face") == Crop(288, 0, 720, 720)  # in the middle of 1280/720 = 1.78
    assert crop_of(wide[1.2], bucket, "face") == Crop(504, 0, 720, 720)
    assert crop_of(wide[0.2], bucket, "face") == Crop(0, 0, 720, 720)
    assert crop_of(wide[1.7], bucket, "face") == Crop(560, 0, 720, 720)
    tall = sample(720, 1280, face=face_at(0.3, 0.35))
    assert crop_of(tall, bucket, "face") == Crop(0, 88, 720, 720)
    assert {crop_of(one, bucket, "center") for one in wide.values()} == {Crop(280, 0, 720, 720)}
    assert crop_of(sample(1280, 720), bucket, "face") == Crop(280, 0, 720, 720)


def test_a_face_is_whole_in_the_crop_of_a_real_clip(portraits, decoder):
    """A real person far right in a wide picture: cut around the face it is there, cut in the middle it is not."""
    person = next(decoder.frames(portraits / "clips" / "c04_woman_red_hair.mp4", analysis=False))
    picture = np.hstack([np.full((512, 700, 3), 90, np.uint8), person])
    (face,) = still_faces(picture)
    one = sample(picture.shape[1], 512, face=tuple(map(tuple, face[:, :2].tolist() / np.float64(512))))
    bucket = Bucket(256, 256, 17)
    found = {}
    for mode in ("face", "center"):
        clip = read_clip(Pictures([picture] * 17), range(17), crop_of(one, bucket, mode), bucket)
        found[mode] = len(still_faces(clip[0]))
    assert found == {"face": 1, "center": 0}


def outer(width, x, y, height=None):
    """Face points that span so many pixels, as a record has them."""
    wide, high = width * OUTER_WIDTH / 2, (height or width) / 2
    return [(x - wide, y), (x + wide, y), (x, y - high), (x, y + high)]


@pytest.mark.parametrize(
    ("face", "crop"),
    [
        (outer(100, 300, 260), Crop(200, 160, 200, 200)),
        (outer(100, 60, 500), Crop(0, 380, 200, 200)),  # moved in from the left and from below
        (outer(400, 300, 260), Crop(10, 0, 580, 580)),  # 800 would be more than there is
        (outer(101, 300.4, 260), Crop(199, 159, 202, 202)),  # even sides
    ],
)
def test_a_part_around_the_face(face, crop):
    assert face_crop(face, (640, 580), 0.5) == crop


@pytest.mark.parametrize("width", [60, 150, 700])
def test_a_part_has_the_buckets_shape(width):
    crop = face_crop(outer(width, 320, 200), (640, 480), 0.5, (192, 128))
    assert crop.width == min(2 * width, 640)
    assert crop.height == pytest.approx(crop.width * 2 / 3, abs=2)
    assert crop.top + crop.height <= 480


@pytest.mark.parametrize("name", ["c01_woman_coat", "c03_man_selfie_glasses", "c10_man_asl_again"])
def test_the_part_is_that_of_all_face_points(portraits, decoder, name):
    """A record has eleven of them; the embedded backbone was made with 468."""
    picture = next(decoder.frames(portraits / "clips" / f"{name}.mp4", analysis=False))
    height, width = picture.shape[:2]
    face = max(still_faces(picture), key=lambda one: float(np.ptp(one[:, 0])))
    recorded = tuple((float(x) / height, float(y) / height) for x, y in face[list(FACE_FRAME), :2])
    found = cut_of(sample(width, height, face=recorded), Bucket(128, 128, 17), EncodeSettings(face_share=0.58))
    wanted = square_of(face[None, :, :2], width, height, 0.58)
    assert found.width == found.height == pytest.approx(wanted.side, rel=0.05)
    middle = wanted.left + wanted.side / 2, wanted.top + wanted.side / 2
    assert (found.left + found.width / 2, found.top + found.height / 2) == pytest.approx(middle, abs=0.04 * wanted.side)


def test_without_a_face_there_is_nothing_to_cut_around():
    with pytest.raises(MediaError) as error:
        cut_of(sample(), Bucket(128, 128, 17), EncodeSettings(face_share=0.58))
    assert error.value.reason is Reason.NO_FACE
    assert "encode.face_share = 0.58" in error.value.detail
    assert "\n" not in error.value.detail
    assert cut_of(sample(), Bucket(128, 128, 17), EncodeSettings()) == Crop(0, 0, 512, 512)


class Pictures:
    """Frames that are already there."""

    def __init__(self, pictures):
        self.left = list(pictures)

    def __len__(self):
        return len(self.left)

    def __iter__(self):
        return self

    def __next__(self):
        if not self.left:
            raise StopIteration
        return self.left.pop(0)


@pytest.mark.parametrize("window", [range(0, 17), range(9, 26), range(15, 40), range(23, 40)])
def test_exactly_the_windows_frames(tmp_path, decoder, window):
    path = encode(tmp_path / "a.mp4", frames=40)  # of 96x64
    for _ in range(2):  # whatever was left unread, the decoder serves on
        clip = read_clip(decoder.frames(path, analysis=False), window, Crop(16, 0, 64, 64), Bucket(32, 32, len(window)))
        assert clip.shape == (len(window), 32, 32, 3)
        assert clip.dtype == np.uint8
        assert [number_of(picture) for picture in clip] == [k % 30 for k in window]


@pytest.mark.parametrize(
    ("crop", "size", "expected"),
    [
        (Crop(0, 0, 192, 128), (192, 128), (100, 40)),
        (Crop(64, 0, 128, 128), (128, 128), (36, 40)),
        (Crop(64, 0, 128, 128), (64, 64), (18, 20)),
        (Crop(64, 0, 128, 128), (256, 256), (72, 80)),
        (Crop(40, 20, 96, 64), (192, 128), (120, 40)),
    ],
)
def test_the_cut_and_the_scale_are_those_of_the_crop(crop, size, expected):
    pictures = drawn(17, (192, 128), marker=(100, 40))
    clip = read_clip(Pictures(pictures), range(17), crop, Bucket(*size, 17))
    for picture in clip:
        assert place_of_marker(picture) == pytest.approx(expected, abs=0.6)


def test_a_shrunk_picture_has_no_aliases():
    """Stripes finer than the new pixels become grey."""
    stripes = np.zeros((128, 128, 3), np.uint8)
    stripes[:, ::4] = 252
    clip = read_clip(Pictures([stripes] * 9), range(9), Crop(0, 0, 128, 128), Bucket(32, 32, 9))
    assert (clip == 63).all()
    same = read_clip(Pictures([stripes] * 9), range(9), Crop(0, 0, 128, 128), Bucket(128, 128, 9))
    assert (same == stripes).all()


def test_only_the_frames_of_the_window_are_kept(tmp_path, decoder):
    """Two minutes before the window cost time, not memory."""
    import tracemalloc

    path = encode(tmp_path / "a.mp4", frames=300, size=(256, 256))
    frames = decoder.frames(path, analysis=False)
    tracemalloc.start()
    read_clip(frames, range(280, 289), Crop(0, 0, 256, 256), Bucket(256, 256, 9))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 9 * 256 * 256 * 3 + 4 * 256 * 256 * 3


def damaged(path, frame, fps=25):
    """Overwrite one frame's bytes."""
    import av

    with av.open(str(path)) as file:
        packets = sorted(
            (packet.pts * packet.time_base, packet.pos, packet.size) for packet in file.demux(video=0) if packet.size
        )
    _, position, size = packets[frame]
    content = bytearray(path.read_bytes())
    content[position + 8 : position + size] = b"\xff" * (size - 8)
    path.write_bytes(content)


def test_damage_counts_up_to_the_windows_end_only(tmp_path, decoder):
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 255, (64, 96, 3), np.uint8) for _ in range(40)]
    options = {"options": {"bf": "0", "g": "5"}}
    for frame, fails in ((10, True), (30, False), (21, False)):
        path = encode(tmp_path / f"{frame}.mp4", noise[: frame + 10], fps=Fraction(25), **options)
        damaged(path, frame)
        frames = decoder.frames(path, analysis=False)
        if fails:
            with pytest.raises(MediaError) as error:
                read_clip(frames, range(17), Crop(0, 0, 64, 64), Bucket(64, 64, 17))
            assert error.value.reason is Reason.BROKEN_MEDIA
        else:
            assert len(read_clip(frames, range(17), Crop(0, 0, 64, 64), Bucket(64, 64, 17))) == 17
            with pytest.raises(MediaError):  # it is damaged
                list(decoder.frames(path))


def test_enlarging_keeps_edges_where_they_are():
    picture = np.zeros((64, 64, 3), np.uint8)
    picture[:, 32:] = 200
    clip = read_clip(Pictures([picture] * 9), range(9), Crop(0, 0, 64, 64), Bucket(128, 128, 9))
    assert np.abs(clip[0].astype(int) - cv2.resize(picture, (128, 128), interpolation=cv2.INTER_NEAREST)).mean() < 6
    assert clip[0, :, :60].max() < 30
    assert clip[0, :, 68:].min() > 170
