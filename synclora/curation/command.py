"""The command line of jobs/curate.py, and how it changes the recipe."""

import argparse
from pathlib import Path

from synclora.command import Parser
from synclora.curation.recipe import CurateRecipe
from synclora.errors import SyncLoraError
from synclora.motion.settings import CUES


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
    add("--pairs", type=int, metavar="N", help="puppets: how many pairs to make")
    add("--seed", type=int, metavar="N", help="puppets: another set")
    add(
        "--faces",
        type=lambda text: Path(text).absolute(),
        metavar="DIR",
        help="puppets: portraits to animate (default: the astronaut)",
    )
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
    for name in ("pairs", "seed", "faces"):
        if getattr(arguments, name) is not None:
            changes["puppet"][name] = getattr(arguments, name)
    return CurateRecipe.from_values(changes, "command line")
