"""Decoded sound to FLAC in an MP4: what `sound.py` does where packets cannot be copied. Runs inside the confined child.

FLAC holds integers. Those of up to 24 bits come through exactly; decimals, which lossy codecs decode to, are rounded to 24 bits (and cut
off beyond full scale, as every player does).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from io import BytesIO
from itertools import chain
from typing import Any

import av

from synclora.errors import MediaError, Reason

MAX_BYTES = 128 * 1024**2  # 120 s of six channels of 24 bits at 48 kHz; keeps the reply far below the child's memory
GAP_S = Fraction(1, 20)  # smaller steps of the timestamps are their rounding (Matroska's milliseconds)
BLOCK = 1024  # samples of a packet, as of an AAC one: what is copied ends with a packet
LAYOUTS = ("", "mono", "stereo", "3.0", "quad", "5.0", "5.1", "6.1", "7.1")  # those that FLAC knows, by channels


@dataclass(frozen=True)
class Clock:
    """Which samples are wanted.

    Attributes:
        rate: Hz.
        channels: how many.
        begin: of the first sample, in seconds on the file's clock; earlier ones are left out.
        samples: how many at most; None for all.
    """

    rate: int
    channels: int
    begin: Fraction
    samples: int | None = None


def flac(frames: Iterator[Any], clock: Clock) -> bytes:
    """An MP4 with the samples of FFmpeg's frames; where the file's clock leaves a gap, silence.

    Raises:
        MediaError: more channels than FLAC has, or too many bytes.
    """
    import numpy as np  # here: half of the child's start

    if clock.channels >= len(LAYOUTS):
        detail = f"its sound has {clock.channels} channels, at most {len(LAYOUTS) - 1} can be stored"
        raise MediaError(Reason.BROKEN_MEDIA, detail)
    first = next(frames)
    buffer, depth, layout = BytesIO(), "s16" if first.format.bytes <= 2 else "s32", LAYOUTS[clock.channels]
    with av.open(buffer, "w", format="mp4", options={"movie_timescale": str(clock.rate)}) as sound:
        out = sound.add_stream("flac", rate=clock.rate, layout=layout, options={"threads": "1", "frame_size": str(BLOCK)})
        out.codec_context.format = depth
        blocks = av.AudioResampler(format=depth, layout=layout, rate=clock.rate, frame_size=BLOCK)
        place = 0
        for samples_nc in _wanted(np, chain([first], frames), clock):
            whole = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples_nc).reshape(1, -1), format=depth, layout=layout)
            whole.sample_rate, whole.pts, whole.time_base = clock.rate, place, Fraction(1, clock.rate)
            place += len(samples_nc)
            for block in blocks.resample(whole):
                sound.mux(out.encode(block))
            check_size(buffer)
        for block in blocks.resample(None):
            sound.mux(out.encode(block))
        sound.mux(out.encode(None))
    return buffer.getvalue()


def check_size(buffer: BytesIO) -> None:
    """Refuse a sound that would fill the memory.

    Raises:
        MediaError: it does.
    """
    if buffer.tell() > MAX_BYTES:
        raise MediaError(Reason.TOO_LARGE, f"its sound takes more than {MAX_BYTES} bytes")


def _wanted(np: Any, frames: Iterator[Any], clock: Clock) -> Iterator[Any]:
    """Pieces (samples, channels) that follow each other from the clock's beginning."""
    place = 0
    for frame in frames:
        samples_nc = _integers(np, frame)
        due = place if frame.pts is None else round((frame.pts * Fraction(frame.time_base) - clock.begin) * clock.rate)
        if due < 0 and place == 0:
            samples_nc, due = samples_nc[-due:], 0
        if len(samples_nc) and due - place > GAP_S * clock.rate:
            samples_nc = np.concatenate([np.zeros((due - place, clock.channels), samples_nc.dtype), samples_nc])
        if clock.samples is not None:
            samples_nc = samples_nc[: max(0, clock.samples - place)]
        if len(samples_nc):
            place += len(samples_nc)
            yield samples_nc


def _integers(np: Any, frame: Any) -> Any:
    """(samples, channels) int16, or int32 whose upper 24 bits count."""
    raw = frame.to_ndarray()
    samples_nc = raw.T if frame.format.is_planar else raw.reshape(-1, frame.layout.nb_channels)
    if samples_nc.dtype == np.uint8:
        return (samples_nc.astype(np.int16) - 128) << 8
    if samples_nc.dtype == np.int16:
        return samples_nc
    full = 2.0**23 if samples_nc.dtype.kind == "f" else 2.0 ** (24 - 8 * samples_nc.dtype.itemsize)
    levels = np.rint(samples_nc.astype(np.float64) * full)
    return np.nan_to_num(levels).clip(-(2**23), 2**23 - 1).astype(np.int32) << 8
