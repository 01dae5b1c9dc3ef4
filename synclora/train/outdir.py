"""The output folder of a training run.

OUT/synclora.json        says that the folder is ours, by which recipe and on which clips it trains
OUT/adapter              the result: both layouts, and the model card
OUT/report.html          what a person looks at
OUT/checkpoints          where the run can be taken up again
OUT/log                  one line per step, and TensorBoard's files
OUT/validation           edits of the held-out pairs
OUT/latents, captions    what a rerun need not encode again
"""

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from synclora import __version__
from synclora.outdir import Kind, OutputError, differences, read_marker, write_marker
from synclora.train import checkpoint
from synclora.train.index import Encoded
from synclora.train.recipe import TrainRecipe

TRAINING = Kind("synclora-training", "jobs/train.py", ("latents", "captions", "validation", "adapter"))


def check_same_recipe(out: Path, recipe: TrainRecipe) -> None:
    """Whether the folder's checkpoints, if there are any, can be gone on from under this recipe.

    Raises:
        OutputError: they are of another one: names what differs.
    """
    if before := _before(out):
        _refuse_other(out, {name: value for name, value in before.items() if name != "clips"}, recipe.deciding())


def check_same_run(out: Path, recipe: TrainRecipe, rows: Sequence[Encoded]) -> None:
    """The same of the clips too, once they are known; and note of the run that now begins or goes on.

    Raises:
        OutputError: the checkpoints are of another recipe or other clips: names what differs.
    """
    deciding, before = recipe.deciding() | {"clips": _clips(rows)}, _before(out)
    if before:
        _refuse_other(out, before, deciding)
    else:  # what was looked at was a run that came to no checkpoint, perhaps of another recipe
        shutil.rmtree(out / "validation", ignore_errors=True)
    write_marker(out, TRAINING, {"version": __version__, "deciding": deciding, "recipe": recipe.model_dump(mode="json")})


def _before(out: Path) -> dict[str, Any] | None:
    """What decides the checkpoints that are there; None where there are none."""
    if not any(checkpoint.checkpoints(out / "checkpoints")):
        return None
    return (read_marker(out, TRAINING) or {}).get("deciding")


def _refuse_other(out: Path, before: dict[str, Any], now: dict[str, Any]) -> None:
    if changed := differences(before, now):
        raise OutputError(
            f"--out {out}: holds a run of another recipe ({'; '.join(changed)}); change it back, or choose a new folder"
        )


def _clips(rows: Sequence[Encoded]) -> str:
    """The clips in one word: how many, and a digest of their ids."""
    ids = sorted(row.id for row in rows if row.id)
    return f"{len(ids)} of {hashlib.sha256(' '.join(ids).encode()).hexdigest()[:12]}"
