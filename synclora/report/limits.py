"""How a judged row stands to the limits of the rule: which parts fail, and how near the pair is to the decision.

A pair's slack is, of all checks, the smallest distance to the limit, as a share of the room from the limit to perfection: 1 is
perfect, 0 stands on the limit, below 0 fails. The checks are those of `synclora.motion.verdict`, read from the row.
"""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

from synclora.motion.settings import VerdictSettings
from synclora.motion.sync import Agreement
from synclora.motion.verdict import Verdict, least_r
from synclora.report.words import PART_WORDS, number

Row = dict[str, Any]
Part = dict[str, Any]
"""An `Agreement` as the manifest holds it."""


class Check(NamedTuple):
    """One check of the rule against one pair: its slack, itself in words, the cue it is about ("" if none)."""

    slack: float
    words: str
    cue: str


def failing(parts: list[Part], reason: str | None, rule: VerdictSettings | None) -> set[str]:
    """Parts that are evidence against the pair. Without a rule: the least agreeing part of the cue that is the reason."""
    evident = [part for part in parts if part["evidence"]]
    if rule is None:
        blamed = [part for part in evident if part["cue"] == reason]
        return {min(blamed, key=lambda part: float(part["r"]))["part"]} if blamed else set()
    return {part["part"] for part in evident if any(check.slack < 0 for check in _part_checks(part, rule))}


def slack(row: Row, rule: VerdictSettings | None) -> float:
    """Of the tightest check; NaN for a pair that was never compared.

    Without a rule only the score itself can be ranked: kept pairs by it, rejected ones by what it lacks.
    """
    if row["sync"] is None:
        return math.nan
    if rule is None:
        return float(row["sync"]) if row["verdict"] == Verdict.KEPT else float(row["sync"]) - 1.0
    return tightest(row, rule).slack


def tightest(row: Row, rule: VerdictSettings) -> Check:
    """The check with the least slack, of a pair that was compared."""
    return min(_checks(row, rule), key=lambda check: check.slack)


def _checks(row: Row, rule: VerdictSettings) -> Iterator[Check]:
    yield Check(_above(row["sync"], rule.min_sync), f"sync {number(row['sync'])} of at least {number(rule.min_sync)}", "")
    for part in row["parts"]:
        if part["evidence"]:
            yield from _part_checks(part, rule)
    for name, column, limit, unit in (
        ("late by", "lag", rule.max_lag_frames, "frames"),
        ("late in places by", "local_lag", rule.max_local_lag_frames, "frames"),
        ("first frames apart by", "misalignment", rule.max_misalignment, "widths"),
    ):
        value = row[column] or 0.0
        yield Check(_below(abs(value), limit), f"{name} {number(value)} of at most {limit:g} {unit}", "")
    if row["edit_hold"] is not None and row["edit_hold"] < rule.min_edit_hold:
        yield Check(row["edit_hold"] / rule.min_edit_hold - 1.0, f"{row['edit_hold']:.0%} of the edit lasts", "")
    if row["edit_strength"] is not None and row["edit_strength"] < rule.min_edit:
        # A strong edit is no better synchronised than a faint one: this check has no slack to give.
        yield Check(row["edit_strength"] / rule.min_edit - 1.0, f"edit strength {number(row['edit_strength'], 4)}", "")


def _part_checks(part: Part, rule: VerdictSettings) -> Iterator[Check]:
    word, cue, least = PART_WORDS[part["part"]], part["cue"], least_r(Agreement(**part), rule)
    yield Check(_above(part["r"], least), f"{word} r {number(part['r'])} of at least {number(least)}", cue)
    stretch = abs(math.log(max(part["gain"], 1e-6)))
    words = f"{word} moves {part['gain']:.2f}× as far, of at most {rule.max_gain:g}×, or as little"
    yield Check(_below(stretch, math.log(rule.max_gain)), words, cue)


def _above(value: float, limit: float) -> float:
    return (value - limit) / max(1e-6, 1.0 - limit)


def _below(value: float, limit: float) -> float:
    return (limit - value) / max(1e-6, limit)
