"""A video's sound goes into a new video sample for sample, whatever it was stored in."""

from fractions import Fraction

import av
import numpy as np
import pytest

from synclora.errors import MediaError, Reason
from synclora.media.decode import Decoder
from synclora.media.encode import write_video
from synclora.media.settings import MediaLimits
from tests.media.conftest import encode, tone
from tests.media.odd import ODD, Odd, heard, make

pytestmark = pytest.mark.timeout(60)

ROUNDED = {"opus.webm", "vorbis.webm", "ten-bit.mkv", "decimals.mov", "dolby.mkv"}
"""Decimals that cannot be copied: stored to 24 bits. Of Opus and MP3 in Matroska the last packet is cut in a way that MP4 cannot tell."""


def twin(path, out, decoder):
    frames = decoder.frames(path, analysis=False)
    info = frames.info
    pictures = list(frames)
    write_video(out, pictures, info.fps, sound=decoder.sound(path), rotation=info.rotation, pixel_aspect=info.pixel_aspect)
    return info


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: odd.name)
def test_an_odd_container_has_a_true_twin(tmp_path, decoder, odd: Odd):
    path, out = make(odd, tmp_path), tmp_path / "twin.mp4"
    info = twin(path, out, decoder)
    assert (info.rotation, info.pixel_aspect) == (odd.rotation, odd.pixel_aspect)
    found = decoder.probe(out)
    even = info.width // 2 * 2, info.height // 2 * 2
    assert (found.frames, found.fps, found.seconds, found.rotation) == (info.frames, info.fps, info.seconds, info.rotation)
    assert found.pixel_aspect == info.pixel_aspect
    assert (found.width, found.height, found.has_audio) == (*even, bool(odd.sound))
    source, copy = heard(path), heard(out)
    if source is None:
        assert copy is None
        return
    assert copy.rate == source.rate == odd.rate
    assert copy.samples_cn.shape == source.samples_cn.shape
    error = np.abs(copy.samples_cn - source.samples_cn).max()
    assert error <= (2.0**-24 if odd.name in ROUNDED else 0)
    # Matroska counts milliseconds, the pictures of a twin 1/12800 s at 25 fps
    assert abs(copy.start - source.start) <= (Fraction(1, 1000) if path.suffix in (".mkv", ".webm") else Fraction(1, 12800))


def test_late_sound_with_a_decoders_delay_begins_on_its_sample(tmp_path, decoder):
    """What FFmpeg's writer cannot say by itself: without the edit list put right, 1024 samples too many would be heard."""
    odd = Odd("late.mp4", sound="aac", late=Fraction(12345, 48000))
    path, out = make(odd, tmp_path), tmp_path / "twin.mp4"
    twin(path, out, decoder)
    source, copy = heard(path), heard(out)
    assert np.array_equal(copy.samples_cn, source.samples_cn)
    assert copy.start == source.start
    with av.open(str(out)) as file:
        assert file.streams.audio[0].codec_context.name == "aac"


def test_sound_that_outlasts_every_video_is_refused(tmp_path):
    path = tone(tmp_path / "a.mp4", seconds=14.0, video=False)
    with Decoder(MediaLimits(max_seconds=2)) as decoder, pytest.raises(MediaError) as caught:
        decoder.sound(path)
    assert caught.value.reason is Reason.TOO_LONG


def test_a_gap_in_the_sound_stays_a_gap(tmp_path, decoder):
    """Half a second of PCM, half a second of nothing, half a second of PCM: silence is put there, what follows keeps its time."""
    path, out, rate = tmp_path / "gap.mkv", tmp_path / "twin.mp4", 8000
    with av.open(str(path), "w") as file:
        pictures, sound = file.add_stream("libx264", rate=25), file.add_stream("pcm_s16le", rate=rate, layout="mono")
        pictures.width, pictures.height, pictures.pix_fmt = 96, 64, "yuv420p"
        for k in range(40):
            file.mux(pictures.encode(av.VideoFrame.from_ndarray(np.full((64, 96, 3), 5 * k, np.uint8), format="rgb24")))
        file.mux(pictures.encode(None))
        for begin in (0, rate):
            frame = av.AudioFrame.from_ndarray(np.full((1, rate // 2), 1000 + begin, np.int16), format="s16", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = rate, begin, Fraction(1, rate)
            file.mux(sound.encode(frame))
    twin(path, out, decoder)
    wave = heard(out).samples_cn[0] * 2**15
    expected = np.concatenate([np.full(rate // 2, 1000), np.zeros(rate // 2), np.full(rate // 2, 1000 + rate)])
    assert np.array_equal(wave, expected)


def test_a_clock_gone_wild_is_refused(tmp_path, decoder):
    """A timestamp weeks later must not become weeks of silence."""
    path = tmp_path / "wild.mkv"
    with av.open(str(path), "w") as file:
        pictures, sound = file.add_stream("libx264", rate=25), file.add_stream("pcm_s16le", rate=8000, layout="mono")
        pictures.width, pictures.height, pictures.pix_fmt = 96, 64, "yuv420p"
        for k in range(20):
            file.mux(pictures.encode(av.VideoFrame.from_ndarray(np.full((64, 96, 3), 5 * k, np.uint8), format="rgb24")))
        file.mux(pictures.encode(None))
        for begin in (0, 8000 * 10**6):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 4000), np.int16), format="s16", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = 8000, begin, Fraction(1, 8000)
            file.mux(sound.encode(frame))
    with pytest.raises(MediaError) as caught:
        decoder.sound(path)
    assert caught.value.reason is Reason.TOO_LONG


@pytest.mark.parametrize(("damaged", "fine"), [(1, True), (40, False)])
def test_a_broken_packet_is_passed_over_and_a_broken_track_refused(tmp_path, decoder, damaged, fine):
    path, out = make(Odd("a.mp4", sound="aac"), tmp_path), tmp_path / "twin.mp4"
    with av.open(str(path)) as file:
        packets = [(packet.pos, packet.size) for packet in file.demux(audio=0) if packet.size]
    data = bytearray(path.read_bytes())
    for place, size in packets[10 : 10 + damaged]:
        data[place : place + size] = b"\xff" * size
    path.write_bytes(data)
    if fine:
        twin(path, out, decoder)
        with av.open(str(path)) as a, av.open(str(out)) as b:
            bytes_of = [[bytes(packet) for packet in file.demux(audio=0)] for file in (a, b)]
        assert bytes_of[0] == bytes_of[1]
    else:
        with pytest.raises(MediaError, match="packets cannot be decoded") as caught:
            decoder.sound(path)
        assert caught.value.reason is Reason.BROKEN_MEDIA


def test_a_silent_video_has_no_sound(tmp_path, decoder):
    assert not decoder.sound(encode(tmp_path / "a.mp4"))
