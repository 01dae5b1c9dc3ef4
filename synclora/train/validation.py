"""Validation: edits of held-out pairs while a run lasts, kept as videos, measured by curation's scorer, and shown on a contact sheet.

    result = record(out, 100, clips, VerdictSettings(), random_base=False)
    for result in read_validations(out):
        print(result.line)

What it leaves, and how it is read back: `synclora.report.validations`.

Shapes: t frames, y rows, x columns of pixels, c colours (RGB).
"""

import functools
import json
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from synclora.errors import Reason
from synclora.incontext.sampler import SamplerSettings
from synclora.media.encode import write_video
from synclora.media.settings import MediaLimits
from synclora.motion.landmarks import Landmarker
from synclora.motion.measure import FORMAT, Measurement, measure
from synclora.motion.settings import LandmarkSettings, VerdictSettings
from synclora.motion.verdict import Judgement, Verdict, judge
from synclora.pairs.base import Pair, View
from synclora.pairs.manifest import ManifestError, Row, manifest_row, read_rows, write_rows
from synclora.report.contact import contact_sheet, stack, write_png
from synclora.report.validations import MANIFEST, MARKER, ValidationResult, pair_folder, result_of, step_folder
from synclora.report.validations import read_validations as read_validations
from synclora.report.words import RANDOM_WEIGHTS
from synclora.settings import Settings

Frames = NDArray[np.uint8]


class ValidationSettings(Settings):
    """When held-out pairs are edited, how many, and how."""

    every: int = Field(default=100, ge=0)
    """Steps between two validations; 0 for never."""
    pairs: int = Field(default=1, ge=0)
    """Pairs held out of training for it. Each costs one sampling and two seconds of measuring per validation."""
    sampler: SamplerSettings = SamplerSettings()

    @field_validator("sampler")
    @classmethod
    def _can_be_shown(cls, sampler: SamplerSettings) -> SamplerSettings:
        if sampler.guidance.text != 1:
            raise ValueError(f"guidance.text {sampler.guidance.text} needs the empty caption, which is not kept; leave it at 1")
        return sampler


@dataclass(frozen=True)
class EditedClip:
    """A held-out pair and our edit of it.

    Attributes:
        pair_id: names its files.
        name: what people call the pair.
        caption: the edit in words.
        fps: frames per second.
        source_tyxc: (t, y, x, 3) uint8, the performance.
        target_tyxc: the pair's true edited half, of the same shape.
        edit_tyxc: what the adapter made of the source, of the same shape.
        latent_distance: mean absolute difference of edit and true half in normalised latents, and of source and true half; None if not known.
            Unlike pictures, latents say something under an autoencoder with random weights too.

    Raises:
        ValueError: shapes or types differ, or `pair_id` is no file name.
    """

    pair_id: str
    name: str
    caption: str
    fps: Fraction
    source_tyxc: Frames
    target_tyxc: Frames
    edit_tyxc: Frames
    latent_distance: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        kinds = [f"{clip.dtype} {clip.shape}" for clip in (self.source_tyxc, self.target_tyxc, self.edit_tyxc)]
        if len(set(kinds)) != 1 or self.edit_tyxc.dtype != np.uint8 or self.edit_tyxc.ndim != 4 or not len(self.edit_tyxc):
            raise ValueError(
                f"clip {self.name}: source, target and edit are {', '.join(kinds)}; give uint8 (t, y, x, 3) of one shape"
            )
        if not self.pair_id or Path(self.pair_id).name != self.pair_id or self.pair_id.startswith("."):
            raise ValueError(f"pair id {self.pair_id!r} cannot name a file; give the set's own ids")


def record(
    out: Path,
    step: int,
    clips: Iterable[EditedClip],
    rule: VerdictSettings,
    landmarker: Landmarker | None = None,
    *,
    random_base: bool,
) -> ValidationResult:
    """Keep, measure and show one validation. A face that is not found is a result like any other.

    Args:
        out: the run's folder.
        step: steps done.
        clips: the edits, one at a time: no more than one clip's frames are held.
        rule: judges source against edit.
        landmarker: measures; without one, this process makes its own once (0.6 s, 500 MB) and keeps it.
        random_base: the backbone's weights are random, which the sheet says.

    Raises:
        OSError: the disk is full or the folder may not be written; earlier validations stay.
    """
    folder = step_folder(out, step)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARKER).unlink(missing_ok=True)
    rows, sheets, distances = [], [], {}
    for clip in clips:
        write_video(folder / f"{clip.pair_id}.mp4", clip.edit_tyxc, clip.fps)
        rows.append(_edit_row(out, clip, rule, landmarker))
        sheets.append(_sheet(clip, step, random_base))
        of_pictures = [_distance(half, clip.target_tyxc) for half in (clip.edit_tyxc, clip.source_tyxc)]
        distances[clip.pair_id] = [*of_pictures, *(clip.latent_distance or (None, None))]
    write_rows(folder / MANIFEST, rows)
    if sheets:
        write_png(folder / "contact.png", stack(sheets))
    done = {"step": step, "random_base": random_base, "rule": rule.model_dump(mode="json"), "distances": distances}
    scratch = folder / f".{MARKER}.{os.getpid()}.part"
    scratch.write_text(json.dumps(done, allow_nan=False, indent=1), encoding="utf-8")
    scratch.replace(folder / MARKER)
    return result_of(folder, done)


