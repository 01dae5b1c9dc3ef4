"""The output folder of a curation.

OUT/synclora.json        says that the folder is ours, and by which recipe it was made
OUT/manifest.parquet     one row per input
OUT/metadata.jsonl       the kept pairs, as both trainers read them
OUT/kept/{source,edited} their videos
OUT/report.html          what a person looks at
OUT/measured, generated  what a rerun need not do again
"""

from pathlib import Path

from synclora import __version__
from synclora.curation.recipe import CurateRecipe
from synclora.outdir import Kind, OutputError, differences, read_marker, write_marker

CURATION = Kind("synclora-curation", "jobs/curate.py", ("measured", "generated", "kept"))


def remember(out: Path, recipe: CurateRecipe) -> None:
    """Note by which recipe the folder's manifest was made."""
    facts = {"version": __version__, "measuring": recipe.measuring(), "recipe": recipe.model_dump(mode="json")}
    write_marker(out, CURATION, facts)


def check_made(out: Path) -> None:
    """Whether there is a curation to rescore.

    Raises:
        OutputError: there is none; no folder is made.
    """
    try:
        made = read_marker(out, CURATION) is not None
    except OSError as error:
        raise OutputError(f"--out {out}: {error.strerror}; choose a folder that can be read") from error
    if not made:
        raise OutputError(f"--out {out}: no curation there; run without --rescore first")


def check_same_measuring(out: Path, recipe: CurateRecipe) -> None:
    """Whether a rescore under this recipe makes sense: verdicts may change without videos, measurements may not.

    Raises:
        OutputError: names the settings that differ.
    """
    before = (read_marker(out, CURATION) or {}).get("measuring")
    if before is None:
        raise OutputError(f"--out {out}: no finished curation there to rescore; run without --rescore first")
    if changed := differences(before, recipe.measuring()):
        raise OutputError(f"--rescore: its videos were measured by another recipe ({'; '.join(changed)}); run without --rescore")
