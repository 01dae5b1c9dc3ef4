"""The page's table of troubles: what it quotes of our own messages is what the code says."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OURS = {
    "a submitted job runs in a temporary copy; give an absolute path on shared storage": "synclora/command.py",
    "at once, there are": "jobs/session.py",
    ": waiting for machines": "jobs/session.py",
    "workers with parallel.micro_batch = ": "synclora/train/loop.py",
    "holds a run of another recipe (": "synclora/train/outdir.py",
    "another run is writing there": "synclora/outdir.py",
    "let --out be a folder that every node sees": "synclora/train/index.py",
    "no such folder, and the hub does not give it": "synclora/backbone/find.py",
    "does not go to ": "synclora/backbone/load.py",
    "training workers died more than ": "jobs/training.py",
    "; going on from step ": "jobs/training.py",
    "is not what was written": "synclora/train/checkpoint.py",
    "; what was finished stays, run again to go on": "jobs/session.py",
    " for anybody; give keys=FILE": "serve/app.py",
    "no such file; make one with python -m serve.keys add NAME": "serve/app.py",
    "and the service has no keys": "serve/door.py",
    "this came through a proxy (": "serve/door.py",
    "; is the database running?": "serve/database.py",
    "not SQLite or PostgreSQL; give sqlite:///FILE or postgresql+psycopg://USER@HOST/NAME": "serve/database.py",
    " may; try again later": "serve/admission.py",
    "the service's disk is full; nothing was stored, try again later": "serve/problems.py",
    "the edit has not moved for ": "serve/replica.py",
}


@pytest.mark.parametrize("said", OURS)
def test_quoted_message_is_said(said: str) -> None:
    quoted = re.findall(r"^\| .*?`(.+?)`.* \| .+ \|$", (ROOT / "cluster" / "README.md").read_text(), re.M)
    assert any(said in text for text in quoted)
    assert said in (ROOT / OURS[said]).read_text()


def test_settings_named_on_the_page_exist() -> None:
    from synclora.train.recipe import TrainRecipe

    page = (ROOT / "cluster" / "README.md").read_text()
    rooms = {name: field.annotation for name, field in TrainRecipe.model_fields.items()}
    named = re.findall(r"`(parallel|encode|checkpoints|faults|optimizer)\.(\w+)", page)
    assert {("parallel", "gpus_per_worker"), ("faults", "retries"), ("optimizer", "lr")} <= set(named)
    assert [f"{room}.{field}" for room, field in named if field not in rooms[room].model_fields] == []
