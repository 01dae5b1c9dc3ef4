"""Curate: portrait videos in, a judged and synchronised training set out.

python jobs/curate.py                                    the puppet: makes its own pairs, judges them, shows the result
python jobs/curate.py --input shoots/may --out out/may   your own pairs
python jobs/curate.py --out out/may --rescore --without gaze
ray job submit --working-dir . -- python jobs/curate.py --input /data/in --out /data/out
"""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # a submitted job runs from an uploaded copy: it, not an installed version, is what was asked for

from jobs.session import RECIPES, connect, finish  # first: it sets what Ray reads when it is imported

# isort: split
import argparse
import json
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any

import pyarrow as pa
import ray
import ray.data
from rich.console import Console

from synclora.command import absolute, one_line
from synclora.curation.command import parse, recipe_of
from synclora.curation.export import NEEDED, export_all, write_metadata
from synclora.curation.outdir import CURATION, check_made, check_same_measuring, remember
from synclora.curation.recipe import CurateRecipe
from synclora.curation.rescore import best_of, rejudged, without_duplicates
from synclora.curation.summary import Tally, closing_table, watched
from synclora.curation.worker import PairWorker
from synclora.errors import MediaError, Reason, SyncLoraError
from synclora.media.decode import Decoder
from synclora.outdir import OutputError, open_output
from synclora.pairs.base import Pair, PairSource, View
from synclora.pairs.detect import find_pairs
from synclora.pairs.manifest import SCHEMA, Row, read_rows, write_rows
from synclora.pairs.puppet.source import PuppetPairs
from synclora.report.curation import write_report

Item = dict[str, Any]
"""What passes between stages: a pair as JSON, later its row as Arrow bytes; `stop` says why the whole run must end."""


class Prepare:
    """Stage 1: make a pair's files exist. A task, so that any node's spare CPU does it."""

    def __init__(self, source: PairSource, out: Path) -> None:
        self.source, self.out = source, out

    def __call__(self, item: Item) -> Item:
        """The pair with its files, or with the reason why there are none."""
        pair = _pair(item["pair"])
        try:
            pair = pair if pair.problem else self.source.materialise(pair, self.out / "generated")
        except MediaError as error:
            pair = pair.failed(error.reason, error.detail)
        except (OSError, SyncLoraError) as error:
            return {"pair": item["pair"], "stop": one_line(error)}
        except Exception as error:  # a surprise is the pair's failure, not the run's
            pair = pair.failed(Reason.CRASHED, f"making it: {type(error).__name__}: {one_line(error)}")
        return {"pair": json.dumps(asdict(pair)), "stop": ""}


class Judge:
    """Stage 2: measure and judge. An actor, because MediaPipe's graphs take seconds to build and 500 MB to hold."""

    def __init__(self, recipe: CurateRecipe, out: Path, run: str) -> None:
        self.worker = PairWorker(recipe, out, run)

    def __call__(self, item: Item) -> Item:
        """The pair's row, with what its measuring cost."""
        if item["stop"]:
            return {"stop": item["stop"]}
        try:
            result = self.worker.judge(_pair(item["pair"]))
        except OSError as error:
            return {"stop": one_line(error)}
        row = pa.RecordBatch.from_pylist([result.row], SCHEMA).serialize().to_pybytes()
        cost = {"frames": result.frames, "begun": result.begun, "ended": result.ended, "ceiling": result.ceiling}
        return {"row": row, "stop": "", "worker": f"{os.uname().nodename} {os.getpid()}", **cost}


def curate(source: PairSource, pairs: list[Pair], recipe: CurateRecipe, out: Path, tally: Tally) -> Iterator[Row]:
    """Every pair's row, in order, as they are judged.

    Raises:
        OSError: the output folder cannot be written (a full disk).
    """
    resources = recipe.resources
    actors = min(resources.actors or max(1, int(ray.cluster_resources().get("CPU", 1))), len(pairs))  # type: ignore[no-untyped-call]
    rows = (
        ray.data.from_items([{"pair": json.dumps(asdict(pair))} for pair in pairs], override_num_blocks=len(pairs))
        .map(
            Prepare(source, out),
            compute=ray.data.TaskPoolStrategy(size=min(actors * resources.prepare_ahead, len(pairs))),
            num_cpus=resources.prepare_cpus,
        )
        .map(
            Judge,  # type: ignore[arg-type]  # a class makes actors
            fn_constructor_args=(recipe, out, uuid.uuid4().hex),
            compute=ray.data.ActorPoolStrategy(size=actors),
            num_cpus=resources.actor_cpus,
            num_gpus=resources.actor_gpus or None,
            memory=resources.actor_memory_mb * 2**20,
        )
    )
    for item in rows.iter_rows():
        if item["stop"]:
            raise OSError(item["stop"])
        tally.measured(*(item[name] for name in ("worker", "frames", "begun", "ended", "ceiling")))
        yield pa.ipc.read_record_batch(pa.py_buffer(item["row"]), SCHEMA).to_pylist()[0]


