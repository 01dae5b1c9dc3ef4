"""Odd containers, made on the spot: turned, uneven, odd-sided, with every kind of sound, early and late."""

from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from tests.media.conftest import grey

SECONDS = 1.6
RATE = 48000


@dataclass(frozen=True)
class Odd:
    """One container. Times are in seconds."""

    name: str
    codec: str = "libx264"
    size: tuple[int, int] = (96, 64)
    fps: Fraction | int = 25
    frames: int = 40
    rotation: int = 0
    pix_fmt: str = "yuv420p"
    pts_ms: Callable[[int], int] | None = None
    sound: str = ""
    rate: int = RATE
    layout: str = "stereo"
    format: str = ""
    late: Fraction = Fraction(0)
    pictures_late: Fraction = Fraction(0)
    pixel_aspect: Fraction = Fraction(1)
    options: dict[str, str] = field(default_factory=dict)


ODD = [
    Odd("turned-90.mp4", rotation=90, sound="aac"),
    Odd("turned-180.mov", rotation=180, sound="pcm_s16le"),
    Odd("turned-270.mp4", rotation=270),
    Odd("odd-sides.mkv", codec="ffv1", size=(97, 65), pix_fmt="yuv444p", sound="pcm_s24le"),
    Odd("anamorphic.mp4", pixel_aspect=Fraction(4, 3), rotation=90),
    Odd("uneven.mp4", pts_ms=lambda k: 40 * k + (13 if k % 3 == 1 else 0), sound="aac"),
    Odd("ntsc.mp4", fps=Fraction(30000, 1001), sound="aac", rate=44100),
    Odd("slow.avi", codec="mpeg4", fps=15, frames=24, sound="libmp3lame", rate=44100),
    Odd("film.mkv", fps=Fraction(24000, 1001), sound="flac"),
    Odd("pcm.avi", codec="mjpeg", pix_fmt="yuvj420p", sound="pcm_s16le", layout="mono", rate=16000),
    Odd("eight-bit.avi", codec="mpeg4", sound="pcm_u8", layout="mono", rate=22050),
    Odd("broadcast.ts", sound="aac"),
    Odd("layer-two.ts", sound="mp2"),
    Odd("opus.webm", codec="libvpx", sound="libopus"),
    Odd("vorbis.webm", codec="libvpx", sound="vorbis"),
    Odd("opus.mp4", sound="libopus", late=Fraction(1, 4)),
    Odd("late.mp4", sound="aac", late=Fraction(12345, RATE)),
    Odd("late-pcm.mkv", sound="pcm_s16le", late=Fraction(2, 5)),
    Odd("early.mp4", sound="aac", pictures_late=Fraction(3, 25)),
    Odd("surround.mp4", sound="aac", layout="5.1"),
    Odd("dolby.mkv", sound="ac3", layout="5.1"),
    Odd("alac.mov", sound="alac", layout="mono"),
    Odd("decimals.mov", sound="pcm_f32le", rate=96000),
    Odd("ten-bit.mkv", pix_fmt="yuv420p10le", sound="libmp3lame"),
    Odd("silent.mov", codec="qtrle", pix_fmt="argb"),
    Odd("sound-outlasts.mp4", frames=20, sound="aac"),
]


def make(odd: Odd, folder: Path) -> Path:
    """Write it."""
    path = folder / odd.name
    with av.open(str(path), "w") as file:
        stream = file.add_stream(odd.codec, rate=Fraction(odd.fps), options={"threads": "1", **odd.options})
        stream.width, stream.height, stream.pix_fmt = *odd.size, odd.pix_fmt
        base = Fraction(1, 1000) if odd.pts_ms else 1 / Fraction(odd.fps)
        stream.codec_context.time_base = base
        if odd.pixel_aspect != 1:
            stream.codec_context.sample_aspect_ratio = odd.pixel_aspect
        if odd.rotation:
            stream.set_display_rotation(odd.rotation)
        sound = _sound_stream(file, odd) if odd.sound else None
        packets = list(_pictures(stream, odd, base))
        if sound is not None:
            packets += _sound(sound, odd)
        for packet in sorted(packets, key=lambda one: one.dts * one.time_base):
            file.mux(packet)
    return path


def _pictures(stream, odd, base):
    late = round(odd.pictures_late / base)
    for k in range(odd.frames):
        frame = av.VideoFrame.from_ndarray(grey(k, odd.size[1], odd.size[0]), format="rgb24").reformat(format=odd.pix_fmt)
        frame.pts, frame.time_base = (odd.pts_ms(k) if odd.pts_ms else k + late), base
        yield from stream.encode(frame)
    yield from stream.encode(None)


def _sound_stream(file, odd):
    sound = file.add_stream(odd.sound, rate=odd.rate, layout=odd.layout)
    if odd.format:
        sound.format = odd.format
    if odd.sound in ("vorbis", "opus"):
        sound.codec_context.options = {"strict": "experimental"}
    if not sound.codec_context.is_open:
        sound.codec_context.open()
    return sound


def _sound(sound, odd):
    channels, count = len(av.AudioLayout(odd.layout).channels), round(SECONDS * odd.rate) + 77
    rng, t = np.random.default_rng(1), np.arange(count) / odd.rate
    tones = [8000 * np.sin(2 * np.pi * (220 + 110 * c) * t) + rng.normal(0, 500, count) for c in range(channels)]
    wave = np.ascontiguousarray(np.stack(tones, axis=1).astype(np.int16)).reshape(1, -1)
    frame = av.AudioFrame.from_ndarray(wave, format="s16", layout=odd.layout)
    frame.sample_rate, frame.pts, frame.time_base = odd.rate, round(odd.late * odd.rate), Fraction(1, odd.rate)
    context = sound.codec_context
    resampler = av.AudioResampler(context.format, odd.layout, odd.rate, frame_size=context.frame_size or 1024)
    for piece in [*resampler.resample(frame), *resampler.resample(None)]:
        yield from sound.encode(piece)
    yield from sound.encode(None)


@dataclass(frozen=True)
class Heard:
    """What FFmpeg's decoder gives of a track: (channels, samples) in -1 to 1, and its start after the first picture in seconds."""

    samples_cn: np.ndarray
    start: Fraction
    rate: int


def heard(path: Path) -> Heard | None:
    with av.open(str(path)) as file:
        if not file.streams.audio:
            return None
        pieces, first = [], None
        for frame in file.decode(audio=0):
            first = frame if first is None else first
            raw = frame.to_ndarray()
            raw = raw if frame.format.is_planar else raw.reshape(-1, frame.layout.nb_channels).T
            scale = {"u": 2.0**7, "i": 2.0 ** (8 * raw.itemsize - 1), "f": 1.0}[raw.dtype.kind]
            pieces.append((raw.astype(np.float64) - (128 if raw.dtype.kind == "u" else 0)) / scale)
        assert first is not None
    with av.open(str(path)) as file:
        picture = next(file.decode(video=0))
    start = first.pts * Fraction(first.time_base) - picture.pts * Fraction(picture.time_base)
    return Heard(np.concatenate(pieces, axis=1), start, first.sample_rate)
