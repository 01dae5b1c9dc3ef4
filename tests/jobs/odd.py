"""A folder of pairs in which everything goes wrong at once. Each odd video stands beside a good half."""

import os
import shutil
import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np

from synclora.media.decode import Decoder
from tests.media.conftest import encode, tone

Frames = list[np.ndarray]
Make = Callable[[Path, Frames], object]


def _raw(data: bytes) -> Make:
    return lambda path, frames: path.write_bytes(data)


def _patched(place: Callable[[bytearray], int], new: bytes, **how: object) -> Make:
    def make(path: Path, frames: Frames) -> None:
        data = bytearray(encode(path, frames[:12], **how).read_bytes())
        start = place(data)
        data[start : start + len(new)] = new
        path.write_bytes(data)

    return make


def _truncated(path: Path, frames: Frames) -> None:
    data = encode(path, frames, container_options={"movflags": "+faststart"}).read_bytes()
    path.write_bytes(data[: len(data) * 6 // 10])


def _link_out(path: Path, frames: Frames) -> None:
    path.symlink_to(encode(path.parents[2] / "outside.mp4", frames))


def _noise(path: Path, frames: Frames) -> None:
    rng = np.random.default_rng(0)
    encode(path, [rng.integers(0, 255, frames[0].shape, np.uint8) for _ in frames])


def _two(path: Path, frames: Frames) -> None:
    encode(path, [np.hstack([frame, frame[:, ::-1]]) for frame in frames])


def leaving(frames: Frames) -> Frames:
    """The person walks out to the left after half of the time."""
    half = len(frames) // 2
    return [
        np.roll(f, -f.shape[1] * max(0, k - half) // 4, 1) if k < half + 4 else np.full_like(f, 128) for k, f in enumerate(frames)
    ]


BAD: dict[str, tuple[str, str, Make]] = {
    "truncated.mp4": ("quarantined", "broken_media", _truncated),
    "zero.mp4": ("quarantined", "empty_file", _raw(b"")),
    "text.mp4": ("quarantined", "unknown_container", _raw(b"just some words\n" * 100)),
    "sound.mp4": ("quarantined", "no_video_stream", lambda path, frames: tone(path)),
    "one-frame.mp4": ("quarantined", "too_short", lambda path, frames: encode(path, frames[:1])),
    "huge.avi": (
        "quarantined",
        "picture_size",
        _patched(lambda d: d.index(b"strf") + 12, struct.pack("<ii", 16384, 16384), codec="rawvideo", pix_fmt="bgr24"),
    ),
    "billion.mp4": ("quarantined", "too_long", _patched(lambda d: d.index(b"stsz") + 8, struct.pack(">II", 100, 10**9))),
    "endless.mp4": ("quarantined", "unreadable", lambda path, frames: os.mkfifo(path)),
    "playlist.mp4": ("quarantined", "unknown_container", _raw(b"#EXTM3U\n#EXTINF:1,\n../edited/good.mp4\n#EXT-X-ENDLIST\n")),
    "concat.mp4": ("quarantined", "unknown_container", _raw(b"ffconcat version 1.0\nfile ../edited/good.mp4\n")),
    "link-out.mp4": ("quarantined", "outside_input", _link_out),
    "noise.mp4": ("quarantined", "no_face", _noise),
    "two-people.mp4": ("quarantined", "two_faces", _two),
    "leaving.mp4": ("quarantined", "face_lost", lambda path, frames: encode(path, leaving(frames))),
    "slow.mp4": ("quarantined", "frame_rate", lambda path, frames: encode(path, frames, fps=5)),
    "fast.mp4": ("quarantined", "frame_rate", lambda path, frames: encode(path, frames, fps=240)),
    "other-rate.mp4": ("quarantined", "fps_mismatch", lambda path, frames: encode(path, frames, fps=30)),
    "longer.mp4": ("quarantined", "length_mismatch", lambda path, frames: encode(path, frames * 2)),
    "kill.mp4": ("quarantined", "crashed", lambda path, frames: encode(path, frames[::-1])),
    "hang.mp4": ("quarantined", "crashed", lambda path, frames: encode(path, frames[1:])),
    "abort.mp4": ("quarantined", "crashed", lambda path, frames: encode(path, frames[2:])),
}
"""Source videos that cannot be judged: verdict, reason, how to make one."""

UNEVEN = [int(40 * k + (13 if k % 3 == 1 else 0)) for k in range(25)]


def _turned(quarters: int) -> Make:
    def make(path: Path, frames: Frames) -> None:
        encode(path, [np.ascontiguousarray(np.rot90(frame, -quarters)) for frame in frames], rotation=quarters * 90)

    return make


WELL: dict[str, Make] = {
    "good.mp4": lambda path, frames: encode(path, frames),
    "turned-90.mp4": _turned(1),
    "turned-180.mp4": _turned(2),
    "turned-270.mp4": _turned(3),
    "ten-bit.mkv": lambda path, frames: encode(path, frames, pix_fmt="yuv420p10le", options={"crf": "16"}),
    "alpha.mov": lambda path, frames: encode(path, frames, codec="qtrle", pix_fmt="argb"),
    "uneven.mp4": lambda path, frames: encode(path, frames, pts=UNEVEN),
    "ntsc.mp4": lambda path, frames: encode(path, frames, fps=Fraction(30000, 1001)),
}
"""Both halves made in an odd way that must not matter."""


def make_everything(folder: Path, puppet: Path) -> None:
    """Fill `folder` from one good puppet pair."""
    with Decoder() as decoder:
        frames = {half: list(decoder.frames(puppet / f"{half}.mp4")) for half in ("source", "edited")}
    for half in frames:
        (folder / half).mkdir(parents=True)
        for name, well in WELL.items():
            well(folder / half / name, frames[half])
    for name, (_, _, make) in BAD.items():
        make(folder / "source" / name, frames["source"])
        encode(folder / "edited" / f"{name.split('.')[0]}.mp4", frames["edited"])
    encode(folder / "source" / "alone.mp4", frames["source"])
    encode(folder / "source" / "walks-off.mp4", frames["source"])
    encode(folder / "edited" / "walks-off.mp4", leaving(frames["edited"]))
    for half in frames:
        shutil.copy(folder / half / "good.mp4", folder / half / "same-again.mp4")
    shutil.copy(folder / "source" / "good.mp4", folder / "source" / "good.mkv")
