"""What each stage of a generated set made, as contact sheets: a dozen that passed and a dozen that did not, spread over kinds and reasons.

    sheets = stage_sheets(out / "manifest.parquet", MadeStore(out), MediaLimits())

The same manifest and files give the same sheets. What has gone missing since leaves an empty place. Of the manifest only candidates for a
place stay in memory.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from math import ceil
from pathlib import Path
from typing import NamedTuple

from synclora.media.decode import Decoder, Picture
from synclora.media.settings import MediaLimits
from synclora.motion.verdict import Verdict
from synclora.pairs.diffusion.funnel import STEPS, Known, Step, known_of
from synclora.pairs.diffusion.settings import Stage
from synclora.pairs.diffusion.store import MadeStore
from synclora.pairs.manifest import Row, read_rows
from synclora.report.frames import jpeg
from synclora.report.words import number

SHOWN = 12
"""Scenes of one outcome of one stage: they fill two rows of a desk's screen, and the page stays below three megabytes."""

STILL_H, FRAME_H = 140, 100
"""Heights in pixels: a portrait must show its face, a frame only that both halves do the same."""

MOMENTS = 3
"""Frames of a video: its first, middle and last."""

_COLUMNS = ["name", "verdict", "reason", "detail", "sync", "truth"]
_PASSED = ""


class Candidate(NamedTuple):
    """A scene that may be shown."""

    name: str
    kind: str
    words: str
    made: dict[str, str]
    verdict: str
    reason: str
    detail: str


class Image(NamedTuple):
    """A picture of the page; `src` is "" if it is not to be had."""

    src: str
    alt: str


@dataclass(frozen=True)
class Shot:
    """One scene on a sheet. `rows` are pictures above each other."""

    name: str
    kind: str
    words: str
    outcome: str
    reason: str
    detail: str
    rows: list[list[Image]]


@dataclass(frozen=True)
class Sheet:
    """One outcome of one stage; `scenes` had it and have a picture, `shots` are some of them."""

    title: str
    stage: str
    outcome: str
    scenes: int
    shots: list[Shot]


@dataclass
class _Group:
    """Candidates of one outcome of one stage: of each reason and kind the first few, none with the same picture."""

    found: dict[tuple[str, str], list[Candidate]] = field(default_factory=lambda: defaultdict(list))
    reasons: Counter[str] = field(default_factory=Counter)
    ids: set[str] = field(default_factory=set)

    def add(self, candidate: Candidate, stage: Stage) -> None:
        self.reasons[candidate.reason] += 1
        held = self.found[candidate.reason, candidate.kind]
        if len(held) < SHOWN and candidate.made[stage] not in self.ids:
            held.append(candidate)
            self.ids.add(candidate.made[stage])

    def chosen(self) -> list[Candidate]:
        """Of each reason in turn, the frequent ones first; within a reason of each kind in turn, each reason beginning with other kinds."""
        reasons = sorted(self.reasons, key=lambda reason: (-self.reasons[reason], reason))
        kinds = sorted({kind for _reason, kind in self.found})
        each = ceil(SHOWN / max(1, len(reasons)))
        groups = []
        for i, reason in enumerate(reasons):
            first = i * each % len(kinds)
            groups.append(_turns(self.found.get((reason, kind), []) for kind in [*kinds[first:], *kinds[:first]]))
        return _turns(groups)[:SHOWN]


def _turns(groups: Iterable[Sequence[Candidate]]) -> list[Candidate]:
    return [one for turn in zip_longest(*groups) for one in turn if one is not None]


_TITLES = {
    (Stage.PORTRAIT, True): ("Portraits", "passed"),
    (Stage.PORTRAIT, False): ("Portraits", "dropped"),
    (Stage.EDIT, True): ("Edits, portrait beside edit", "passed"),
    (Stage.EDIT, False): ("Edits, portrait beside edit", "dropped"),
    (Stage.VIDEO, True): ("Videos, source above edited", "kept"),
    (Stage.VIDEO, False): ("Videos, source above edited", "not kept"),
}