def export(recipe: CurateRecipe, out: Path) -> dict[str, str]:
    """The kept pairs' videos, all nodes at once; returns what could not be exported and why, by pair id.

    Raises:
        OSError: the output folder cannot be written (a full disk).
    """

    def place(row: Row) -> Item:
        try:
            with Decoder(recipe.media) as decoder:
                return {"id": row["pair_id"], "lost": export_all([row], out, decoder).get(row["pair_id"], ""), "stop": ""}
        except OSError as error:
            return {"id": row["pair_id"], "lost": "", "stop": one_line(error)}

    kept = [row for row in read_rows(out / "manifest.parquet", list(NEEDED)) if row["verdict"] == "kept"]
    placed = list(ray.data.from_items(kept).map(place, num_cpus=1).iter_rows()) if kept else []
    for item in placed:
        if item["stop"]:
            raise OSError(item["stop"])
    return {item["id"]: item["lost"] for item in placed if item["lost"]}


def judged(rows: Iterable[Row], recipe: CurateRecipe, out: Path, tally: Tally) -> None:
    """Rows to the manifest: verdicts counted, the best chosen, everything written whole."""
    manifest = out / "manifest.parquet"
    write_rows(manifest, tally.counting(without_duplicates(rows)))
    if recipe.verdict.best:
        write_rows(manifest, tally.recounting(best_of(read_rows(manifest), tally.scores, recipe.verdict.best)))
    remember(out, recipe)


def shown(recipe: CurateRecipe, out: Path, tally: Tally, lost: dict[str, str], console: Console) -> None:
    """What is made of the manifest: the trainers' list, the report, the closing table.

    Raises:
        OutputError: kept pairs whose videos are gone. The verdicts stand.
    """
    manifest = out / "manifest.parquet"
    write_metadata(out, read_rows(manifest, list(NEEDED)), lost)
    facts = tally.facts() | {"Recipe": recipe.result_fingerprint()}
    write_report(manifest, out / "report.html", facts=facts, rule=recipe.verdict, limits=recipe.media)
    console.print(closing_table(tally, out))
    if lost:
        identity, why = next(iter(lost.items()))
        raise OutputError(
            f"{len(lost)} kept without a video in {out}/kept (first {identity}, {why}); restore the input and run again"
        )


def run(arguments: argparse.Namespace, console: Console) -> None:
    """Curate as asked on the command line.

    Raises:
        SyncLoraError: one line for the user.
    """
    recipe, tally, out = recipe_of(arguments), Tally(), absolute(arguments.out, "--out")
    if arguments.rescore:
        check_made(out)
        with open_output(out, CURATION):
            check_same_measuring(out, recipe)
            manifest = out / "manifest.parquet"
            judged(rejudged(read_rows(manifest), recipe.verdict, recipe.result_fingerprint()), recipe, out, tally)
            with Decoder(recipe.media) as decoder:
                lost = export_all(read_rows(manifest, list(NEEDED)), out, decoder)
            shown(recipe, out, tally, lost, console)
        return
    source: PairSource = PuppetPairs(recipe.puppet)
    if arguments.input:
        source = find_pairs(arguments.input, layout=arguments.layout, caption=recipe.caption, max_bytes=recipe.media.max_bytes)
    pairs = source.rows()
    if ignored := getattr(source, "ignored", 0):
        console.print(f"{ignored} files in {arguments.input} belong to no pair and are left alone")
    with open_output(out, CURATION):
        connect(console)
        with watched(console, len(pairs)) as watch:
            judged(watch(curate(source, pairs, recipe, out, tally)), recipe, out, tally)
        shown(recipe, out, tally, export(recipe, out), console)


def _pair(text: str) -> Pair:
    fields = json.loads(text)
    halves = {half: View(**fields[half]) for half in ("source", "edited")}
    return Pair(**fields | halves | {"problem": Reason(fields["problem"]) if fields["problem"] else None})


def main(argv: list[str] | None = None) -> int:
    """The command line's exit status."""
    words = sys.argv[1:] if argv is None else argv
    return finish("curate", lambda console: run(parse(words, RECIPES / "curate.yaml"), console))


if __name__ == "__main__":
    sys.exit(main())
