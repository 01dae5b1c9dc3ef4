"""Small odd videos, made on the spot. Frame k of a made video is flat grey of level 20 + 7 k (modulo 30 frames)."""

import os
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from synclora.media.decode import Decoder
from synclora.media.settings import MediaLimits

Make = Callable[..., Path]


def grey(k: int, height: int, width: int) -> np.ndarray:
    return np.full((height, width, 3), 20 + 7 * (k % 30), np.uint8)


def number_of(picture: np.ndarray) -> int:
    return round((float(picture.mean()) - 20) / 7)


def encode(
    path: Path,
    pictures: Sequence[np.ndarray] | None = None,
    *,
    frames: int = 12,
    size: tuple[int, int] = (96, 64),
    fps: Fraction | int = 25,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    pts: Sequence[int] | None = None,
    rotation: int = 0,
    container: str | None = None,
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
) -> Path:
    """Write a video; `size` is width, height; `pts` are milliseconds."""
    pictures = [grey(k, size[1], size[0]) for k in range(frames)] if pictures is None else pictures
    base = Fraction(1, 1000) if pts else 1 / Fraction(fps)
    with av.open(str(path), "w", format=container, options=container_options or {}) as file:
        stream = file.add_stream(codec, rate=Fraction(fps), options={"threads": "1", **(options or {})})
        stream.height, stream.width, stream.pix_fmt = pictures[0].shape[0], pictures[0].shape[1], pix_fmt
        stream.codec_context.time_base = base
        if rotation:
            stream.set_display_rotation(rotation)
        for k, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=pix_fmt)
            frame.pts, frame.time_base = (pts[k] if pts else k), base
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return path


def tone(path: Path, *, codec: str = "aac", container: str | None = None, seconds: float = 1.0, video: bool = False) -> Path:
    """Write a 440 Hz tone, with pictures of 25 fps if asked."""
    rate = 48000
    wave = (8000 * np.sin(2 * np.pi * 440 * np.arange(int(rate * seconds)) / rate)).astype(np.int16)[None]
    with av.open(str(path), "w", format=container) as file:
        sound = file.add_stream(codec, rate=rate, layout="mono")
        pictures = file.add_stream("libx264", rate=25) if video else None
        if pictures is not None:
            pictures.width, pictures.height, pictures.pix_fmt = 96, 64, "yuv420p"
        frame = av.AudioFrame.from_ndarray(wave, format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
        for piece in av.AudioResampler(format=sound.format, layout="mono", rate=rate, frame_size=1024).resample(frame):
            file.mux(sound.encode(piece))
        if pictures is not None:
            for k in range(int(25 * seconds)):
                file.mux(pictures.encode(av.VideoFrame.from_ndarray(grey(k, 64, 96), format="rgb24")))
            file.mux(pictures.encode(None))
        file.mux(sound.encode(None))
    return path


@pytest.fixture(name="encode", scope="session")
def _encode() -> Make:
    return encode


@pytest.fixture(name="tone", scope="session")
def _tone() -> Make:
    return tone


@pytest.fixture(name="number_of", scope="session")
def _number_of() -> Callable[[np.ndarray], int]:
    return number_of


@pytest.fixture(scope="session")
def decoder() -> Iterator[Decoder]:
    with Decoder(MediaLimits(wall_seconds=20)) as one:
        yield one


@pytest.fixture(scope="session")
def portraits() -> Path:
    beside = Path(__file__).parents[2].parent / "shared" / "portraits"
    folder = Path(os.environ.get("SYNCLORA_PORTRAITS", beside))
    if not (folder / "clips").is_dir():
        pytest.skip(f"no real clips at {folder}; set SYNCLORA_PORTRAITS")
    return folder
