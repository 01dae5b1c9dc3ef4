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

from synclora import __version__
from synclora.outdir import Kind, OutputError, differences, read_marker, write_marker
from synclora.train import checkpoint
from synclora.train.index import Encoded
from synclora.train.recipe import TrainRecipe

TRAINING = Kind("synclora-training", "jobs/train.py", ("latents", "captions", "validation", "adapter"))


def check_same_run(out: Path, recipe: TrainRecipe, rows: Sequence[Encoded]) -> None:
    """Whether the folder's checkpoints can be gone on from, and note of the run that now begins or goes on.

    Raises:
        OutputError: they are of another recipe or other clips: names what differs.
    """
    deciding = recipe.deciding() | {"clips": _clips(rows)}
    before = (read_marker(out, TRAINING) or {}).get("deciding")
    begun = before is not None and any(checkpoint.checkpoints(out / "checkpoints"))
    if begun and (changed := differences(before or {}, deciding)):
        raise OutputError(
            f"--out {out}: holds a run of another recipe ({'; '.join(changed)}); change it back, or choose a new folder"
        )
    if not begun:  # what was looked at was a run that came to no checkpoint, perhaps of another recipe
        shutil.rmtree(out / "validation", ignore_errors=True)
    write_marker(out, TRAINING, {"version": __version__, "deciding": deciding, "recipe": recipe.model_dump(mode="json")})


def _clips(rows: Sequence[Encoded]) -> str:
    """The clips in one word: how many, and a digest of their ids."""
    ids = sorted(row.id for row in rows if row.id)
    return f"{len(ids)} of {hashlib.sha256(' '.join(ids).encode()).hexdigest()[:12]}"
