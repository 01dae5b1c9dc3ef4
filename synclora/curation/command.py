"""The command line of jobs/curate.py, and how it changes the recipe."""

import argparse
from pathlib import Path
from typing import Any

from synclora.command import Parser
from synclora.curation.recipe import CurateRecipe
from synclora.errors import SyncLoraError
from synclora.motion.settings import CUES
from synclora.pairs.diffusion.settings import MAX_SCENES


def parse(argv: list[str], default_recipe: Path) -> argparse.Namespace:
    """The command line; what it does not say, the recipe does.

    Raises:
        SyncLoraError: what argparse has against it, on one line.
    """
    parser = Parser(prog="jobs/curate.py", description="Judge pairs of portrait videos; keep those that move as one.")
    add = parser.add_argument
    add("--input", default="", metavar="PATH", help="folder, video or table of pairs, or an fsspec URL (default: make puppets)")
    add("--layout", default="auto", choices=("auto", "folders", "side_by_side", "table"), help="how --input is laid out")
    add("--out", type=Path, default=Path("out/curate"), metavar="DIR", help="output folder (default: out/curate)")
    add("--recipe", type=Path, default=default_recipe, metavar="FILE", help="settings (default: jobs/recipes/curate.yaml)")
    add("--rescore", action="store_true", help="judge an existing --out again; opens no video to do so")
    add("--without", action="append", default=[], metavar="CUE", help=f"leave a cue out: {', '.join(CUES)}; repeatable")
    add("--min-sync", type=float, metavar="R", help="keep by this sync score and more")
    add("--best", type=int, metavar="K", help="keep at most the K best")
    add("--seed", type=int, metavar="N", help="puppets and generated pairs: another set")
    add("--pairs", type=int, metavar="N", help="puppets: how many pairs to make")
    add(
        "--faces",
        type=lambda text: Path(text).absolute(),
        metavar="DIR",
        help="puppets: portraits to animate (default: the astronaut)",
    )
    add("--scenes", type=int, metavar="N", help="generated pairs: how many scenes to try at most")
    add("--target-kept", type=int, metavar="N", help="generated pairs: end as soon as N are kept")
    add("--gpu-hours", type=float, metavar="H", help="generated pairs: end when so much GPU time is spent")
    add("--plan", action="store_true", help="generated pairs: print models, pools and GPU-hours; load nothing")
    return parser.parse_args(argv)


def recipe_of(arguments: argparse.Namespace) -> CurateRecipe:
    """The recipe file with the command line's changes on top.

    Raises:
        SyncLoraError: names what cannot be meant.
    """
    recipe = CurateRecipe.from_yaml(arguments.recipe)
    changes = recipe.model_dump()
    unknown = set(arguments.without) - set(CUES)
    if unknown or set(arguments.without) >= set(CUES):
        raise SyncLoraError(f"--without {' '.join(arguments.without)}: leave out some of {', '.join(CUES)}, not all")
    changes["verdict"]["cues"] = tuple(cue for cue in recipe.verdict.cues if cue not in arguments.without)
    for name in ("min_sync", "best"):
        if getattr(arguments, name) is not None:
            changes["verdict"][name] = getattr(arguments, name)
    if recipe.generate:
        _generate(arguments, changes["generate"])
    else:
        _puppets(arguments, changes["puppet"])
    return CurateRecipe.from_values(changes, "command line")


_GOALS = ("target_kept", "scenes", "gpu_hours")


def _puppets(arguments: argparse.Namespace, puppet: dict[str, Any]) -> None:
    for name in (*_GOALS, "plan"):
        if getattr(arguments, name) not in (None, False):
            raise SyncLoraError(f"{_option(name)}: {arguments.recipe} generates no pairs; give a --recipe with `generate:`")
    for name in ("pairs", "seed", "faces"):
        if getattr(arguments, name) is not None:
            puppet[name] = getattr(arguments, name)


def _generate(arguments: argparse.Namespace, generate: dict[str, Any]) -> None:
    remedies = {"input": "take another recipe", "pairs": "say --scenes", "faces": "say in prompts who is seen"}
    for name, remedy in remedies.items():
        if getattr(arguments, name) not in (None, ""):
            raise SyncLoraError(f"--{name}: {arguments.recipe} generates its own pairs; leave it out, or {remedy}")
    if arguments.seed is not None:
        generate["seed"] = arguments.seed
    for name in _GOALS:
        if getattr(arguments, name) is not None:
            generate["goal"][name] = getattr(arguments, name)
    if arguments.target_kept and arguments.scenes is None:
        generate["goal"]["scenes"] = MAX_SCENES  # whoever asks for so many pairs does not mean the recipe's first try


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"
