"""The child is confined, ends in time, and its end costs one video."""

import os
import signal
import struct
import time
import zlib
from pathlib import Path

import av
import numpy as np
import pytest

from synclora.errors import MediaError, Reason
from synclora.media.decode import Decoder
from synclora.media.settings import MediaLimits

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def clip(tmp_path, encode) -> Path:
    return encode(tmp_path / "a.mp4", frames=60, size=(512, 512))


def pid_of(decoder: Decoder) -> int:
    return decoder._child._process.pid


def test_the_child_may_not_write_files_or_grow(clip):
    with Decoder(MediaLimits(memory_mb=512)) as decoder:
        assert len(list(decoder.frames(clip))) == 60
        lines = Path(f"/proc/{pid_of(decoder)}/limits").read_text().splitlines()
        limits = {line[:26].strip(): line[26:].split()[:2] for line in lines[1:]}
        status = Path(f"/proc/{pid_of(decoder)}/maps").read_text()
    assert limits["Max file size"] == ["0", "0"]
    assert limits["Max core file size"] == ["0", "0"]
    assert limits["Max address space"] == [str(512 * 1024**2)] * 2
    assert limits["Max open files"] == ["32", "32"]
    assert "pydantic" not in status
    assert "/ray/" not in status
    assert "mediapipe" not in status


def test_killed_from_outside_costs_one_video(clip):
    with Decoder() as decoder:
        frames = decoder.frames(clip)
        next(frames)
        os.kill(pid_of(decoder), signal.SIGSEGV)
        with pytest.raises(MediaError) as caught:
            list(frames)
        assert caught.value.reason is Reason.CRASHED
        assert "SIGSEGV" in caught.value.detail
        assert len(list(decoder.frames(clip))) == 60


def test_a_child_that_hangs_is_ended(clip):
    with Decoder(MediaLimits(wall_seconds=0.5)) as decoder:
        frames = decoder.frames(clip)
        pid = pid_of(decoder)
        os.kill(pid, signal.SIGSTOP)
        with pytest.raises(MediaError) as caught:
            list(frames)
        assert caught.value.reason is Reason.TIMED_OUT
        assert not Path(f"/proc/{pid}").exists()
        assert len(list(decoder.frames(clip))) == 60


def test_a_slow_reader_does_not_use_up_the_allowance(clip):
    with Decoder(MediaLimits(wall_seconds=0.6)) as decoder:
        frames = decoder.frames(clip)
        count = 0
        for _ in frames:
            time.sleep(0.02)
            count += 1
        assert count == 60


def test_a_decoder_that_computes_too_long_is_ended(tmp_path):
    path = tmp_path / "a.mkv"  # 3500 copies of one large picture: minutes of work in a small file
    with av.open(str(path), "w") as file:
        stream = file.add_stream("mjpeg", rate=60)
        stream.width, stream.height, stream.pix_fmt = 1920, 1080, "yuvj420p"
        picture = av.VideoFrame.from_ndarray(np.zeros((1080, 1920, 3), np.uint8), format="rgb24")
        (first,) = stream.encode(picture.reformat(format="yuvj420p"))
        for k in range(3500):
            packet = av.Packet(bytes(first))
            packet.stream, packet.time_base, packet.pts, packet.dts = stream, first.time_base, k, k
            packet.is_keyframe = True
            file.mux(packet)
    with Decoder(MediaLimits(cpu_seconds=1)) as decoder, pytest.raises(MediaError) as caught:
        list(decoder.frames(path))
    assert caught.value.reason is Reason.TIMED_OUT
    assert "cpu_seconds" in caught.value.detail


def test_too_little_memory_is_a_reason_not_a_crash(tmp_path, encode):
    path = encode(tmp_path / "a.mov", codec="png", pix_fmt="rgb24")
    data, entry = path.read_bytes(), struct.pack(">I", 0x00480000)
    small, large = struct.pack(">II", 96, 64), struct.pack(">II", 8000, 6000)
    head = data[data.index(b"IHDR") + 12 :][:5]
    data = data.replace(struct.pack(">HH", 96, 64) + entry, struct.pack(">HH", 8000, 6000) + entry)
    before, after = b"IHDR" + small + head, b"IHDR" + large + head
    data = data.replace(before + struct.pack(">I", zlib.crc32(before)), after + struct.pack(">I", zlib.crc32(after)))
    path.write_bytes(data)
    with Decoder(MediaLimits(memory_mb=256, max_side=9000)) as decoder:
        with pytest.raises(MediaError) as caught:
            list(decoder.frames(path))
        assert "memory_mb = 256" in caught.value.detail
        small = encode(tmp_path / "b.mp4")
        assert len(list(decoder.frames(small))) == 12


def test_closing_ends_the_child(clip):
    decoder = Decoder()
    next(decoder.frames(clip))
    pid = pid_of(decoder)
    decoder.close()
    assert not Path(f"/proc/{pid}").exists()
