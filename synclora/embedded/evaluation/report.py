"""What a measurement leaves: numbers.json for programs, numbers.md for the README, contact.png for the eye.

write_all(out, results, ["sync-lora"], {"backbone": "embedded"})
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from synclora.embedded.evaluation.make import BARE
from synclora.embedded.evaluation.result import Result
from synclora.embedded.evaluation.sets import facts_of
from synclora.embedded.evaluation.stats import Spread, difference, nested, spread
from synclora.media.decode import Decoder, Picture
from synclora.motion.settings import CUES
from synclora.outdir import write_whole
from synclora.report.contact import contact_sheet, stack, write_png

TITLES = {
    "seen": "1. Unseen motion on seen faces (puppets)",
    "unseen": "2. Unseen faces (puppets)",
    "real": "3. Real clips never trained on",
}

SYNC = ("mean", *CUES)
BESIDE = ("sync", "kept", "lag", "strength", "first", "hold", "face")
FIGURES = (*SYNC, *BESIDE)

HEADS = {
    "mean": "mean of cues",
    "sync": "scorer's own",
    "kept": "kept",
    "lag": "lag",
    "strength": "to source",
    "first": "to first frame",
    "hold": "edit lasts",
    "face": "face",
}

NOTE = """Cues: curation's r of every part that moves in the source, 0 where the edit keeps it still or shows no face
(synclora/embedded/evaluation/score.py). In brackets 90 % intervals, clips drawn anew, and within them seeds. Without brackets: means.
*scorer's own*: curation's score where it gives one; *kept*: share that curation would keep; *lag* in frames; *to source*, *to first frame*:
distance, 0 to 1; *edit lasts*: the edit's strength later over that of the first frame; *face*: share of frames."""


def write_all(out: Path, results: Sequence[Result], adapters: Sequence[str], facts: dict[str, Any]) -> None:
    """Write all three files. Without a result there is nothing to write."""
    table = table_of(results)
    clips = [{**facts_of(one.clip), "condition": one.condition, "seed": one.seed, **asdict(one.score)} for one in results]
    gains = gains_of(results, adapters)
    found = {"facts": facts, "sets": _plain(table), "with_over_without": _plain(gains), "videos": clips}
    write_whole(out / "numbers.json", json.dumps(found, indent=1, default=str) + "\n")
    write_whole(out / "numbers.md", markdown(table, gains, facts))
    if sheets := sheets_of(results):
        write_png(out / "contact.png", stack(sheets))


Table = dict[str, dict[str, dict[str, Spread | None]]]
"""By set, condition and figure."""


def table_of(results: Iterable[Result]) -> Table:
    """All figures with their intervals."""
    groups: dict[str, dict[str, list[Result]]] = {}
    for one in results:
        groups.setdefault(one.clip.set, {}).setdefault(one.condition, []).append(one)
    return {
        name: {
            condition: {figure: spread(units_of(ours, figure).values()) for figure in FIGURES}
            for condition, ours in group.items()
        }
        for name, group in groups.items()
    }


def units_of(results: Iterable[Result], figure: str) -> dict[str, list[float]]:
    """A figure's values by clip."""
    return nested((one.clip.unit, one.score.figure(figure)) for one in results)


def gains_of(results: Sequence[Result], adapters: Sequence[str]) -> Table:
    """What each adapter adds to the bare model, clip by clip."""
    gains: Table = {}
    for name in dict.fromkeys(one.clip.set for one in results):
        here = [one for one in results if one.clip.set == name]
        bare = [one for one in here if one.condition == BARE]
        gains[name] = {
            adapter: {
                figure: difference(units_of((one for one in here if one.condition == adapter), figure), units_of(bare, figure))
                for figure in SYNC
            }
            for adapter in adapters
        }
    return gains


def markdown(table: Table, gains: Table, facts: dict[str, Any]) -> str:
    """A table for each set."""
    lines = [", ".join(f"{name} {value}" for name, value in facts.items()), "", NOTE, ""]
    for name, conditions in table.items():
        clips = max((told.units for row in conditions.values() if (told := row["face"])), default=0)
        lines += [f"### {TITLES[name]}", "", f"{clips} performances.", ""]
        lines += ["| | " + " | ".join(HEADS.get(figure, figure) for figure in FIGURES) + " |", "|" + "---|" * (len(FIGURES) + 1)]
        for condition, row in conditions.items():
            cells = [cell(row[figure], interval=figure in SYNC) for figure in FIGURES]
            lines.append(f"| {condition} | " + " | ".join(cells) + " |")
        for adapter, row in gains.get(name, {}).items():
            cells = [cell(row[figure], interval=True, sign="+") for figure in SYNC]
            lines.append(f"| *{adapter} over {BARE}* | " + " | ".join([*cells, *[""] * len(BESIDE)]) + " |")
        lines.append("")
    return "\n".join(lines)


def cell(value: Spread | None, *, interval: bool, sign: str = "") -> str:
    """One figure; a dash where no clip tells it."""
    if value is None:
        return "–"
    text = _short(value.mean, sign)
    return f"{text} ({_short(value.low)} to {_short(value.high)})" if interval else text


def _short(value: float, sign: str = "") -> str:
    return f"{value:{sign}.2f}".replace("0.", ".", 1) if abs(value) < 1 else f"{value:{sign}.2f}"


def sheets_of(results: Sequence[Result], each: int = 2) -> list[Picture]:
    """Contact sheets of a few clips of each set, the first seed of every condition under the source."""
    sheets: list[Picture] = []
    shown: dict[str, list[str]] = {}
    for one in results:
        names = shown.setdefault(one.clip.set, [])
        if one.clip.name not in names:
            names.append(one.clip.name)
    with Decoder() as decoder:
        for name, clips in shown.items():
            for clip in clips[:each]:
                rows = [one for one in results if one.clip.set == name and one.clip.name == clip and one.seed == 0]
                sheets.append(_sheet(f"{name}: {clip}", rows, decoder))
    return sheets


def _sheet(title: str, rows: Sequence[Result], decoder: Decoder) -> Picture:
    clips, fps = {}, 25.0
    for label, video in (("reference", rows[0].reference), *((one.condition, one.video) for one in rows)):
        frames = decoder.frames(video, analysis=False)
        fps = float(frames.info.fps)
        clips[label] = np.stack(list(frames))
    means = ", ".join(f"{one.condition} {one.score.mean}" for one in rows)
    return contact_sheet(f"{title}, {rows[0].clip.edit}: {means}", clips, fps, columns=8)


def _plain(table: Table) -> dict[str, Any]:
    return {
        name: {
            row: {figure: None if cell is None else asdict(cell) for figure, cell in cells.items()} for row, cells in rows.items()
        }
        for name, rows in table.items()
    }
