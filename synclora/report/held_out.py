"""The held-out pairs of a run: what became of each over the validations, in pictures, in numbers, and the last edit on a card.

with Decoder(LIMITS) as decoder:
    pairs = held_out_pairs(read_validations(out), out, decoder, span=(1, 400))
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from markupsafe import Markup

from synclora.media.decode import Decoder
from synclora.media.settings import MediaLimits
from synclora.motion.settings import CUES, VerdictSettings
from synclora.pairs.base import View
from synclora.pairs.manifest import Row, read_rows
from synclora.report.cards import Card, card_of
from synclora.report.contact import evenly
from synclora.report.frames import jpeg, pictures
from synclora.report.svg import Doubles
from synclora.report.trends import Figure, Level, Line, trend_chart
from synclora.report.validations import PairResult, ValidationResult, pair_folder, true_pair
from synclora.report.words import explain, number

LIMITS = MediaLimits(min_side=16, min_frames=1, min_fps=0.1, max_fps=1000)
"""Under which a run's own videos are opened: a miniature writes clips that a camera would not."""

MAX_EARLIER = 8
"""Validations shown as small strips: half a megabyte, and as many as the eye compares. The curves show all of them."""

_LARGE_H, _SMALL_H = 224, 96  # pixels: a sixth of the page's width on a dense screen, and a sixth of half of it


@dataclass(frozen=True)
class Column:
    """One moment of the large strip: its time, and the three pictures ("" if not to be had)."""

    when: str
    source: str
    target: str
    edit: str


@dataclass(frozen=True)
class Earlier:
    """One earlier edit: its step, its pictures, and how good it was."""

    step: int
    pictures: list[str]
    words: str


@dataclass(frozen=True)
class HeldOut:
    """Everything that is shown of one held-out pair."""

    anchor: str
    name: str
    caption: str
    step: int
    words: str
    columns: list[Column]
    note: str
    earlier: list[Earlier]
    unshown: int
    figures: list[Figure]
    unlike: str
    card: Card


@dataclass(frozen=True)
class _Edit:
    """A pair's edit at one validation."""

    validation: ValidationResult
    pair: PairResult


def held_out_pairs(
    validations: Sequence[ValidationResult], out: Path, decoder: Decoder, span: tuple[float, float]
) -> list[HeldOut]:
    """One entry per pair, in the order of the last validation; those that it no longer edits come after."""
    edits: dict[str, list[_Edit]] = {pair.pair_id: [] for validation in reversed(validations) for pair in validation.pairs}
    for validation in validations:
        for pair in validation.pairs:
            edits[pair.pair_id].append(_Edit(validation, pair))
    return [_held_out(i, own, out, decoder, span) for i, own in enumerate(edits.values(), 1)]


def _held_out(index: int, edits: list[_Edit], out: Path, decoder: Decoder, span: tuple[float, float]) -> HeldOut:
    last, before = edits[-1], edits[:-1]
    pair, step, folder = last.pair, last.validation.step, last.validation.folder
    row = next(row for row in read_rows(last.validation.manifest) if row["pair_id"] == pair.pair_id)
    card = card_of(row, last.validation.rule, decoder, folder=folder)
    columns, note = _columns(row, folder, out, decoder)
    shown = [before[i] for i in evenly(len(before), MAX_EARLIER)] if before else []
    return HeldOut(
        anchor=f"pair-{index}",
        name=pair.name,
        caption=pair.caption,
        step=step,
        words=_words(pair),
        columns=columns,
        note=note,
        earlier=[_earlier(edit, row, decoder) for edit in reversed(shown)],
        unshown=len(before) - len(shown),
        figures=_figures(edits, true_pair(out, pair.pair_id), last.validation.rule, span),
        unlike="" if any(edit.pair.sync is not None for edit in edits) else explain(pair.reason),
        card=replace(card, name=f"Step {step}, judged as curation judges a pair", caption=""),
    )


