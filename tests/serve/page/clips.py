"""Clips whose frames carry their number, and an editor whose edits are their twins: what is shown can be read off a picture."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from synclora.edit.progress import OnProgress
from synclora.edit.request import EditRequest
from synclora.edit.result import Crop, EditResult, PartReport
from synclora.media.encode import write_video
from tests.serve.stub import StubEditor

FRAMES, FPS, SIDE, BITS = 40, Fraction(25), 128, 8
STRIPE = SIDE // BITS


def picture(number: int, *, edited: bool = False) -> np.ndarray:
    """(128, 128, 3): eight stripes, light for each bit that is set; an edit has them on orange, a source on blue."""
    ground = np.array((150, 70, 20) if edited else (20, 70, 150), np.uint8)
    drawn = np.tile(ground, (SIDE, SIDE, 1))
    for bit in range(BITS):
        if number >> bit & 1:
            drawn[: SIDE // 2, bit * STRIPE : (bit + 1) * STRIPE] = (235, 235, 235)
    return drawn


def read(pixels: Sequence[Sequence[int]]) -> tuple[int, bool]:
    """The number and whether it is an edit, from the colour in the middle of each stripe and, last, that of the ground."""
    *stripes, ground = pixels
    return sum((min(colour[:3]) > 180) << bit for bit, colour in enumerate(stripes)), ground[0] > ground[2]


def write_clip(path: Path, *, edited: bool = False) -> Path:
    write_video(path, [picture(number, edited=edited) for number in range(FRAMES)], FPS)
    return path


PART = Crop(left=40, top=20, width=SIDE, height=SIDE)


def write_wide_clip(path: Path) -> Path:
    """The numbered clip as a part of a larger picture, which is light elsewhere."""
    pictures = [np.full((SIDE + 32, SIDE + 64, 3), 235, np.uint8) for _ in range(FRAMES)]
    for number, larger in enumerate(pictures):
        larger[PART.top : PART.top + SIDE, PART.left : PART.left + SIDE] = picture(number)
    write_video(path, pictures, FPS)
    return path


def write_frame(path: Path) -> Path:
    Image.fromarray(picture(0, edited=True)).save(path)
    return path


def tracks(phase: float) -> tuple[float | None, ...]:
    return tuple(round(float(value), 3) for value in 1.4 * np.sin(np.arange(FRAMES) / 4 + phase))


GAP = range(12, 20)
"""Frames in which the iris is not seen."""


def parts() -> tuple[PartReport, ...]:
    unseen = tuple(None if frame in GAP else value for frame, value in enumerate(tracks(0.5)))
    still = {"evidence": False, "why": "still", "snr": 1.0, "visible": 1.0}
    return (
        PartReport(
            part="mouth",
            cue="speech",
            signal="speech",
            evidence=True,
            r=0.93,
            snr=9,
            visible=1,
            source=tracks(0),
            edited=tracks(0.2),
        ),
        PartReport(part="iris", cue="gaze", signal="gaze", **still, source=unseen, edited=unseen),
        PartReport(
            part="head",
            cue="pose",
            signal="head_yaw",
            evidence=True,
            r=0.97,
            snr=8,
            visible=1,
            source=tracks(1),
            edited=tracks(1),
        ),
        PartReport(
            part="left_arm",
            cue="pose",
            signal="left_elbow",
            evidence=False,
            why="hidden",
            source=(None,) * FRAMES,
            edited=(None,) * FRAMES,
        ),
    )


class TwinEditor(StubEditor):
    """The stub, whose edits are twins of the numbered clip and come with curves."""

    def _edit(self, request: EditRequest, out: Path, on_progress: OnProgress) -> EditResult:
        result = super()._edit(request, out, on_progress)
        write_clip(out, edited=True)
        shown: dict[str, Any] = {"frames": FRAMES, "fps": str(FPS), "width": SIDE, "height": SIDE, "seconds": float(FRAMES / FPS)}
        return result.model_copy(update={**shown, "report": result.report.model_copy(update={"parts": parts()})})


class PartEditor(TwinEditor):
    """Its edits are of that part of the source."""

    def _edit(self, request: EditRequest, out: Path, on_progress: OnProgress) -> EditResult:
        return super()._edit(request, out, on_progress).model_copy(update={"crop": PART})
