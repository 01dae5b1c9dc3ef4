"""Bad videos: each gives its own reason in one line, and the decoder serves the next one."""

import io
import os
import struct
from pathlib import Path

import av
import numpy as np
import pytest

from synclora.errors import MediaError, Reason
from synclora.media.decode import Decoder
from synclora.media.reader import _hidden
from synclora.media.settings import MediaLimits

pytestmark = pytest.mark.timeout(30)


def refused(decoder: Decoder, path: Path) -> MediaError:
    with pytest.raises(MediaError) as caught:
        for _ in decoder.frames(path):
            pass
    assert "\n" not in str(caught.value)
    return caught.value


def patched(path: Path, old: bytes, new: bytes) -> Path:
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new))
    return path


def test_nothing_text_and_missing_files(tmp_path, decoder):
    cases = {
        b"": Reason.EMPTY_FILE,
        b"just some words\n" * 100: Reason.UNKNOWN_CONTAINER,
        os.urandom(5000): Reason.UNKNOWN_CONTAINER,
    }
    for data, reason in cases.items():
        path = tmp_path / "a.mp4"
        path.write_bytes(data)
        assert refused(decoder, path).reason is reason
    assert refused(decoder, tmp_path / "none.mp4").reason is Reason.MISSING


def test_pipes_devices_and_folders(tmp_path, decoder):
    os.mkfifo(tmp_path / "endless.mp4")
    for path in (tmp_path / "endless.mp4", Path("/dev/zero"), tmp_path):
        error = refused(decoder, path)
        assert error.reason is Reason.UNREADABLE
        assert "not a regular file" in error.detail


@pytest.mark.parametrize("name", ["list.m3u8", "list.mp4", "list.ffconcat"])
@pytest.mark.parametrize(
    "head", ["#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{}\n#EXT-X-ENDLIST\n", "ffconcat version 1.0\nfile {}\n"]
)
def test_lists_of_other_files_are_not_followed(tmp_path, encode, decoder, name, head):
    secret = encode(tmp_path / "secret.ts")
    path = tmp_path / name
    path.write_text(head.format(secret.name))
    assert refused(decoder, path).reason is Reason.UNKNOWN_CONTAINER


def test_a_track_that_lives_in_another_file_is_not_followed(tmp_path, encode, decoder):
    encode(tmp_path / "secret.mov", codec="png", pix_fmt="rgb24")
    path = encode(tmp_path / "a.mov", codec="png", pix_fmt="rgb24")
    target = str(tmp_path / "secret.mov").encode()
    target += bytes(len(target) % 2)
    record = bytes(10) + b"\x01v" + bytes(26) + bytes(12) + b"\x0asecret.mov" + bytes(53) + bytes(16 + 4 + 16)
    record += struct.pack(">HH", 2, len(target)) + target + struct.pack(">hH", -1, 0)
    alias = struct.pack(">I4sI", 12 + len(record), b"alis", 0) + record
    data, place, own = bytearray(path.read_bytes()), 0, struct.pack(">I4sI", 12, b"url ", 1)
    for box in (b"moov", b"trak", b"mdia", b"minf", b"dinf", b"dref"):
        place = data.index(box, place)
        data[place - 4 : place] = struct.pack(">I", struct.unpack(">I", data[place - 4 : place])[0] + len(alias) - len(own))
    start = data.index(own, place)
    data[start : start + len(own)] = alias
    path.write_bytes(data)
    with av.open(str(path), options={"enable_drefs": "1", "use_absolute_path": "1"}) as followed:
        assert sum(1 for _ in followed.decode(video=0)) == 12  # the trap works where it is allowed to
    assert refused(decoder, path).reason is Reason.BROKEN_MEDIA


