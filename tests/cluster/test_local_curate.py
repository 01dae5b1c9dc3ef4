"""Curation as a submitted job: the manifest is, byte for byte, what a plain loop over the same pairs gives."""

import json
import shutil
from dataclasses import asdict
from pathlib import Path

import pytest

from jobs.curate import Prepare
from jobs.judging import Judge, Pairs, rows_of
from synclora.curation.recipe import CurateRecipe
from synclora.curation.rescore import without_duplicates
from synclora.curation.summary import Tally
from synclora.pairs.manifest import write_rows
from synclora.pairs.puppet.source import PuppetPairs
from tests.cluster.conftest import local

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


def test_a_submitted_job_gives_the_same_manifest(running: dict[str, str], tmp_path: Path) -> None:
    out, copy, small = tmp_path / "out", tmp_path / "copy", tmp_path / "small.yaml"
    small.write_text("puppet: {size: 192, seconds: 1.0, pairs: 3}\n")
    done = local("submit", "--recipe", str(small), "--out", str(out), env=running)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 = 2 kept + 1 rejected + 0 quarantined" in done.stdout
    assert "150 frames" in done.stdout
    assert len((out / "metadata.jsonl").read_text().splitlines()) == 2

    recipe = CurateRecipe.from_yaml(small)
    recipe = recipe.model_copy(
        update={"resources": recipe.resources.model_copy(update={"pin": False})}
    )  # this process stays free
    source = PuppetPairs(recipe.puppet)
    shutil.copytree(out / "generated", copy / "generated")
    prepare, judge = Prepare(source, copy), Judge(recipe, copy, "plain", Pairs())
    items = (judge(prepare({"pair": json.dumps(asdict(pair))})) for pair in source.rows())
    write_rows(copy / "manifest.parquet", without_duplicates(rows_of(items, Tally())))
    assert (out / "manifest.parquet").read_bytes() == (copy / "manifest.parquet").read_bytes()
