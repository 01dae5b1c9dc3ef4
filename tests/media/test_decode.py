"""Good videos of every odd shape: each frame once, upright, in order."""

import io
from fractions import Fraction

import av
import numpy as np
import pytest

from synclora.errors import MediaError, Reason
from synclora.media.decode import Decoder
from synclora.media.settings import MediaLimits
from synclora.pairs.base import View

pytestmark = pytest.mark.timeout(60)

FORMATS = {
    "h264.mp4": {},
    "h264_444.mp4": {"pix_fmt": "yuv444p"},
    "h264_10bit.mp4": {"pix_fmt": "yuv420p10le"},
    "h264_bframes.mkv": {"options": {"bf": "3", "g": "6"}},
    "h264.ts": {},
    "hevc.mov": {"codec": "libx265", "options": {"x265-params": "pools=1:log-level=none"}},
    "vp8.webm": {"codec": "libvpx", "options": {"auto-alt-ref": "1", "lag-in-frames": "8", "deadline": "good", "cpu-used": "5"}},
    "vp9_alpha.webm": {"codec": "libvpx-vp9", "pix_fmt": "yuva420p", "options": {"cpu-used": "8", "deadline": "realtime"}},
    "av1.mp4": {"codec": "libsvtav1", "options": {"preset": "12", "svtav1-params": "lp=1"}},
    "mpeg4.avi": {"codec": "mpeg4", "options": {"bf": "2", "b": "4000000"}},
    "prores_alpha.mov": {"codec": "prores_ks", "pix_fmt": "yuva444p10le"},
    "png_rgba.mov": {"codec": "png", "pix_fmt": "rgba"},
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_frame_once_in_order(tmp_path, encode, decoder, number_of, name):
    path = encode(tmp_path / name, frames=24, **FORMATS[name])
    frames = decoder.frames(path)
    assert (frames.info.frames, frames.info.fps, frames.info.variable_rate) == (24, Fraction(25), False)
    assert (frames.info.width, frames.info.height, frames.info.has_audio) == (96, 64, False)
    pictures = list(frames)
    assert [number_of(picture) for picture in pictures] == list(range(24))
    assert all(picture.shape == (64, 96, 3) and picture.flags.c_contiguous and picture.flags.writeable for picture in pictures)


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_pictures_stand_upright(tmp_path, encode, decoder, rotation):
    stored = np.zeros((64, 96, 3), np.uint8)
    stored[:20, :30] = (255, 0, 0)
    path = encode(tmp_path / "a.mp4", [stored] * 12, rotation=rotation, pix_fmt="yuv444p", options={"crf": "5"})
    frames = decoder.frames(path)
    picture = next(frames)
    expected = np.rot90(stored, rotation // 90)
    assert frames.info.rotation == rotation
    assert (frames.info.height, frames.info.width) == expected.shape[:2]
    assert np.abs(picture.astype(int) - expected).mean() < 3


def test_halves_are_cut_exactly_and_an_odd_column_is_dropped(tmp_path, encode, decoder):
    stored = np.zeros((241, 321, 3), np.uint8)
    stored[:, :160], stored[:, 160:320], stored[:, 320:] = 40, 200, 120
    path = encode(tmp_path / "a.mkv", [stored] * 12, codec="ffv1", pix_fmt="bgr0")
    whole = next(decoder.frames(path))
    left, right = next(decoder.frames(path, "left")), next(decoder.frames(View(str(path), "right")))
    assert np.array_equal(whole, stored)
    assert left.shape == right.shape == (241, 160, 3)
    assert (left == 40).all()
    assert (right == 200).all()


def test_large_pictures_are_scaled_down_for_analysis_only_and_halves_do_not_bleed(tmp_path, encode, decoder):
    stored = np.zeros((720, 2000, 3), np.uint8)
    stored[:, :1000], stored[:, 1000:] = 40, 200
    path = encode(tmp_path / "a.mkv", [stored] * 12, codec="ffv1", pix_fmt="bgr0")
    assert next(decoder.frames(path)).shape == (230, 640, 3)
    assert next(decoder.frames(path, analysis=False)).shape == (720, 2000, 3)
    left, right = next(decoder.frames(path, "left")), next(decoder.frames(path, "right"))
    assert left.shape == right.shape == (461, 640, 3)
    assert (left == 40).all()
    assert (right == 200).all()


def test_a_variable_rate_is_put_on_a_grid(tmp_path, encode, decoder, number_of):
    pts = [40 * k for k in range(30) if k not in (10, 11)]
    path = encode(tmp_path / "a.mkv", frames=28, pts=pts, options={"bf": "0"})
    frames = decoder.frames(path)
    numbers = [number_of(picture) for picture in frames]
    assert frames.info.variable_rate
    assert len(numbers) == frames.info.frames
    assert numbers == sorted(numbers)
    assert len(numbers) / float(frames.info.fps) == pytest.approx(30 / 25, abs=0.05)


def test_frames_before_an_edit_list_are_not_shown(tmp_path, encode, decoder, number_of):
    """A phone's trimmed clip keeps whole groups of pictures and hides the frames before the cut."""
    whole = encode(tmp_path / "whole.mp4", frames=30, options={"g": "30"})
    with av.open(str(whole)) as source, av.open(str(tmp_path / "a.mp4"), "w") as file:
        out = file.add_stream_from_template(source.streams.video[0])
        shift = round(Fraction(7, 25) / source.streams.video[0].time_base)
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.pts, packet.dts, packet.stream = packet.pts - shift, packet.dts - shift, out
                file.mux(packet)
    frames = decoder.frames(tmp_path / "a.mp4")
    assert frames.info.fps == 25
    assert [number_of(picture) for picture in frames] == list(range(7, 30))


def test_a_late_first_timestamp_is_no_gap(tmp_path, encode, decoder, number_of):
    path = encode(tmp_path / "a.mkv", frames=20, pts=[5000 + 40 * k for k in range(20)])
    frames = decoder.frames(path)
    assert not frames.info.variable_rate
    assert [number_of(picture) for picture in frames] == list(range(20))


def test_eight_and_twelve_frames_a_second_are_fine(tmp_path, encode, decoder):
    for fps in (8, 12):
        assert decoder.probe(encode(tmp_path / f"{fps}.mp4", fps=fps)).fps == fps


def test_leaving_early_and_asking_for_another_video(tmp_path, encode, decoder, number_of):
    path = encode(tmp_path / "a.mp4", frames=30, size=(512, 512))
    early = decoder.frames(path)
    next(early)
    assert [number_of(picture) for picture in decoder.frames(path)] == list(range(30))
    with pytest.raises(RuntimeError, match="another video"):
        next(early)


def test_a_child_is_replaced_after_its_share_of_videos(tmp_path, encode):
    path = encode(tmp_path / "a.mp4")
    with Decoder(MediaLimits(videos_per_child=2)) as one:
        children = []
        for _ in range(4):
            assert len(list(one.frames(path))) == 12
            children.append(one._child)
    assert children[0] is children[1]
    assert children[1] is not children[2]
    assert children[2] is children[3]


def test_facts_survive_json(tmp_path, encode, decoder):
    info = decoder.probe(encode(tmp_path / "a.mp4", fps=Fraction(24000, 1001)))
    assert info.fps == Fraction(24000, 1001)
    assert type(info).from_json(info.to_json()) == info
    assert (info.container, info.codec, info.pix_fmt) == ("mov", "h264", "yuv420p")


def test_real_clips_are_exact(portraits, decoder):
    clips = sorted((portraits / "clips").glob("*.mp4"))
    assert clips
    for clip in clips[::4]:
        with av.open(str(clip)) as file:
            expected = [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]
        got = list(decoder.frames(clip, analysis=False))
        assert len(got) == len(expected)
        assert all(np.array_equal(one, other) for one, other in zip(got, expected, strict=True))


def test_names_that_look_like_addresses_are_plain_files(tmp_path, encode, decoder, monkeypatch):
    path = encode(tmp_path / "a.mp4")
    monkeypatch.chdir(tmp_path)
    for name in ("http:a.mp4", "concat:a.mp4", "a%03d.mp4", "ü name.mp4", "-i.mp4"):
        (tmp_path / name).write_bytes(path.read_bytes())
        with Decoder() as here:
            assert here.probe(name).frames == 12
    with pytest.raises(MediaError) as caught:
        decoder.probe("http://127.0.0.1:9/a.mp4")
    assert caught.value.reason is Reason.MISSING


def test_sound_is_reported_and_cut_out(tmp_path, tone, encode, decoder):
    path = tone(tmp_path / "a.mp4", video=True)
    assert decoder.probe(path).has_audio
    with av.open(io.BytesIO(decoder.sound(path, 0.5).mp4)) as file:
        assert [stream.type for stream in file.streams] == ["audio"]
        assert float(file.duration / av.time_base) == pytest.approx(0.5, abs=0.05)
    assert not decoder.sound(encode(tmp_path / "silent.mp4"))