def _columns(row: Row, folder: Path, out: Path, decoder: Decoder) -> tuple[list[Column], str]:
    """Evenly spaced moments of source, true half and edit, and what is to be said of missing pictures."""
    if not row["frames"]:
        return [], "The clip was never measured."
    wanted = evenly(row["frames"])
    kept = pair_folder(out, row["pair_id"])
    found, problems = [], []
    for name, path in (("source", kept / "source.mp4"), ("true half", kept / "target.mp4"), ("edit", folder / row["edited"])):
        ones, problem = pictures(decoder, View(str(path)), wanted)
        found.append({frame: jpeg(picture, _LARGE_H) for frame, picture in ones.items()})
        problems += [f"No frames of the {name}: {problem}."] if problem else []
    columns = [Column(f"{frame / row['fps']:.2f} s", *(ones.get(frame, "") for ones in found)) for frame in wanted]
    return columns if any(found) else [], " ".join(problems)


def _earlier(edit: _Edit, row: Row, decoder: Decoder) -> Earlier:
    wanted = evenly(row["frames"] or 1)
    view = View(str(edit.validation.folder / f"{edit.pair.pair_id}.mp4"))
    ones, _problem = pictures(decoder, view, wanted)
    return Earlier(edit.validation.step, [jpeg(ones[frame], _SMALL_H) for frame in sorted(ones)], _words(edit.pair))


def _words(pair: PairResult) -> str:
    """An edit in a few words: its sync or why it has none, and its distance."""
    words = [f"sync {number(pair.sync)}" if pair.sync is not None else f"no sync ({pair.reason})"]
    if pair.edit_target is not None:
        words.append(f"{number(pair.edit_target, 1)} levels from the true half")
    return ", ".join(words)


def _figures(
    edits: list[_Edit], true: PairResult | None, rule: VerdictSettings | None, span: tuple[float, float]
) -> list[Figure]:
    """Sync, distance, and each cue, over the steps; of edits without any sync the distance alone."""
    steps = np.array([float(edit.validation.step) for edit in edits])

    def draw(title: str, notes: list[str], values: list[float | None], levels: list[Level], width: str) -> Figure:
        values_n = np.array([np.nan if value is None else value for value in values])
        known = values_n[np.isfinite(values_n)]
        notes = notes if known.size else ["no edit has a value", *notes]
        bounds = (-1.0 if (known < 0).any() else 0.0, 1.0) if not title.startswith("distance") else None
        lines, spoken = [Line("main", title, values_n)], f"{title} over the steps"
        chart = trend_chart(steps, lines, spoken, span=span, bounds=bounds, levels=levels, ticks=2 if width == "narrow" else 4)
        return Figure(title, ", ".join(notes), Markup(chart), width)

    def agreement(title: str, values: list[float | None], reached: float | None, least: float | None, width: str) -> Figure:
        known = [
            (Level(kind, value), f"{words} {number(value)}")
            for kind, value, words in (("reference", reached, "true half"), ("limit", least, "asked"))
            if value is not None
        ]
        return draw(title, [words for _, words in known], values, [level for level, _ in known], width)

    def distance(unit: str, name: str, digits: int) -> Figure:
        copy: float | None = getattr(edits[-1].pair, f"source_{name}")
        levels = [Level("reference", copy)] if copy is not None else []
        notes = [unit, *([f"the source itself {number(copy, digits)}"] if copy is not None else [])]
        values = [getattr(edit.pair, f"edit_{name}") for edit in edits]
        return draw("distance to the true half", notes, values, levels, "half")

    distances = [distance("in levels of 255", "target", 1)]
    if any(edit.pair.edit_target_latent is not None for edit in edits):
        distances.append(distance("in normalised latents", "target_latent", 2))
    sync = [edit.pair.sync for edit in edits]
    if all(score is None for score in sync):
        return distances
    return [
        agreement("sync score", sync, true.sync if true else None, rule.min_sync if rule else None, "half"),
        *distances,
        *(
            agreement(
                cue,
                [edit.pair.cues[cue] for edit in edits],
                true.cues[cue] if true else None,
                rule.min_r(cue) if rule else None,
                "narrow",
            )
            for cue in CUES
        ),
    ]


def span_of(step_n: Doubles, validations: Sequence[ValidationResult]) -> tuple[float, float]:
    """First and last step that anything is drawn at."""
    steps = [*step_n[:1], *step_n[-1:], *(validation.step for validation in validations)] or [0.0]
    return float(min(steps)), float(max(steps))