def test_cut_short(tmp_path, encode, decoder):
    noise = [np.random.default_rng(k).integers(0, 255, (64, 96, 3), np.uint8) for k in range(30)]
    for name in ("a.mp4", "a.mkv", "a.avi"):
        codec = {"codec": "mpeg4"} if name.endswith("avi") else {"options": {"bf": "0"}}
        path = encode(tmp_path / name, noise, container_options={"movflags": "+faststart"} if name == "a.mp4" else None, **codec)
        path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
        error = refused(decoder, path)
        assert error.reason is Reason.BROKEN_MEDIA
        assert 10 <= int(error.detail.split("after frame ")[1].split(":")[0]) <= 20
    late_index = encode(tmp_path / "b.mp4", noise)
    late_index.write_bytes(late_index.read_bytes()[:20000])
    assert refused(decoder, late_index).reason is Reason.BROKEN_MEDIA


def test_damage_in_the_middle_names_the_frame(tmp_path, encode, decoder):
    noise = [np.random.default_rng(k).integers(0, 255, (64, 96, 3), np.uint8) for k in range(30)]
    path = encode(tmp_path / "a.mp4", noise, options={"bf": "0", "refs": "1"})
    data = bytearray(path.read_bytes())
    middle = data.index(b"mdat") + (data.index(b"moov") - data.index(b"mdat")) // 2
    data[middle : middle + 3000] = b"\x55" * 3000
    path.write_bytes(data)
    error = refused(decoder, path)
    assert error.reason is Reason.BROKEN_MEDIA
    assert 0 < int(error.detail.split("frame ")[1].split(" of 30")[0]) < 30


def test_a_picture_size_that_changes_on_the_way(tmp_path, encode, decoder):
    path = tmp_path / "a.ts"
    parts = [
        encode(tmp_path / f"{width}.ts", size=(width, 64), pts=[start + 40 * k for k in range(12)])
        for width, start in ((96, 0), (128, 480))
    ]
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    error = refused(decoder, path)
    assert error.reason is Reason.BROKEN_MEDIA
    assert "128x64 yuv420p, the first was 96x64 yuv420p" in error.detail


def test_hidden_frames_of_vp8_are_not_counted():
    assert [_hidden(av.Packet(first), "vp8") for first in (b"\x00", b"\x10", b"\x31")] == [True, False, False]
    assert not _hidden(av.Packet(b"\x00"), "h264")


def test_too_few_frames(tmp_path, encode, decoder):
    assert refused(decoder, encode(tmp_path / "one.mp4", frames=1)).reason is Reason.TOO_SHORT
    assert refused(decoder, encode(tmp_path / "eight.mp4", frames=8)).reason is Reason.TOO_SHORT
    with av.open(str(tmp_path / "none.mkv"), "w") as file:
        stream = file.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        file.start_encoding()
    assert refused(decoder, tmp_path / "none.mkv").reason is Reason.BROKEN_MEDIA


def test_sound_only_and_a_cover_picture(tmp_path, tone, decoder):
    assert refused(decoder, tone(tmp_path / "a.mp4")).reason is Reason.NO_VIDEO_STREAM
    with av.open(str(tone(tmp_path / "b.mp4"))) as source, av.open(str(tmp_path / "cover.mp4"), "w") as file:
        sound = file.add_stream_from_template(source.streams.audio[0])
        cover = file.add_stream("png", rate=1)
        cover.width, cover.height, cover.pix_fmt = 96, 96, "rgb24"
        cover.disposition = av.stream.Disposition.attached_pic
        packets = cover.encode(av.VideoFrame.from_ndarray(np.zeros((96, 96, 3), np.uint8), format="rgb24"))
        file.mux(packets)
        for packet in source.demux(audio=0):
            if packet.dts is not None:
                packet.stream = sound
                file.mux(packet)
    assert refused(decoder, tmp_path / "cover.mp4").reason is Reason.NO_VIDEO_STREAM


def test_rates_outside_the_limits(tmp_path, encode, decoder):
    for fps in (5, 240):
        error = refused(decoder, encode(tmp_path / f"{fps}.mp4", fps=fps, frames=20))
        assert error.reason is Reason.FRAME_RATE
        assert f"{fps}.00 fps" in error.detail


