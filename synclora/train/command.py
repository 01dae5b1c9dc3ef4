"""The command line of jobs/train.py, and how it changes the recipe."""

import argparse
from pathlib import Path

from synclora.command import Parser, absolute
from synclora.train.recipe import TrainRecipe


def parse(argv: list[str], default_recipe: Path) -> argparse.Namespace:
    """The command line; what it does not say, the recipe does.

    Raises:
        SyncLoraError: what argparse has against it, on one line.
    """
    parser = Parser(prog="jobs/train.py", description="Train the in-context LoRA on a curated set.")
    add = parser.add_argument
    add("--set", type=Path, default=Path("out/curate"), metavar="DIR", help="what jobs/curate.py wrote (default: out/curate)")
    add("--out", type=Path, default=Path("out/train"), metavar="DIR", help="output folder (default: out/train)")
    add("--recipe", type=Path, default=default_recipe, metavar="FILE", help="settings (default: jobs/recipes/train.yaml)")
    add("--backbone", metavar="NAME", help="hub id, folder in diffusers' layout, embedded, tiny:ltx-video or tiny:ltx-2")
    add("--steps", type=int, metavar="N", help="optimizer steps in all")
    add("--workers", type=int, metavar="N", help="training workers (default: one per GPU, or two on CPUs)")
    add("--strategy", metavar="NAME", help="ddp, zero1, zero2 or zero3")
    add("--mode", metavar="NAME", help="attention: shared or causal-source")
    add("--start", type=Path, metavar="DIR", help="an adapter to begin with (default: a new one)")
    add("--seed", type=int, metavar="N", help="another order, other noise, another first adapter")
    return parser.parse_args(argv)


_PLACES = {
    "strategy": ("parallel", "strategy"),
    "workers": ("parallel", "workers"),
    "mode": ("context", "mode"),
    "start": ("lora", "start"),
}


def recipe_of(arguments: argparse.Namespace) -> TrainRecipe:
    """The recipe file with the command line's changes on top.

    Raises:
        SyncLoraError: names what cannot be meant.
    """
    changes = TrainRecipe.from_yaml(arguments.recipe).model_dump()
    for name in ("backbone", "steps", "workers", "strategy", "mode", "seed", "start"):
        value = getattr(arguments, name)
        if name == "start" and value is not None:
            value = str(absolute(value, "--start"))
        if value is not None:
            *room, setting = _PLACES.get(name, (name,))
            (changes[room[0]] if room else changes)[setting] = value
    return TrainRecipe.from_values(changes, "command line")
