"""Small curated sets, made on the spot: real videos, and a manifest written by the project's own writer."""

import shutil
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from synclora.media.encode import write_video
from synclora.motion.measure import Measurement
from synclora.pairs.manifest import SCHEMA, write_rows
from tests.report.conftest import FACE, measured

Row = dict[str, Any]


def row(pair_id: str, *, size: tuple[int, int] = (128, 128), frames: int = 25, fps: float = 25.0, **more: Any) -> Row:
    """A manifest row of a kept pair; `face` are points in picture heights, None leaves them out."""
    face = more.pop("face", FACE)
    motion = Measurement(**{**vars(measured(frames=frames)), "first_face_kc": face}).to_row() if face is not None else None
    facts = {"pair_id": pair_id, "name": f"pair {pair_id}", "verdict": "kept", "caption": f"edit {pair_id}", "sync": 0.9}
    facts |= {"width": size[0], "height": size[1], "frames": frames, "fps": fps, "parts": [], "source_motion": motion}
    return dict.fromkeys(SCHEMA.names) | facts | more


def drawn(frames: int = 25, size: tuple[int, int] = (128, 128), *, marker: tuple[int, int] = (40, 30), tint: int = 0) -> list:
    """Pictures whose grey counts the frames (20 + 7 k), with a white square of 16 pixels whose middle is the marker."""
    pictures = []
    for k in range(frames):
        picture = np.full((size[1], size[0], 3), 20 + 7 * (k % 30), np.uint8)
        picture[..., 2] += np.uint8(tint)
        x, y = marker
        picture[y - 8 : y + 8, x - 8 : x + 8] = 255
        pictures.append(picture)
    return pictures


def add_pair(folder: Path, pair_id: str, *, fps: Fraction | int = 25, tint: int = 20, **how: Any) -> Row:
    """Draw a pair's halves where a curated set keeps them; returns its row."""
    given = {name: how.pop(name) for name in ("face", "caption", "verdict") if name in how}
    for half, of_half in (("source", 0), ("edited", tint)):
        path = folder / "kept" / half / f"{pair_id}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_video(path, drawn(**how, tint=of_half), fps, preset="ultrafast")
    shape = {name: how[name] for name in ("size", "frames") if name in how}
    return row(pair_id, fps=float(fps), **shape, **given)


def real_pair(folder: Path, portraits: Path, name: str, edited: str, size: tuple[int, int], frames: int, fps: float) -> Row:
    """A published pair of a person, as a curated set keeps it."""
    for half, file in (("source", "source"), ("edited", edited)):
        path = folder / "kept" / half / f"{name}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(portraits / "pairs" / name / f"{file}.mp4", path)
    return row(name, size=size, frames=frames, fps=fps)


def finish(folder: Path, rows: list[Row]) -> Path:
    """Write the manifest."""
    folder.mkdir(parents=True, exist_ok=True)
    write_rows(folder / "manifest.parquet", rows)
    return folder


def place_of_marker(picture: np.ndarray) -> tuple[float, float]:
    """(x, y) of the middle of what is white."""
    rows, columns = np.nonzero(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) > 245)
    return float(columns.mean()) + 0.5, float(rows.mean()) + 0.5