def test_a_billion_frames_in_the_header(tmp_path, encode, decoder):
    path = encode(tmp_path / "a.mp4", frames=12)
    data = bytearray(path.read_bytes())
    place = data.index(b"stsz") + 8
    data[place : place + 8] = struct.pack(">II", 100, 10**9)
    path.write_bytes(data)
    assert refused(decoder, path).reason is Reason.TOO_LONG
    path = encode(tmp_path / "b.mp4", frames=12)
    data = bytearray(path.read_bytes())
    place = data.index(b"stts") + 12
    assert struct.unpack(">I", data[place : place + 4])[0] == 12
    data[place : place + 4] = struct.pack(">I", 10**9)
    path.write_bytes(data)
    assert refused(decoder, path).reason in (Reason.TOO_LONG, Reason.BROKEN_MEDIA)


def test_huge_pictures_in_the_header(tmp_path, encode, decoder):
    avi = encode(tmp_path / "a.avi", codec="rawvideo", pix_fmt="bgr24")
    data = bytearray(avi.read_bytes())
    place = data.index(b"strf") + 12
    assert struct.unpack("<ii", data[place : place + 8])[0] == 96
    data[place : place + 8] = struct.pack("<ii", 16384, 16384)
    avi.write_bytes(data)
    mp4 = encode(tmp_path / "a.mov", codec="png", pix_fmt="rgb24")
    size = struct.pack(">HHI", 96, 64, 0x00480000)
    patched(mp4, size, struct.pack(">HHI", 16384, 16384, 0x00480000))
    patched(mp4, b"IHDR" + struct.pack(">II", 96, 64), b"IHDR" + struct.pack(">II", 16384, 16384))
    for path in (avi, mp4):
        error = refused(decoder, path)
        assert (error.reason, "16384x16384" in error.detail) == (Reason.PICTURE_SIZE, True)
    assert refused(decoder, encode(tmp_path / "small.mp4", size=(60, 80))).reason is Reason.PICTURE_SIZE


def test_too_many_streams(tmp_path, decoder):
    with av.open(str(tmp_path / "a.mkv"), "w") as file:
        streams = [file.add_stream("pcm_s16le", rate=48000, layout="mono") for _ in range(9)]
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 480), np.int16), format="s16", layout="mono")
        frame.sample_rate = 48000
        for stream in streams:
            file.mux(stream.encode(frame))
    assert refused(decoder, tmp_path / "a.mkv").reason is Reason.TOO_MANY_STREAMS


def test_too_many_bytes_frames_or_seconds(tmp_path, encode):
    path = encode(tmp_path / "a.mp4", frames=50)
    for limits, reason in (
        (MediaLimits(max_bytes=1000), Reason.TOO_LARGE),
        (MediaLimits(max_frames=49), Reason.TOO_LONG),
        (MediaLimits(max_seconds=1.9), Reason.TOO_LONG),
    ):
        with Decoder(limits) as strict:
            assert refused(strict, path).reason is reason


def test_a_recording_that_never_says_how_long_it_is(tmp_path, decoder):
    sink = io.BytesIO()
    sink.seekable = lambda: False  # a live stream: the muxer cannot go back to fill in the length
    with av.open(sink, "w", format="matroska", options={"live": "1"}) as file:
        stream = file.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        frame = av.VideoFrame.from_ndarray(np.zeros((64, 96, 3), np.uint8), format="rgb24").reformat(format="yuv420p")
        for k in range(3700):
            frame.pts = k
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    path = tmp_path / "a.mkv"
    path.write_bytes(sink.getvalue())
    assert refused(decoder, path).reason is Reason.TOO_LONG


def test_after_all_this_the_same_decoder_works(tmp_path, encode, decoder):
    assert len(list(decoder.frames(encode(tmp_path / "a.mp4")))) == 12
