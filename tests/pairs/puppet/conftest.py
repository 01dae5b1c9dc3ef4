"""Measures that the tests share: the cues of METHOD, from MediaPipe in tracking mode."""

import os
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace

import mediapipe
import numpy as np
import pytest
from scipy.signal import savgol_filter

from synclora.pairs.puppet.portrait import load_portrait
from synclora.pairs.puppet.probe import gaze, openness, speech
from synclora.pairs.puppet.render import Look, Puppet

SIZE, FPS, FRAMES = 320, 25, 57


@lru_cache(maxsize=1)
def astronaut():
    portrait = load_portrait(None, SIZE)
    puppet = Puppet.of(portrait)
    return portrait, puppet, puppet.dress(Look.of(portrait))


@lru_cache(maxsize=1)
def _mesh():
    return mediapipe.solutions.face_mesh.FaceMesh(refine_landmarks=True)


def landmarks(frames: Iterable[np.ndarray]) -> list[np.ndarray | None]:
    """(478, 3) pixels per frame, None where no face was found."""
    mesh, found = _mesh(), []
    mesh.reset()
    for frame in frames:
        faces = mesh.process(frame).multi_face_landmarks
        scale = (frame.shape[1], frame.shape[0], frame.shape[1])
        found.append(np.asarray([(p.x, p.y, p.z) for p in faces[0].landmark]) * scale if faces else None)
    return found


def cues(points: list[np.ndarray]) -> dict[str, np.ndarray]:
    ears = [p[454] - p[234] for p in points]
    middle = [p[152] - p[10] for p in points]
    return {
        "speech": np.asarray([speech(p) for p in points]),
        "blink": np.asarray([-openness(p) for p in points]),
        "gaze": np.asarray([gaze(p) for p in points]),
        "yaw": np.asarray([np.arctan2(e[2], e[0]) for e in ears]),
        "roll": np.asarray([np.arctan2(e[1], e[0]) for e in ears]),
        "pitch": np.asarray([np.arctan2(m[2], m[1]) for m in middle]),
    }


def agreement(a: np.ndarray, b: np.ndarray) -> float:
    """Pearson's r after the judge's smoothing."""
    return float(np.corrcoef(savgol_filter(a, 9, 2), savgol_filter(b, 9, 2))[0, 1])


def faces_folder() -> Path:
    """Real portraits outside the repository; their tests are skipped where there are none."""
    default = Path(__file__).parents[4] / "shared" / "portraits"
    folder = Path(os.environ.get("SYNCLORA_PORTRAITS", default)) / "faces"
    if not folder.is_dir():
        pytest.skip(f"no portraits at {folder}; set SYNCLORA_PORTRAITS")
    return folder


@pytest.fixture(scope="session")
def stage() -> SimpleNamespace:
    """The tools above, for test files, which cannot import this one."""
    return SimpleNamespace(
        SIZE=SIZE,
        FPS=FPS,
        FRAMES=FRAMES,
        astronaut=astronaut,
        landmarks=landmarks,
        cues=cues,
        agreement=agreement,
        faces_folder=faces_folder,
    )
