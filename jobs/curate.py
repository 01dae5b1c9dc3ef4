"""Curate: portrait videos in, a judged and synchronised training set out.

python jobs/curate.py                                    the puppet: makes its own pairs, judges them, shows the result
python jobs/curate.py --input shoots/may --out out/may   your own pairs
python jobs/curate.py --recipe jobs/recipes/diffusion.yaml --target-kept 512      pairs of its own, made by diffusion models
python jobs/curate.py --out out/may --rescore --without gaze
ray job submit --working-dir . -- python jobs/curate.py --input /data/in --out /data/out
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # a submitted job runs from an uploaded copy: it, not an installed version, is what was asked for

from jobs.session import RECIPES, connect, finish  # first: it sets what Ray reads when it is imported

# isort: split
import argparse
import json
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import asdict
from typing import TYPE_CHECKING

import ray
import ray.data
from rich.console import Console

from jobs.judging import Item, Pairs, judging, most_actors, rows_of
from synclora.command import absolute, one_line
from synclora.curation.command import parse, recipe_of
from synclora.curation.export import NEEDED, export_all, write_metadata
from synclora.curation.outdir import CURATION, check_made, check_same_measuring, remember
from synclora.curation.recipe import CurateRecipe
from synclora.curation.rescore import best_of, rejudged, without_duplicates
from synclora.curation.summary import Tally, closing_table, watched, watched_scenes
from synclora.errors import MediaError, Reason, SyncLoraError
from synclora.media.decode import Decoder
from synclora.outdir import OutputError, open_output
from synclora.pairs.base import Pair, PairSource
from synclora.pairs.detect import find_pairs
from synclora.pairs.diffusion.funnel import funnel_lines, read_funnel
from synclora.pairs.diffusion.store import MadeStore
from synclora.pairs.manifest import Row, read_rows, write_rows
from synclora.pairs.puppet.source import PuppetPairs
from synclora.report.curation import write_report

if TYPE_CHECKING:
    from synclora.pairs.diffusion.model import OpenModel


class Prepare:
    """Before the judge: make a pair's files exist. A task, so that any node's spare CPU does it."""

    def __init__(self, source: PairSource, out: Path) -> None:
        self.source, self.out = source, out

    def __call__(self, item: Item) -> Item:
        """The pair with its files, or with the reason why there are none."""
        pair = Pairs().pair(item)
        try:
            pair = pair if pair.problem else self.source.materialise(pair, self.out / "generated")
        except MediaError as error:
            pair = pair.failed(error.reason, error.detail)
        except (OSError, SyncLoraError) as error:
            return {"pair": item["pair"], "stop": one_line(error), "wrong": ""}
        except Exception as error:  # a surprise is the pair's failure, not the run's
            pair = pair.failed(Reason.CRASHED, f"making it: {type(error).__name__}: {one_line(error)}")
        return {"pair": json.dumps(asdict(pair)), "stop": "", "wrong": ""}


def curate(source: PairSource, pairs: list[Pair], recipe: CurateRecipe, out: Path, tally: Tally) -> Iterator[Row]:
    """Every pair's row, in order, as they are judged.

    Raises:
        OSError: the output folder cannot be written (a full disk).
    """
    resources, actors = recipe.resources, min(most_actors(recipe), len(pairs))
    prepared = ray.data.from_items([{"pair": json.dumps(asdict(pair))} for pair in pairs], override_num_blocks=len(pairs)).map(
        Prepare(source, out),
        compute=ray.data.TaskPoolStrategy(size=min(actors * resources.prepare_ahead, len(pairs))),
        num_cpus=resources.prepare_cpus,
    )
    yield from rows_of(judging(prepared, recipe, out, Pairs(), actors=(actors, actors)).iter_rows(), tally)


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
    write_rows(manifest, tally.counting(rows))
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
    made = MadeStore(out)
    write_report(manifest, out / "report.html", facts=facts, rule=recipe.verdict, limits=recipe.media, generated=made)
    funnel = read_funnel(manifest, made.facts)
    console.print(closing_table(tally, out, funnel_lines(funnel) if funnel.scenes else {}))
    if lost:
        identity, why = next(iter(lost.items()))
        raise OutputError(
            f"{len(lost)} kept without a video in {out}/kept (first {identity}, {why}); restore the input and run again"
        )


def rescore(recipe: CurateRecipe, out: Path, tally: Tally, console: Console) -> None:
    """Judge what was measured before; no Ray, no video opened but to export it."""
    check_made(out)
    with open_output(out, CURATION):
        check_same_measuring(out, recipe)
        rows = rejudged(read_rows(out / "manifest.parquet"), recipe.verdict, recipe.result_fingerprint())
        judged(without_duplicates(rows), recipe, out, tally)
        with Decoder(recipe.media) as decoder:
            lost = export_all(read_rows(out / "manifest.parquet", list(NEEDED)), out, decoder)
        shown(recipe, out, tally, lost, console)


def run(arguments: argparse.Namespace, console: Console, open_model: "OpenModel | None" = None) -> None:
    """Curate as asked on the command line.

    Args:
        arguments: of the command line.
        console: takes what is said.
        open_model: how generated pairs come to a model.

    Raises:
        SyncLoraError: one line for the user.
    """
    recipe, tally, out = recipe_of(arguments), Tally(), absolute(arguments.out, "--out")
    if arguments.rescore:
        rescore(recipe, out, tally, console)
    elif recipe.generate:
        run_generating(arguments, recipe, out, tally, console, open_model)
    else:
        run_given(arguments, recipe, out, tally, console)


def run_generating(
    arguments: argparse.Namespace,
    recipe: CurateRecipe,
    out: Path,
    tally: Tally,
    console: Console,
    open_model: "OpenModel | None",
) -> None:
    """Pairs that diffusion models make, judged as they come, until the goal is reached."""
    from jobs.generating import generate, studio  # not above: torch takes seconds that other pairs need not wait
    from synclora.pairs.diffusion.plan import plan, plan_table

    assert recipe.generate
    work, goal = studio(recipe.generate, out, open_model, plan=arguments.plan), recipe.generate.goal
    for remark in work.catalogue.remarks():
        console.print(remark)
    if arguments.plan:
        console.print(plan_table(plan(recipe.generate, work.founds, out)))
        return
    with open_output(out, CURATION):
        connect(console)
        rows = generate(recipe, work, tally, console)
        with closing(rows), watched_scenes(console, goal, tally) as watch:
            judged(tally.until(goal, watch(without_duplicates(rows))), recipe, out, tally)
        shown(recipe, out, tally, export(recipe, out), console)


def run_given(arguments: argparse.Namespace, recipe: CurateRecipe, out: Path, tally: Tally, console: Console) -> None:
    """Pairs that are there, or puppets."""
    source: PairSource = PuppetPairs(recipe.puppet)
    if arguments.input:
        source = find_pairs(arguments.input, layout=arguments.layout, caption=recipe.caption, max_bytes=recipe.media.max_bytes)
    pairs = source.rows()
    if ignored := getattr(source, "ignored", 0):
        console.print(f"{ignored} files in {arguments.input} belong to no pair and are left alone")
    with open_output(out, CURATION):
        connect(console)
        with watched(console, len(pairs)) as watch:
            judged(without_duplicates(watch(curate(source, pairs, recipe, out, tally))), recipe, out, tally)
        shown(recipe, out, tally, export(recipe, out), console)


def main(argv: list[str] | None = None, open_model: "OpenModel | None" = None) -> int:
    """The command line's exit status."""
    words = sys.argv[1:] if argv is None else argv
    return finish("curate", lambda console: run(parse(words, RECIPES / "curate.yaml"), console, open_model))


if __name__ == "__main__":
    sys.exit(main())
