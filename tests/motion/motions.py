"""Measurements made by hand: a person whose every signal is known, with noise of known size."""

from dataclasses import replace

import numpy as np

from synclora.motion.measure import STAMP, Measurement
from synclora.motion.signals import NOISE_FLOOR, SIGNALS, Signal

FRAMES, FPS = 100, 25.0


def person(
    seed: int = 0, *, still: tuple[str, ...] = (), hidden: tuple[str, ...] = (), noise: float = 1.0, shade: int = 100
) -> Measurement:
    """Someone who moves every signal by twenty times its noise floor, but for those named."""
    rng = np.random.default_rng(seed)
    signals = {}
    for name in SIGNALS:
        walk = np.convolve(rng.normal(size=FRAMES + 12), np.hanning(13), "valid")[:FRAMES]
        amplitude = 0.0 if name in still else 20.0
        values = amplitude * NOISE_FLOOR[name] * walk / walk.std() + noise * 0.3 * NOISE_FLOOR[name] * rng.normal(size=FRAMES)
        signals[name] = Signal(values.astype(np.float32), noise * NOISE_FLOOR[name], np.full(FRAMES, name not in hidden))
    face = np.array([[0.5, 0.2], [0.5, 0.6], [0.35, 0.4], [0.65, 0.4], *[[0.5, 0.4]] * 7], np.float32)
    stamps = np.full((4, STAMP, STAMP, 3), shade, np.uint8)
    return Measurement(FRAMES, FPS, 512, 512, signals, 1.0, 0.0, face, stamps)


def edited(source: Measurement, seed: int = 1, shade: int = 140) -> Measurement:
    """The same performance, measured anew: other noise, another picture."""
    rng = np.random.default_rng(seed)
    signals = {
        name: replace(s, values=(s.values + 0.3 * s.noise * rng.normal(size=len(s.values))).astype(np.float32))
        for name, s in source.signals.items()
    }
    return replace(source, signals=signals, stamps=np.full_like(source.stamps, shade))


def with_signals(measurement: Measurement, **values: np.ndarray) -> Measurement:
    """Some signals replaced."""
    signals = dict(measurement.signals)
    for name, new in values.items():
        signals[name] = replace(signals[name], values=np.asarray(new, np.float32))
    return replace(measurement, signals=signals)


def retimed(measurement: Measurement, at: np.ndarray) -> Measurement:
    """Frame i shows what frame at[i] showed (linear between frames)."""
    grid = np.arange(measurement.frames)
    nearest = np.clip(np.round(at), 0, measurement.frames - 1).astype(int)
    signals = {
        name: Signal(np.interp(at, grid, s.values).astype(np.float32), s.noise, s.seen[nearest])
        for name, s in measurement.signals.items()
    }
    return replace(measurement, frames=len(at), signals=signals)
