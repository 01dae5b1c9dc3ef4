"""Six training sets of one measured pool, which differ in the filter alone: the paper's ablation of cues.

    plan = plan_sets(Path("OUT/pool"), recipe.verdict)
    print(plan.table())
    for name in VARIANTS: write_set(plan, name, Path("OUT/sets") / name, recipe)

Verdicts are taken anew from the measurements, as `jobs/curate.py --rescore --without CUE` does; no video is opened. Every set has as many
pairs as the smallest, so that only their kind differs: of all that a filter lets in, those whose ids' digests come first, which are to a
large part the same in all sets.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synclora.curation.export import NEEDED, export_all, write_metadata
from synclora.curation.outdir import CURATION, remember
from synclora.curation.recipe import CurateRecipe
from synclora.curation.rescore import rejudged
from synclora.errors import Reason, SyncLoraError
from synclora.media.decode import Decoder
from synclora.motion.settings import CUES, Cue, VerdictSettings
from synclora.outdir import open_output
from synclora.pairs.manifest import Row, read_rows, write_rows

ALL, NO_FILTER = "all-cues", "no-filter"
WITHOUT: dict[str, Cue] = {"without-pose": "pose", "without-gaze": "gaze", "without-speech": "speech", "without-blink": "blink"}
VARIANTS = (ALL, *WITHOUT, NO_FILTER)


@dataclass(frozen=True)
class SetPlan:
    """Which pairs every set has.

    Attributes:
        pool: the measured pool.
        admitted: ids that each filter lets in.
        chosen: ids that each set has.
        defects: what is wrong with a pair, by id; "" for a good one.
    """

    pool: Path
    admitted: dict[str, tuple[str, ...]]
    chosen: dict[str, tuple[str, ...]]
    defects: dict[str, str]

    @property
    def size(self) -> int:
        """Pairs of each set."""
        return len(self.chosen[ALL])

    def counts(self, ids: Iterable[str]) -> dict[str, int]:
        """How many of each defect, the good ones as "good"."""
        return dict(sorted(Counter(self.defects[identity] or "good" for identity in ids).items()))

    def facts(self) -> dict[str, Any]:
        """For JSON."""
        sets = {
            name: {
                "admitted": self.counts(self.admitted[name]),
                "chosen": self.counts(self.chosen[name]),
                "ids": self.chosen[name],
            }
            for name in VARIANTS
        }
        return {"pool": self.counts(self.defects), "pairs_per_set": self.size, "sets": sets}

    def table(self) -> str:
        """In Markdown: of each set, what its filter lets in and what of it is trained on."""
        kinds = sorted(set(self.counts(self.defects)), key=lambda kind: (kind != "good", kind))
        lines = ["| set | " + " | ".join(kinds) + " | pairs |", "|" + "---|" * (len(kinds) + 2)]
        for name in VARIANTS:
            let_in, taken = self.counts(self.admitted[name]), self.counts(self.chosen[name])
            cells = [f"{taken.get(kind, 0)} of {let_in.get(kind, 0)}" for kind in kinds]
            lines.append(f"| {name} | " + " | ".join(cells) + f" | {self.size} of {len(self.admitted[name])} |")
        pool = self.counts(self.defects)
        return "\n".join([*lines, f"| *pool* | {' | '.join(str(pool[kind]) for kind in kinds)} | {len(self.defects)} |"])


def rule_of(name: str, rule: VerdictSettings) -> VerdictSettings | None:
    """The filter of a set; None for no filter."""
    if name == NO_FILTER:
        return None
    return rule.model_copy(
        update={"cues": tuple(cue for cue in CUES if cue in rule.cues and cue != WITHOUT.get(name)), "best": 0}
    )


def plan_sets(pool: Path, rule: VerdictSettings, pairs_per_set: int = 0) -> SetPlan:
    """Judge the pool by six filters.

    Args:
        pool: what jobs/curate.py made, of puppets.
        rule: the filter with all cues.
        pairs_per_set: 0 for as many as the smallest set has.

    Raises:
        SyncLoraError: a filter lets in fewer than asked for, or none.
        ManifestError: there is no pool.
    """
    rows = [row for row in read_rows(pool / "manifest.parquet") if row["source_motion"] and row["edited_motion"]]
    defects = {row["pair_id"]: _defect(row) for row in rows}
    admitted = {}
    for name in VARIANTS:
        ours = rule_of(name, rule)
        judged = rows if ours is None else list(rejudged(({**row} for row in rows), ours, ""))
        admitted[name] = tuple(row["pair_id"] for row in judged if _fits(row, anything=ours is None))
    smallest = min(len(ids) for ids in admitted.values())
    size = pairs_per_set or smallest
    if not 0 < size <= smallest:
        name = min(admitted, key=lambda one: len(admitted[one]))
        raise SyncLoraError(
            f"pairs_per_set = {size}: {name} has {smallest}; make a larger pool (curate.puppet.pairs) or ask for fewer"
        )
    chosen = {name: tuple(sorted(sorted(ids, key=_by_chance)[:size])) for name, ids in admitted.items()}
    return SetPlan(pool, admitted, chosen, defects)


def write_set(plan: SetPlan, name: str, out: Path, recipe: CurateRecipe) -> None:
    """One set, as jobs/curate.py would have left it; what is there stays.

    Raises:
        SyncLoraError: the pool's videos are gone.
        OSError: the disk is full.
    """
    ours = rule_of(name, recipe.verdict)
    with open_output(out, CURATION):
        write_rows(out / "manifest.parquet", _rows(plan, name, ours))
        with Decoder(recipe.media) as decoder:
            lost = export_all(read_rows(out / "manifest.parquet", list(NEEDED)), out, decoder)
        if lost:
            raise SyncLoraError(
                f"set {name}: {len(lost)} pairs lost their videos ({next(iter(lost.values()))}); curate the pool again"
            )
        write_metadata(out, read_rows(out / "manifest.parquet", list(NEEDED)), lost)
        remember(out, recipe if ours is None else recipe.model_copy(update={"verdict": ours}))


def kept_ids(out: Path) -> set[str]:
    """The pairs of a set that was written whole; empty if there is none."""
    try:
        lines = (out / "metadata.jsonl").read_text(encoding="utf-8").splitlines()
    except OSError:
        return set()
    return {json.loads(line)["pair_id"] for line in lines}


def _rows(plan: SetPlan, name: str, rule: VerdictSettings | None) -> Iterator[Row]:
    """The chosen ones kept, all others that the filter lets in set aside; paths made absolute."""
    admitted, chosen = set(plan.admitted[name]), set(plan.chosen[name])
    rows: Iterable[Row] = (row for row in read_rows(plan.pool / "manifest.parquet") if row["pair_id"] in admitted)
    for row in rows if rule is None else rejudged(rows, rule, rule.fingerprint()):
        row |= {half: str(plan.pool.absolute() / row[half]) for half in ("source", "edited")}
        row |= {"verdict": "kept", "reason": None, "detail": ""}
        if row["pair_id"] not in chosen:
            row |= {"verdict": "rejected", "reason": Reason.NOT_BEST.value, "detail": "left out: all sets are of one size"}
        yield row


def _fits(row: Mapping[str, Any], *, anything: bool) -> bool:
    """Whether a set takes the row; without a filter all that was measured and is no duplicate."""
    return row["reason"] != Reason.DUPLICATE and (anything or row["verdict"] == "kept")


def _defect(row: Mapping[str, Any]) -> str:
    try:
        return str(json.loads(row["truth"])["defect"] or "")
    except (TypeError, ValueError, KeyError) as error:
        raise SyncLoraError(f"{row['name']}: its truth names no defect; make the pool of puppets") from error


def _by_chance(identity: str) -> str:
    return hashlib.sha256(identity.encode()).hexdigest()
