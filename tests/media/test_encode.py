import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from synclora.errors import MediaError, Reason
from synclora.media.encode import write_video

pytestmark = pytest.mark.timeout(60)


def pictures(count: int, height: int = 64, width: int = 96) -> list[np.ndarray]:
    return [np.full((height, width, 3), 20 + 7 * k, np.uint8) for k in range(count)]


@pytest.mark.parametrize("fps", [25, Fraction(24000, 1001), Fraction(25, 2)])
def test_frames_and_rate_come_back_exactly(tmp_path, decoder, number_of, fps):
    path = tmp_path / "a.mp4"
    assert write_video(path, iter(pictures(20)), fps) == 20
    frames = decoder.frames(path)
    assert (frames.info.frames, frames.info.fps, frames.info.variable_rate) == (20, fps, False)
    assert [number_of(picture) for picture in frames] == list(range(20))
    with av.open(str(path)) as file:
        stream = file.streams.video[0]
        stamps = sorted(packet.pts for packet in file.demux(stream) if packet.pts is not None)
        assert [stamp * stream.time_base for stamp in stamps] == [k / Fraction(fps) for k in range(20)]
        assert stream.duration * stream.time_base == 20 / Fraction(fps)


def test_colours_come_back_and_are_tagged(tmp_path, decoder):
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0), (200, 140, 110), (30, 90, 160)]
    shot = [np.full((64, 96, 3), colour, np.uint8) for colour in colours for _ in range(3)]
    write_video(tmp_path / "a.mp4", shot, Fraction(25), crf=4)
    got = np.array([picture.mean(axis=(0, 1)) for picture in decoder.frames(tmp_path / "a.mp4")])
    assert np.abs(got - np.array([picture[0, 0] for picture in shot])).max() < 4
    with av.open(str(tmp_path / "a.mp4")) as file:
        context = file.streams.video[0].codec_context
        assert (context.colorspace, context.color_primaries, context.color_trc, context.color_range) == (1, 1, 1, 1)


def test_equal_input_gives_equal_bytes_at_a_size_where_x264_did_not(tmp_path):
    rng = np.random.default_rng(0)
    ground = rng.integers(0, 255, (24, 24, 3)).astype(np.uint8).repeat(8, axis=0).repeat(8, axis=1)
    pictures = [np.roll(ground, (k, 2 * k), axis=(0, 1)) for k in range(25)]
    for name in ("a", "b", "c", "d"):
        write_video(tmp_path / f"{name}.mp4", pictures, Fraction(25), preset="veryfast")
    assert len({(tmp_path / f"{name}.mp4").read_bytes() for name in ("a", "b", "c", "d")}) == 1


def test_equal_input_gives_equal_bytes_and_the_index_comes_first(tmp_path):
    noise = [np.random.default_rng(k).integers(0, 255, (64, 96, 3), np.uint8) for k in range(30)]
    for name in ("a.mp4", "b.mp4"):
        write_video(tmp_path / name, noise, Fraction(30))
    data = (tmp_path / "a.mp4").read_bytes()
    assert data == (tmp_path / "b.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


def test_odd_sides_lose_their_last_line(tmp_path, decoder):
    write_video(tmp_path / "a.mp4", pictures(12, 241, 321), Fraction(25))
    info = decoder.probe(tmp_path / "a.mp4")
    assert (info.width, info.height) == (320, 240)


@pytest.mark.parametrize("codec_and_name", [("aac", "a.mp4"), ("pcm_s16le", "a.mkv"), ("pcm_s16le", "a.avi"), ("aac", "a.ts")])
def test_sound_comes_along_in_step(tmp_path, tone, decoder, codec_and_name):
    codec, name = codec_and_name
    source = tone(tmp_path / name, codec=codec, seconds=2.0, video=True)
    path = tmp_path / "out.mp4"
    write_video(path, pictures(20) + pictures(5), Fraction(25), audio_from=source, audio_start=0.5, decoder=decoder)
    with av.open(str(path)) as file:
        assert [stream.codec_context.name for stream in file.streams] == ["h264", "aac" if codec == "aac" else "flac"]
        frames = list(file.decode(audio=0))
        assert float(frames[0].pts * frames[0].time_base) == pytest.approx(0.0, abs=0.03)
        wave = np.concatenate([frame.to_ndarray()[0] for frame in frames])
        assert len(wave) / frames[0].sample_rate == pytest.approx(1.0, abs=0.05)
        spectrum = np.abs(np.fft.rfft(wave[4096:40960]))
        assert spectrum.argmax() * frames[0].sample_rate / (40960 - 4096) == pytest.approx(440, abs=3)
    assert decoder.probe(path).has_audio


def test_copied_sound_is_not_encoded_again(tmp_path, tone):
    source = tone(tmp_path / "a.mp4", seconds=1.0, video=True)
    write_video(tmp_path / "out.mp4", pictures(25), Fraction(25), audio_from=source)
    packets = []
    for path in (source, tmp_path / "out.mp4"):
        with av.open(str(path)) as file:
            packets.append([bytes(packet) for packet in file.demux(audio=0) if packet.size])
    assert len(packets[1]) > 40
    assert set(packets[1]) <= set(packets[0])


def test_a_silent_source_is_fine_and_a_missing_one_leaves_nothing(tmp_path, encode, decoder):
    write_video(tmp_path / "out.mp4", pictures(12), Fraction(25), audio_from=encode(tmp_path / "a.mp4"), decoder=decoder)
    assert not decoder.probe(tmp_path / "out.mp4").has_audio
    with pytest.raises(MediaError) as caught:
        write_video(tmp_path / "none.mp4", pictures(12), Fraction(25), audio_from=tmp_path / "no.mp4", decoder=decoder)
    assert caught.value.reason is Reason.MISSING
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4", "out.mp4"]


def test_a_failing_source_of_frames_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.mp4"
    path.write_bytes(b"old")

    def breaking():
        yield from pictures(5)
        raise KeyError("the model failed")

    with pytest.raises(KeyError):
        write_video(path, breaking(), Fraction(25))
    with pytest.raises(ValueError, match="frame 1 is uint8"):
        write_video(path, [*pictures(1), *pictures(1, 32, 32)], Fraction(25))
    with pytest.raises(ValueError, match="no frames"):
        write_video(path, [], Fraction(25))
    assert path.read_bytes() == b"old"
    assert [one.name for one in tmp_path.iterdir()] == ["a.mp4"]


FILL = """
import resource, signal, sys
from fractions import Fraction
import numpy as np
from synclora.media.encode import write_video
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (30000, 30000))
noise = [np.random.default_rng(k).integers(0, 255, (128, 128, 3), np.uint8) for k in range(40)]
try:
    write_video(sys.argv[1], noise, Fraction(25))
except OSError as error:
    print("OSError", error.errno)
"""


def test_a_full_disk_is_an_oserror_and_leaves_nothing(tmp_path):
    """A limit on the file's size stands in for the full disk: the same failing write, EFBIG for ENOSPC."""
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", FILL, str(tmp_path / "a.mp4")]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True, timeout=50)
    assert done.stdout.split() == ["OSError", "27"]
    assert list(tmp_path.iterdir()) == []
