"""Curate: portrait videos in, a judged and synchronised training set out.

    python jobs/curate.py                                    the puppet: makes its own pairs, judges them, shows the result
    python jobs/curate.py --input shoots/may --out out/may   your own pairs
    ray job submit --working-dir . -- python jobs/curate.py --input /data/in --out /data/out
    python jobs/curate.py --out out/may --rescore --without gaze
"""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # a submitted job runs from an uploaded copy: it, not an installed version, is what was asked for
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")  # `uv run` would make every worker build the environment again
os.environ.setdefault("GLOG_minloglevel", "2")

import argparse  # noqa: E402
import json  # noqa: E402
import time  # noqa: E402
import uuid  # noqa: E402
from collections.abc import Iterable, Iterator  # noqa: E402
from dataclasses import asdict  # noqa: E402
from typing import Any  # noqa: E402

import pyarrow as pa  # noqa: E402
from rich.console import Console  # noqa: E402

from synclora.curation.export import NEEDED, export_all, export_pair, write_metadata  # noqa: E402
from synclora.curation.outdir import OutputError, check_same_measuring, open_output, remember  # noqa: E402
from synclora.curation.recipe import CurateRecipe  # noqa: E402
from synclora.curation.rescore import best_of, rejudged, without_duplicates  # noqa: E402
from synclora.curation.summary import Tally, closing_table, watched  # noqa: E402
from synclora.curation.worker import PairWorker  # noqa: E402
from synclora.errors import MediaError, SyncLoraError  # noqa: E402
from synclora.media.decode import Decoder  # noqa: E402
from synclora.motion.settings import CUES  # noqa: E402
from synclora.pairs.base import Pair, PairSource, View  # noqa: E402
from synclora.pairs.detect import find_pairs  # noqa: E402
from synclora.pairs.manifest import SCHEMA, Row, read_rows, write_rows  # noqa: E402
from synclora.pairs.puppet.source import PuppetPairs  # noqa: E402
from synclora.report.curation import write_report  # noqa: E402

DEFAULT_RECIPE = ROOT / "jobs" / "recipes" / "curate.yaml"


class Prepare:
    """Stage 1: make a pair's files exist. A task, so that any node's spare CPU does it."""

    def __init__(self, source: PairSource, out: Path) -> None:
        self.source, self.out = source, out

    def __call__(self, item: dict[str, Any]) -> dict[str, Any]:
        pair = _pair(item["pair"])
        try:
            pair = pair if pair.problem else self.source.materialise(pair, self.out / "generated")
        except MediaError as error:
            pair = pair.failed(error.reason, error.detail)
        return {"pair": json.dumps(asdict(pair))}


class Judge:
    """Stage 2: measure and judge. An actor, because MediaPipe's graphs take seconds to build and 500 MB to hold."""

    def __init__(self, recipe: CurateRecipe, out: Path, run: str) -> None:
        self.worker = PairWorker(recipe, out, run)

    def __call__(self, item: dict[str, Any]) -> dict[str, Any]:
        result = self.worker.judge(_pair(item["pair"]))
        row = pa.RecordBatch.from_pylist([result.row], SCHEMA).serialize().to_pybytes()
        return {"row": row, "frames": result.frames, "seconds": result.seconds, "ceiling": result.ceiling, "worker": os.getpid()}


def curate(source: PairSource, pairs: list[Pair], recipe: CurateRecipe, out: Path, tally: Tally) -> Iterator[Row]:
    """Every pair's row, in order, as they are judged."""
    import ray

    context = ray.data.DataContext.get_current()
    context.execution_options.preserve_order = True  # the manifest's order, whatever finishes first
    context.enable_progress_bars = False  # our own counts verdicts
    context.print_on_execution_start = False
    actors = recipe.resources.actors or max(1, int(ray.cluster_resources().get("CPU", 1)))
    rows = (
        ray.data.from_items([{"pair": json.dumps(asdict(pair))} for pair in pairs], override_num_blocks=len(pairs))
        .map(
            Prepare(source, out),
            num_cpus=recipe.resources.prepare_cpus,
            concurrency=actors * recipe.resources.prepare_ahead,
        )
        .map(
            Judge,
            fn_constructor_args=(recipe, out, uuid.uuid4().hex),
            compute=ray.data.ActorPoolStrategy(size=min(actors, len(pairs))),
            num_cpus=recipe.resources.actor_cpus,
            num_gpus=recipe.resources.actor_gpus or None,
            memory=recipe.resources.actor_memory_mb * 2**20,
        )
    )
    for item in rows.iter_rows():
        tally.measured(item["worker"], item["frames"], item["seconds"], item["ceiling"])
        yield pa.ipc.read_record_batch(pa.py_buffer(item["row"]), SCHEMA).to_pylist()[0]


def finish(rows: Iterable[Row], recipe: CurateRecipe, out: Path, tally: Tally) -> None:
    """Rows to the manifest: verdicts counted, the best chosen, everything written whole."""
    manifest = out / "manifest.parquet"
    write_rows(manifest, tally.counting(without_duplicates(rows)))
    if recipe.verdict.best:
        write_rows(manifest, tally.recounting(best_of(read_rows(manifest), tally.scores, recipe.verdict.best)))
    remember(out, recipe)


def export(recipe: CurateRecipe, out: Path) -> int:
    """The kept pairs' videos, all nodes at once, then `metadata.jsonl`."""
    import ray

    def place(row: Row) -> dict[str, str]:
        try:
            with Decoder(recipe.media) as decoder:
                export_pair(row, out, decoder)
        except MediaError as error:
            return {"lost": f"{row['pair_id']}: {error}"}
        return {"lost": ""}

    kept = [row for row in read_rows(out / "manifest.parquet", list(NEEDED)) if row["verdict"] == "kept"]
    if kept:
        placed = ray.data.from_items(kept).map(place, num_cpus=recipe.resources.prepare_cpus)
        for item in placed.iter_rows():
            if item["lost"]:
                raise OutputError(f"a kept pair changed while the job ran ({item['lost']}); run again")
    return write_metadata(out, kept)


