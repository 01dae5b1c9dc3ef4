"""Train: a curated set in, an adapter out.

python jobs/train.py --set out/curate --out out/train              the miniature: proves the plumbing in a minute
python jobs/train.py --set out/may --out out/may-lora --recipe jobs/recipes/train-ltx-video.yaml
python jobs/train.py --set out/may --out out/may-2 --workers 1 --strategy zero2 --mode causal-source
ray job submit --working-dir . -- python jobs/train.py --set /data/out --out /data/lora
"""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # a submitted job runs from an uploaded copy: it, not an installed version, is what was asked for
os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.2")  # the default, 2 s, is what each checkpoint would wait

from jobs.session import RECIPES, await_room, connect, finish  # first: it sets what Ray reads when it is imported

# isort: split
import argparse

from rich.console import Console

from jobs.encoding import encode_set
from jobs.training import count_workers, embed_captions, fit, resources_of
from synclora.backbone.find import find_backbone
from synclora.command import absolute
from synclora.outdir import open_output
from synclora.report.training import write_training_report
from synclora.train import checkpoint
from synclora.train.closing import closing_table, facts_of, write_adapter
from synclora.train.command import parse, recipe_of
from synclora.train.curated import read_set
from synclora.train.index import read_index
from synclora.train.latents import LatentStore
from synclora.train.loop import Job, check_sharing
from synclora.train.outdir import TRAINING, check_same_recipe, check_same_run
from synclora.train.start import read_start
from synclora.train.trainset import split


def run(arguments: argparse.Namespace, console: Console) -> None:
    """Train as asked on the command line.

    Raises:
        SyncLoraError: one line for the user.
        OSError: the disk is full; what was finished stays.
    """
    recipe, out = recipe_of(arguments), absolute(arguments.out, "--out")
    samples = read_set(absolute(arguments.set, "--set"))
    backbone = find_backbone(recipe.backbone, recipe.revision)
    if recipe.lora.start and checkpoint.newest(out / "checkpoints")[0] is None:
        read_start(recipe.lora, backbone.kind)
    with open_output(out, TRAINING):
        check_same_recipe(out, recipe)
        connect(console)
        workers = count_workers(recipe)
        check_sharing(recipe, workers)
        await_room(workers, resources_of(recipe.parallel), console)
        tally = encode_set(
            samples, recipe.encode, recipe.backbone, out, recipe.encode_resources, revision=recipe.revision, console=console
        )
        rows = read_index(LatentStore(out / "latents").index)
        split(rows, recipe.validation.pairs)
        job = Job(out, recipe, {sample.pair_id: sample for sample in samples})
        embed_captions(recipe, [*dict.fromkeys(job.captions.values()), ""], out)
        check_same_run(out, recipe, rows)
        fit(job, workers, console)
        facts = facts_of(job, workers) | tally.facts()
        write_adapter(job, facts)
        write_training_report(out, facts=facts, random_base=backbone.random)
        console.print(closing_table(out, facts))


def main(argv: list[str] | None = None) -> int:
    """The command line's exit status."""
    words = sys.argv[1:] if argv is None else argv
    return finish("train", lambda console: run(parse(words, RECIPES / "train.yaml"), console))


if __name__ == "__main__":
    sys.exit(main())
