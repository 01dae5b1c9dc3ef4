import struct
from pathlib import Path

import pytest

from synclora.errors import MediaError, Reason
from synclora.media import container


@pytest.mark.parametrize(("name", "demuxer"), [("a.mp4", "mov"), ("a.mkv", "matroska"), ("a.avi", "avi"), ("a.ts", "mpegts")])
def test_the_signature_decides_and_a_whole_file_misses_nothing(tmp_path, encode, name, demuxer):
    path = encode(tmp_path / name).rename(tmp_path / "named.txt")
    with path.open("rb") as file:
        assert container.sniff(file) == demuxer
        assert container.missing_end(file, demuxer, path.stat().st_size) == ""


@pytest.mark.parametrize(("name", "demuxer"), [("a.mp4", "mov"), ("a.mkv", "matroska"), ("a.avi", "avi")])
def test_a_cut_file_misses_its_end(tmp_path, encode, name, demuxer):
    path = encode(tmp_path / name, container_options={"movflags": "+faststart"} if demuxer == "mov" else None)
    size = path.stat().st_size
    path.write_bytes(path.read_bytes()[:-200])
    with path.open("rb") as file:
        assert str(size - 200) in container.missing_end(file, demuxer, size - 200)


@pytest.mark.parametrize(
    "text", [b"", b"hello world", b"#EXTM3U\n", b"ffconcat version 1.0\n", b"\x89PNG\r\n\x1a\n", b"RIFF\0\0\0\0WAVE"]
)
def test_other_signatures_are_refused(tmp_path, text):
    path = tmp_path / "a.mp4"
    path.write_bytes(text)
    with path.open("rb") as file, pytest.raises(MediaError) as caught:
        container.sniff(file)
    assert caught.value.reason is Reason.UNKNOWN_CONTAINER


def test_samples_are_counted_per_video_track(tmp_path, encode, tone):
    for path, expected in ((encode(tmp_path / "a.mp4", frames=17), 17), (tone(tmp_path / "b.mp4"), 0)):
        with path.open("rb") as file:
            assert container.declared_samples(file, path.stat().st_size) == expected


def test_boxes_that_lie_about_their_length_end_the_walk(tmp_path):
    path = tmp_path / "a.mp4"
    path.write_bytes(struct.pack(">I4s", 8, b"ftyp") + struct.pack(">I4s", 3, b"moov") + bytes(100))
    with path.open("rb") as file:
        assert [kind for kind, _, _ in container.boxes(file, 0, path.stat().st_size)] == [b"ftyp"]


def test_a_box_that_ends_beyond_the_world_ends_the_walk(tmp_path):
    path = tmp_path / "a.mp4"
    path.write_bytes(struct.pack(">I4sQ", 1, b"mdat", 2**64 - 1) + bytes(100))
    with path.open("rb") as file:
        assert "mdat" in container.missing_end(file, "mov", path.stat().st_size)


def test_folders_and_devices_are_not_opened(tmp_path):
    for path, reason in (
        (tmp_path, Reason.UNREADABLE),
        (Path("/dev/zero"), Reason.UNREADABLE),
        (tmp_path / "no", Reason.MISSING),
    ):
        with pytest.raises(MediaError) as caught:
            container.open_regular(str(path))
        assert caught.value.reason is reason
