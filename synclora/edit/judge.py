"""What curation says of an edit: both videos measured, judged, and compared picture by picture where that tells more."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from synclora.edit.geometry import Size, resized
from synclora.edit.plan import Plan
from synclora.edit.result import Seam, SyncReport
from synclora.edit.score import sync_report, with_cues
from synclora.edit.teller import Teller
from synclora.errors import MediaError, Reason
from synclora.media.decode import Decoder, Picture
from synclora.media.probe import VideoInfo
from synclora.motion.landmarks import Landmarker
from synclora.motion.measure import STAMP, Measurement, measure
from synclora.motion.settings import VerdictSettings
from synclora.motion.verdict import edit_strength, judge


@dataclass(frozen=True)
class Judged:
    """One attempt's figures, as the result has them.

    Attributes:
        scorable: another edit of the same source could have a score.
    """

    report: SyncReport
    seams: list[Seam]
    edit_strength: float | None
    first_frame_distance: float | None
    has_audio: bool
    scorable: bool


class Judge:
    """Judges the attempts of one edit; the source is measured once.

    Args:
        plan: the edit.
        landmarker: the editor's.
        decoder: the editor's.
        rule: curation's.
    """

    def __init__(self, plan: Plan, landmarker: Landmarker, decoder: Decoder, rule: VerdictSettings) -> None:
        self._plan, self._landmarker, self._decoder, self._rule = plan, landmarker, decoder, rule
        self._source: Measurement | None = None

    def of(self, edited: Path, seams: Sequence[Seam], teller: Teller) -> Judged:
        """Measure the video as anyone would who is given both files.

        Raises:
            MediaError: one of them cannot be read.
        """
        if self._source is None:
            self._source = self._measured_source(teller)
        source = self._source
        made, info = self._measured(edited, teller)
        self._check_twin(info)
        judgement = judge(source, made, self._rule)
        report = sync_report(judgement, source, made, self._rule)
        starts = [window.start for window in self._plan.windows[1:]]
        return Judged(
            report=report,
            seams=with_cues(seams, starts, source, made, report),
            edit_strength=round(edit_strength(source, made), 4),
            first_frame_distance=_distance(self._plan.pictures[0], made.stamps[0]),
            has_audio=info.has_audio,
            scorable=self._scorable(source),
        )

    def _scorable(self, source: Measurement) -> bool:
        return source.face_share >= self._rule.min_face and source.second_face < self._rule.second_face

    def _measured_source(self, teller: Teller) -> Measurement:
        """What of it is edited, as the decoder would show it had it been a video by itself."""
        plan = self._plan
        if plan.crop is None:
            return self._measured(plan.source, teller)[0]
        frames, crop = self._decoder.frames(plan.source, analysis=False), plan.crop
        scale = min(1.0, self._decoder.limits.analysis_side / max(crop.width, crop.height))
        size = Size(round(crop.width * scale), round(crop.height * scale))
        pictures = (np.ascontiguousarray(resized(crop.of(picture), size)) for picture in teller.ticking(frames))
        rate, whole = float(plan.info.fps), (crop.width, crop.height)
        return measure(self._landmarker, pictures, rate, size=whole, expected=plan.info.frames)

    def _measured(self, path: Path, teller: Teller) -> tuple[Measurement, VideoInfo]:
        frames = self._decoder.frames(path)
        info, size = frames.info, (frames.info.width, frames.info.height)
        return measure(self._landmarker, teller.ticking(frames), float(info.fps), size=size, expected=info.frames), info

    def _check_twin(self, info: VideoInfo) -> None:
        """What is promised of every edit, looked at in the file."""
        source, size = self._plan.info, self._plan.size
        wanted = (source.frames, source.fps, source.rotation, size.width, size.height)
        found = (info.frames, info.fps, info.rotation, info.width, info.height)
        if found != wanted:
            raise MediaError(Reason.CRASHED, f"the edit came out as {found}, should be {wanted} (frames, fps, rotation, size)")


def _distance(first: Picture, stamp: Picture) -> float | None:
    """Root mean square difference of two pictures as stamps, as edit strength is measured."""
    small = resized(first, Size(STAMP, STAMP))
    distance = math.sqrt(float(((small.astype(np.float64) - stamp) ** 2).mean())) / 255
    return round(distance, 4)