def run(arguments: argparse.Namespace, console: Console) -> None:
    """Curate as asked on the command line.

    Raises:
        SyncLoraError: one line for the user.
    """
    recipe = recipe_of(arguments)
    with open_output(absolute(arguments.out)) as out:
        tally = Tally()
        if arguments.rescore:
            check_same_measuring(out, recipe)
            manifest = out / "manifest.parquet"
            finish(rejudged(read_rows(manifest), recipe.verdict, recipe.result_fingerprint()), recipe, out, tally)
            with Decoder(recipe.media) as decoder:
                export_all(read_rows(manifest, list(NEEDED)), out, decoder)
            write_metadata(out, read_rows(manifest, list(NEEDED)))
        else:
            source = find_pairs(arguments.input, layout=arguments.layout, caption=recipe.caption) if arguments.input else PuppetPairs(recipe.puppet)
            pairs = source.rows()
            connect(console)
            with watched(console, len(pairs)) as watch:
                finish(watch(curate(source, pairs, recipe, out, tally)), recipe, out, tally)
            export(recipe, out)
        facts = tally.facts() | {"Recipe": recipe.result_fingerprint()}
        write_report(out / "manifest.parquet", out / "report.html", facts=facts, rule=recipe.verdict)
        console.print(closing_table(tally, out))


def recipe_of(arguments: argparse.Namespace) -> CurateRecipe:
    """The recipe file with the command line's changes on top."""
    recipe = CurateRecipe.from_yaml(arguments.recipe)
    changes = recipe.model_dump()
    unknown = set(arguments.without) - set(CUES)
    if unknown or set(arguments.without) >= set(CUES):
        raise SyncLoraError(f"--without {' '.join(arguments.without)}: leave out some of {', '.join(CUES)}, not all")
    changes["verdict"]["cues"] = tuple(cue for cue in recipe.verdict.cues if cue not in arguments.without)
    for name in ("min_sync", "best"):
        if getattr(arguments, name) is not None:
            changes["verdict"][name] = getattr(arguments, name)
    for name in ("pairs", "seed", "faces"):
        if getattr(arguments, name) is not None:
            changes["puppet"][name] = getattr(arguments, name)
    return CurateRecipe.from_values(changes, "command line")


def absolute(out: Path) -> Path:
    """`--out` as an absolute path.

    Raises:
        OutputError: a relative path in a submitted job, which would end inside Ray's copy of the working directory.
    """
    if not out.is_absolute() and "_ray_pkg_" in str(Path.cwd()):
        raise OutputError(f"--out {out}: a submitted job runs in a temporary copy; give an absolute path on shared storage")
    return out.absolute()


def connect(console: Console) -> None:
    """Join the cluster that a submitted job runs on, or start Ray on this machine."""
    import ray

    if "RAY_ADDRESS" in os.environ:
        ray.init(log_to_driver=False)
        return
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")  # a private cluster that lives as long as this process
    with console.status("starting Ray on this machine"):
        ray.init(address="local", include_dashboard=False, log_to_driver=False, logging_level="ERROR", object_store_memory=512 * 2**20)


def _pair(text: str) -> Pair:
    fields = json.loads(text)
    return Pair(**fields | {"source": View(**fields["source"]), "edited": View(**fields["edited"])})


def parse(argv: list[str]) -> argparse.Namespace:
    """The command line; what it does not say, the recipe does."""
    parser = argparse.ArgumentParser(prog="jobs/curate.py", description="Judge pairs of portrait videos; keep those that move as one.")
    parser.add_argument("--input", default="", metavar="PATH", help="folder, video or table of pairs, local or any fsspec URL (default: make puppets)")
    parser.add_argument("--layout", default="auto", choices=("auto", "folders", "side_by_side", "table"), help="how --input is laid out")
    parser.add_argument("--out", type=Path, default=Path("out/curate"), metavar="DIR", help="output folder (default: out/curate)")
    parser.add_argument("--recipe", type=Path, default=DEFAULT_RECIPE, metavar="FILE", help="settings (default: jobs/recipes/curate.yaml)")
    parser.add_argument("--rescore", action="store_true", help="judge an existing --out again; opens no video to do so")
    parser.add_argument("--without", action="append", default=[], metavar="CUE", help=f"leave a cue out: {', '.join(CUES)}; repeatable")
    parser.add_argument("--min-sync", type=float, metavar="R", help="keep by this sync score and more")
    parser.add_argument("--best", type=int, metavar="K", help="keep at most the K best")
    parser.add_argument("--pairs", type=int, metavar="N", help="puppets: how many pairs to make")
    parser.add_argument("--seed", type=int, metavar="N", help="puppets: another set")
    parser.add_argument("--faces", type=Path, metavar="DIR", help="puppets: portraits to animate (default: the astronaut)")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Exit status 0 when a manifest was written, 2 with one line on stderr when it could not be."""
    arguments = parse(sys.argv[1:] if argv is None else argv)
    started = time.monotonic()
    console = Console(highlight=False)
    try:
        run(arguments, console)
    except SyncLoraError as error:
        print(f"curate: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"curate: {error.strerror or error}: {error.filename or arguments.out}; what was finished stays, run again to go on", file=sys.stderr)
        return 2
    console.print(f"{time.monotonic() - started:.0f} s in all", style="dim")
    return 0


if __name__ == "__main__":
    sys.exit(main())
