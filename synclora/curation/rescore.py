"""Verdicts anew, from the manifest alone: another threshold, another set of cues, another number of best pairs. No video is opened.

rows = rejudged(read_rows(manifest), recipe.verdict, fingerprint)
"""

from collections.abc import Iterable, Iterator

from synclora.errors import Reason
from synclora.motion.measure import FORMAT, Measurement
from synclora.motion.settings import VerdictSettings
from synclora.motion.verdict import judge
from synclora.pairs.manifest import ManifestError, Row, verdict_columns


def rejudged(rows: Iterable[Row], rule: VerdictSettings, fingerprint: str) -> Iterator[Row]:
    """Each row under another rule. Rows that could not be measured, and duplicates, stay as they are."""
    for row in rows:
        row["recipe"] = fingerprint
        for motion in (row["source_motion"], row["edited_motion"]):
            if motion and motion["format"] != FORMAT:
                raise ManifestError(f"{row['name']}: measured by another version of this project; run without --rescore")
        if row["source_motion"] and row["edited_motion"] and row["reason"] != Reason.DUPLICATE:
            halves = Measurement.from_row(row["source_motion"]), Measurement.from_row(row["edited_motion"])
            row |= verdict_columns(judge(*halves, rule))
        yield row


def without_duplicates(rows: Iterable[Row]) -> Iterator[Row]:
    """Quarantine the second row of the same content, and give it an id of its own."""
    first: dict[str, str] = {}
    for row in rows:
        identity = row["pair_id"]
        if identity in first:
            row |= {"verdict": "quarantined", "reason": Reason.DUPLICATE.value, "detail": f"same videos as {first[identity]}"}
            number = 2
            while f"{identity}-{number}" in first:
                number += 1
            row["pair_id"] = f"{identity}-{number}"
        first[row["pair_id"]] = row["name"]
        yield row


def best_of(rows: Iterable[Row], scores: dict[str, float], best: int) -> Iterator[Row]:
    """Reject all kept rows but the `best` with the highest sync score; equal scores are told apart by id.

    Args:
        rows: all rows.
        scores: sync score of every kept row, by pair id.
        best: how many to keep; 0 for all.
    """
    winners = set(sorted(scores, key=lambda identity: (-scores[identity], identity))[: best or len(scores)])
    for row in rows:
        if row["verdict"] == "kept" and row["pair_id"] not in winners:
            row |= {"verdict": "rejected", "reason": Reason.NOT_BEST.value, "detail": f"not among the {best} best by sync score"}
        yield row