def _edit_row(out: Path, clip: EditedClip, rule: VerdictSettings, landmarker: Landmarker | None) -> Row:
    """Source against edit; paths are relative to the step's folder."""
    source = View(f"../pairs/{clip.pair_id}/source.mp4")
    pair = Pair(clip.name, source, View(f"{clip.pair_id}.mp4"), clip.caption)
    known = _true_row(out, clip, rule, landmarker)["source_motion"]

    def halves() -> tuple[Measurement, Measurement]:
        source = Measurement.from_row(known) if known else _measured(clip.source_tyxc, clip.fps, landmarker)
        return source, _measured(clip.edit_tyxc, clip.fps, landmarker)

    return _judged(clip.pair_id, pair, halves, rule)


def _true_row(out: Path, clip: EditedClip, rule: VerdictSettings, landmarker: Landmarker | None) -> Row:
    """Source against true half: measured and written at the pair's first validation, read back at the later ones."""
    folder = pair_folder(out, clip.pair_id)
    row = _known(folder / MANIFEST, clip, rule)
    if row:
        return row
    folder.mkdir(parents=True, exist_ok=True)
    write_video(folder / "source.mp4", clip.source_tyxc, clip.fps)
    write_video(folder / "target.mp4", clip.target_tyxc, clip.fps)
    pair = Pair(clip.name, View("source.mp4"), View("target.mp4"), clip.caption)

    def halves() -> tuple[Measurement, Measurement]:
        return _measured(clip.source_tyxc, clip.fps, landmarker), _measured(clip.target_tyxc, clip.fps, landmarker)

    row = _judged(clip.pair_id, pair, halves, rule)
    write_rows(folder / MANIFEST, [row])
    return row


def _known(manifest: Path, clip: EditedClip, rule: VerdictSettings) -> Row | None:
    """The row of an earlier validation, if it is of the same rule, version and shape of clip."""
    try:
        row = next(read_rows(manifest), None)
    except ManifestError:
        return None
    if row is None or not row["source_motion"] or row["recipe"] != rule.fingerprint():
        return None
    frames, height, width, _colours = clip.source_tyxc.shape
    shape = FORMAT, frames, width, height, float(clip.fps)
    return row if shape == tuple(row["source_motion"][name] for name in ("format", "frames", "width", "height", "fps")) else None


def _judged(pair_id: str, pair: Pair, halves: Callable[[], tuple[Measurement, Measurement]], rule: VerdictSettings) -> Row:
    try:
        both = halves()
        judgement = judge(*both, rule)
    except Exception as error:  # a surprise of the landmarker ends no training run
        _own_landmarker.cache_clear()
        lost = Judgement.unmeasured(
            Verdict.QUARANTINED, Reason.CRASHED, f"{type(error).__name__}: {' '.join(str(error).split())}"
        )
        return manifest_row(pair_id, pair, lost, None, rule.fingerprint())
    return manifest_row(pair_id, pair, judgement, both, rule.fingerprint())


def _measured(clip_tyxc: Frames, fps: Fraction, landmarker: Landmarker | None) -> Measurement:
    """As curation measures the written video: from pictures no larger than it analyses."""
    frames, height, width, _colours = clip_tyxc.shape
    scale = MediaLimits().analysis_side / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    pictures = (
        clip_tyxc
        if scale >= 1
        else (np.asarray(cv2.resize(one, size, interpolation=cv2.INTER_LINEAR), np.uint8) for one in clip_tyxc)
    )
    return measure(landmarker or _own_landmarker(), pictures, float(fps), size=(width, height), expected=frames)


@functools.cache
def _own_landmarker() -> Landmarker:
    return Landmarker(LandmarkSettings())


def _distance(half_tyxc: Frames, target_tyxc: Frames) -> float | None:
    """Mean absolute difference in levels, over the frames after the first; None if there is no other."""
    frames = [np.abs(a.astype(np.int16) - b).mean() for a, b in zip(half_tyxc[1:], target_tyxc[1:], strict=True)]
    return float(np.mean(frames)) if frames else None


def _sheet(clip: EditedClip, step: int, random_base: bool) -> Frames:
    rows = {"source": clip.source_tyxc, "true half": clip.target_tyxc, "our edit": clip.edit_tyxc}
    return contact_sheet(f"{clip.name}, step {step}", rows, float(clip.fps), banner=RANDOM_WEIGHTS if random_base else "")
