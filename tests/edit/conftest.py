"""Editors on the miniature: its edits prove plumbing, and at 64 pixels they take a second."""

from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from synclora.edit.editor import Editor
from synclora.edit.settings import EditSettings
from synclora.media.decode import Decoder
from synclora.motion.landmarks import BODY_POINTS, FACE_POINTS, Landmarks

SMALL = EditSettings(steps=1, max_pixels=64 * 64, window_frames=25, overlap_frames=9, crf=35, preset="ultrafast")


class Blind:
    """A landmarker that sees nobody: for tests of files, where looking for faces would take most of the time."""

    def track(self, frames, fps, expected=0):
        shapes = [frame.shape for frame in frames]
        count = len(shapes)
        face = np.full((count, FACE_POINTS, 2), np.nan, np.float32)
        body = np.full((2, count, BODY_POINTS, 3), np.nan, np.float32)
        look = np.full(count, -1, np.int8)
        return Landmarks(face, face, body, look, 0.0, shapes[0][1], shapes[0][0])


def first_picture(video: Path) -> np.ndarray:
    with Decoder() as decoder:
        return next(decoder.frames(video, analysis=False))


def save(picture: np.ndarray, path: Path) -> Path:
    cv2.imwrite(str(path), cv2.cvtColor(np.ascontiguousarray(picture), cv2.COLOR_RGB2BGR))
    return path


def grey(picture: np.ndarray) -> np.ndarray:
    """An edit that every portrait can have."""
    return cv2.cvtColor(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)


@pytest.fixture(scope="session")
def blind() -> Iterator[Editor]:
    with Editor("tiny:ltx-video", settings=SMALL, landmarker=Blind(), paths=True) as editor:
        yield editor


@pytest.fixture(scope="session")
def seeing(landmarker) -> Iterator[Editor]:
    with Editor("tiny:ltx-video", settings=SMALL, landmarker=landmarker) as editor:
        yield editor


@pytest.fixture
def first_of(tmp_path) -> Callable[[Path], Path]:
    """Write a video's first frame, made grey, beside the test's files."""
    return lambda video: save(grey(first_picture(video)), tmp_path / "first.png")
