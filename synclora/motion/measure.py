"""One video, measured once: everything that judging needs and no picture larger than a stamp.

    measurement = measure(landmarker, frames, fps=25.0)

A measurement is kept under the video's content id, so a source with nine edits is measured once.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from synclora.motion.landmarks import Floats, Landmarker, Landmarks, Picture
from synclora.motion.signals import FACE_FRAME, SIGNALS, Signal, face_seen, signals_of

STAMP = 32
"""Side of the square stamps from which edit strength is read: one per second of video."""

FORMAT = 2
"""Raised when a measurement changes its meaning: older ones are then made again."""


@dataclass(frozen=True)
class Measurement:
    """What one video tells of itself.

    Attributes:
        frames: number of frames.
        fps: frames per second.
        width: width of the upright picture, in pixels, before any scaling for analysis.
        height: its height.
        signals: by name, see `synclora.motion.signals.SIGNALS`.
        face_share: share of frames with a face.
        second_face: width of a second face over the first one's; 0 if none.
        first_face_kc: (11, 2) face points of the first frame with a face, in picture heights.
        stamps: (n, 32, 32, 3) uint8, one per second.
    """

    frames: int
    fps: float
    width: int
    height: int
    signals: dict[str, Signal]
    face_share: float
    second_face: float
    first_face_kc: Floats
    stamps: NDArray[np.uint8]

    def to_row(self) -> dict[str, Any]:
        """Plain values and flat lists, for Parquet."""
        row: dict[str, Any] = {
            "format": FORMAT,
            "frames": self.frames,
            "fps": self.fps,
            "width": self.width,
            "height": self.height,
            "face_share": self.face_share,
            "second_face": self.second_face,
            "first_face": self.first_face_kc.ravel().tolist(),
            "stamps": self.stamps.tobytes(),
        }
        for name in SIGNALS:
            signal = self.signals[name]
            row[f"{name}_values"] = signal.values.tolist()
            row[f"{name}_noise"] = signal.noise
            row[f"{name}_seen"] = signal.seen.tolist()
        return row

    @classmethod
    def from_row(cls, row: dict[str, Any]) -> Self:
        """The inverse of `to_row`."""
        signals = {
            name: Signal(
                np.asarray(row[f"{name}_values"], np.float32),
                float(row[f"{name}_noise"]),
                np.asarray(row[f"{name}_seen"], bool),
            )
            for name in SIGNALS
        }
        return cls(
            frames=int(row["frames"]),
            fps=float(row["fps"]),
            width=int(row["width"]),
            height=int(row["height"]),
            signals=signals,
            face_share=float(row["face_share"]),
            second_face=float(row["second_face"]),
            first_face_kc=np.asarray(row["first_face"], np.float32).reshape(-1, 2),
            stamps=np.frombuffer(row["stamps"], np.uint8).reshape(-1, STAMP, STAMP, 3),
        )


def measure(
    landmarker: Landmarker, frames: Iterable[Picture], fps: float, *, size: tuple[int, int], expected: int = 0
) -> Measurement:
    """Measure one video in one pass.

    Args:
        landmarker: the worker's own.
        frames: (h, w, 3) uint8 RGB, scaled for analysis.
        fps: frames per second.
        size: (width, height) of the upright picture before scaling.
        expected: the number of frames, if the container declares it.
    """
    stamps: list[Picture] = []
    landmarks = landmarker.track(_stamped(frames, stamps, max(1, round(fps))), fps, expected)
    seen = face_seen(landmarks)
    return Measurement(
        frames=len(seen),
        fps=fps,
        width=size[0],
        height=size[1],
        signals=signals_of(landmarks),
        face_share=float(seen.mean()),
        second_face=landmarks.second_face,
        first_face_kc=_first_face(landmarks, seen),
        stamps=np.stack(stamps),
    )


def _stamped(frames: Iterable[Picture], stamps: list[Picture], every: int) -> Iterator[Picture]:
    for index, frame in enumerate(frames):
        if index % every == 0:
            stamps.append(cv2.resize(frame, (STAMP, STAMP), interpolation=cv2.INTER_AREA).astype(np.uint8))
        yield frame


def _first_face(landmarks: Landmarks, seen: NDArray[np.bool_]) -> Floats:
    first = int(np.argmax(seen))
    return landmarks.face_tkc[first, list(FACE_FRAME)] * np.array([landmarks.width / landmarks.height, 1.0], np.float32)
