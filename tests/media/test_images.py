import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from synclora.errors import MediaError, Reason
from synclora.media.images import read_picture


def test_colour_size_and_orientation(tmp_path):
    picture = Image.new("RGB", (300, 200), (10, 20, 30))
    picture.paste((200, 0, 0), (0, 0, 100, 100))
    exif = Image.Exif()
    exif[0x0112] = 6  # turn a quarter clockwise to see it upright
    picture.save(tmp_path / "a.png", exif=exif)
    got = read_picture(tmp_path / "a.png")
    assert got.shape == (300, 200, 3)
    assert got.dtype == np.uint8
    assert tuple(got[50, 150]) == (200, 0, 0)
    assert tuple(got[50, 50]) == (10, 20, 30)
    assert read_picture(tmp_path / "a.png", 150).shape == (150, 100, 3)
    assert read_picture(tmp_path / "a.png", 5000).shape == (300, 200, 3)


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK", "1"])
def test_every_mode_becomes_rgb(tmp_path, mode):
    name = tmp_path / ("a.jpg" if mode == "CMYK" else "a.png")
    Image.new(mode, (64, 48)).save(name)
    assert read_picture(name).shape == (48, 64, 3)


def bomb(side: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


def test_bad_pictures_name_their_reason(tmp_path):
    Image.effect_noise((300, 300), 50).save(tmp_path / "whole.jpg")
    cases = {
        b"": Reason.EMPTY_FILE,
        b"no picture at all": Reason.UNKNOWN_CONTAINER,
        (tmp_path / "whole.jpg").read_bytes()[:2000]: Reason.BROKEN_MEDIA,
        bomb(9000): Reason.PICTURE_SIZE,
        bomb(60000): Reason.PICTURE_SIZE,
    }
    for data, reason in cases.items():
        (tmp_path / "a.jpg").write_bytes(data)
        with pytest.raises(MediaError) as caught:
            read_picture(tmp_path / "a.jpg")
        assert caught.value.reason is reason
    with pytest.raises(MediaError) as caught:
        read_picture(tmp_path / "none.jpg")
    assert caught.value.reason is Reason.MISSING