def stage_sheets(manifest: Path, store: MadeStore, limits: MediaLimits | None = None) -> list[Sheet]:
    """The six sheets, those without a scene left out.

    Raises:
        ManifestError: the manifest cannot be read.
    """
    groups = _groups(read_rows(manifest, _COLUMNS))
    sheets = []
    with Decoder((limits or MediaLimits()).model_copy(update={"analysis_side": 2 * FRAME_H})) as decoder:
        for (stage, passed), (title, outcome) in _TITLES.items():
            group = groups[stage, passed]
            shots = [_shot(candidate, stage, store, decoder) for candidate in group.chosen()]
            sheets.append(Sheet(title, stage.value, outcome, group.reasons.total(), shots))
    return [sheet for sheet in sheets if sheet.shots]


def _groups(rows: Iterable[Row]) -> dict[tuple[Stage, bool], _Group]:
    groups: dict[tuple[Stage, bool], _Group] = defaultdict(_Group)
    for row in rows:
        known = known_of(row)
        if known is None:
            continue
        for stage, passed in _outcomes(known, row["verdict"]):
            if stage in known.made:
                groups[stage, passed].add(_candidate(row, known, stage, passed), stage)
    return groups


def _outcomes(known: Known, verdict: str) -> Iterator[tuple[Stage, bool]]:
    """The stages that judged the scene, and whether it passed them."""
    kept, end = verdict == Verdict.KEPT, STEPS.index(known.step)
    for stage, judging in ((Stage.PORTRAIT, Step.PORTRAIT_CHECK), (Stage.EDIT, Step.EDIT_CHECK), (Stage.VIDEO, Step.VERDICT)):
        at = STEPS.index(judging)
        if kept or end >= at:
            yield stage, kept or end > at


def _candidate(row: Row, known: Known, stage: Stage, passed: bool) -> Candidate:
    scene = known.scene
    reason, detail = (_PASSED, "") if passed else (row["reason"] or "", row["detail"] or "")
    if stage is Stage.VIDEO and row["verdict"] == Verdict.KEPT and row["sync"] is not None:
        detail = f"sync {number(row['sync'])}"
    return Candidate(
        row["name"] or "", scene["kind"], scene["edit"] or scene["instruction"], known.made, row["verdict"], reason, detail
    )


def _shot(candidate: Candidate, stage: Stage, store: MadeStore, decoder: Decoder) -> Shot:
    if stage is Stage.VIDEO:
        rows = [_frames(candidate, half, store, decoder) for half in ("source", "edited")]
    else:
        beside = (Stage.PORTRAIT, Stage.EDIT) if stage is Stage.EDIT else (Stage.PORTRAIT,)
        rows = [[_still(candidate, one, store) for one in beside]]
    words = "" if stage is Stage.PORTRAIT else candidate.words
    outcome = candidate.verdict if candidate.reason else ""
    return Shot(candidate.name, candidate.kind, words, outcome, candidate.reason, candidate.detail, rows)


def _still(candidate: Candidate, stage: Stage, store: MadeStore) -> Image:
    words = "portrait" if stage is Stage.PORTRAIT else "edited portrait"
    try:
        src = jpeg(store.picture(stage, candidate.made[stage]), STILL_H)
    except Exception:  # removed or damaged since: nothing that is wrong with a picture ends a report
        src = ""
    return Image(src, f"{words} of {candidate.name}")


def _frames(candidate: Candidate, half: str, store: MadeStore, decoder: Decoder) -> list[Image]:
    try:
        found = moments(decoder, store.folder(Stage.VIDEO, candidate.made[Stage.VIDEO]) / f"{half}.mp4")
    except Exception:  # as above
        return [Image("", f"{half} of {candidate.name}")] * MOMENTS
    return [Image(jpeg(picture, FRAME_H), f"{half} of {candidate.name} at {at:.2f} s") for at, picture in found]


def moments(decoder: Decoder, video: Path) -> list[tuple[float, Picture]]:
    """The first, middle and last frame, with the second at which each stands.

    Raises:
        MediaError: the video cannot be read.
    """
    frames = decoder.frames(video)
    count, fps = len(frames), float(frames.info.fps)
    wanted = {round(i * (count - 1) / (MOMENTS - 1)) for i in range(MOMENTS)}
    return [(i / fps, picture) for i, picture in enumerate(frames) if i in wanted]
