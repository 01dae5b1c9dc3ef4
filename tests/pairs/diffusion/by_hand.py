"""A generated set made by hand: scenes that end where they are told to, real pictures and videos in the real store, a real manifest."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from synclora.errors import Reason
from synclora.motion.verdict import Judgement, Verdict, judge
from synclora.pairs.diffusion.settings import Stage
from synclora.pairs.diffusion.store import MadeStore
from synclora.pairs.diffusion.take import Scene, Take
from synclora.pairs.manifest import Row, manifest_row, write_rows
from synclora.pairs.puppet.portrait import default_picture
from tests.report.conftest import RULE, measured, wave

GPU_S = {Stage.PORTRAIT: 2.0, Stage.EDIT: 4.0, Stage.VIDEO: 64.0}
"""Seconds that each picture or video took."""


@dataclass(frozen=True)
class Ending:
    """Where a scene ends: `at` a stage, having `made` so much of it; without `at`, judged as a pair that is in sync or not.

    `like` is the number of an earlier scene whose portrait it shares.
    """

    kind: str
    at: Stage | None = None
    reason: Reason | None = None
    made: bool = True
    rejected: bool = False
    in_sync: bool = True
    like: int | None = None


KEPT, LATE = Ending("hair"), Ending("hair", in_sync=False)
NO_PORTRAIT = Ending("hair", Stage.PORTRAIT, Reason.OUT_OF_MEMORY, made=False)
TWO_PEOPLE = Ending("hair", Stage.PORTRAIT, Reason.TWO_FACES)
NO_EDIT = Ending("beard", Stage.EDIT, Reason.NO_EDIT, rejected=True)
BROKEN_VIDEO = Ending("beard", Stage.VIDEO, Reason.NOT_FINITE, made=False)


def scene(number: int, kind: str) -> Scene:
    """A scene in words."""
    return Scene(number, "a woman at a window", kind, f"change the {kind}, number {number}", "she speaks", number)


def made_id(*parts: Any) -> str:
    """An id as the store's own look."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def picture(number: int, side: int = 64) -> np.ndarray:
    """The portrait that scikit-image ships, each scene's in its own light."""
    whole = default_picture()
    step = whole.shape[0] // side
    return (whole[: side * step : step, : side * step : step] * (0.5 + 0.4 * (number % 7) / 7)).astype(np.uint8)


def rows(out: Path, endings: Sequence[Ending], *, random: bool = False, caption: str = "") -> list[Row]:
    """Make everything that these scenes left in the store, and return their rows. Without a caption, each has its instruction."""
    store = MadeStore(out)
    return [_row(out, store, number, ending, random, caption) for number, ending in enumerate(endings)]


def make(out: Path, endings: Sequence[Ending], *, random: bool = False, caption: str = "") -> Path:
    """The manifest of these scenes."""
    write_rows(out / "manifest.parquet", rows(out, endings, random=random, caption=caption))
    return out / "manifest.parquet"


def _row(out: Path, store: MadeStore, number: int, ending: Ending, random: bool, caption: str) -> Row:
    ids = _artifacts(store, number, ending, random)
    take = Take(scene(number, ending.kind), {stage.value: identity for stage, identity in ids.items()})
    if ending.at:
        assert ending.reason
        take = take.drop(ending.at, ending.reason, f"as number {number} was told", rejected=ending.rejected)
    source, edited = _files(store, ids)
    pair = take.pair(caption or take.scene.instruction, source and source.relative_to(out), edited and edited.relative_to(out))
    if ending.at:
        assert ending.reason
        verdict = Verdict.REJECTED if ending.rejected else Verdict.QUARANTINED
        lost = Judgement.unmeasured(verdict, ending.reason, pair.detail)
        return manifest_row(f"id-{number}", pair, lost, None, RULE.fingerprint())
    halves = measured(), measured(tint=130) if ending.in_sync else measured(tint=130, speech=wave(7))
    return manifest_row(f"id-{number}", pair, judge(*halves, RULE), halves, RULE.fingerprint())


def _artifacts(store: MadeStore, number: int, ending: Ending, random: bool) -> dict[Stage, str]:
    ids: dict[Stage, str] = {}
    for stage in Stage:
        if ending.at is stage and not ending.made:
            break
        ids[stage] = made_id(stage, ending.like if stage is Stage.PORTRAIT and ending.like is not None else number)
        facts = {"format": 1, "stage": stage.value, "model": f"{stage.value}-model", "random": random, "gpu_s": GPU_S[stage]}
        if stage is Stage.VIDEO:
            halves = [np.stack([picture(number + shift, 96)] * 9) for shift in (0, 3)]
            store.put_video(ids[stage], halves[0], halves[1], 16, 23, facts)
        else:
            store.put_picture(stage, ids[stage], picture(number + 3 * (stage is Stage.EDIT)), facts)
        if ending.at is stage:
            break
    return ids


def _files(store: MadeStore, ids: dict[Stage, str]) -> tuple[Path | None, Path | None]:
    if Stage.VIDEO in ids:
        folder = store.folder(Stage.VIDEO, ids[Stage.VIDEO])
        return folder / "source.mp4", folder / "edited.mp4"
    stills = [store.folder(stage, ids[stage]) / "picture.png" if stage in ids else None for stage in (Stage.PORTRAIT, Stage.EDIT)]
    return stills[0], stills[1]
