"""Where models find room: what is asked of Ray, what a machine without a GPU does instead, and what is said where there is too little."""

import pytest
import ray
from rich.console import Console

from jobs import session
from jobs.places import fitting, needs_of, room_for
from synclora.curation.recipe import Resources
from synclora.errors import SyncLoraError
from synclora.pairs.diffusion.settings import CheckSettings, GenerateSettings, Pool, Stage

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


def test_an_actor_asks_for_its_share_and_its_machines():
    pool = Pool(gpus=0.5, cpus=2, memory_mb=1024, resource="animating")
    assert needs_of(pool) == {"num_cpus": 2, "num_gpus": 0.5, "memory": 2**30, "resources": {"animating": 0.001}}
    assert needs_of(Pool(gpus=0)) == {"num_cpus": 1, "num_gpus": None}


def test_without_a_gpu_the_models_share_the_cores_and_leave_some(driver, monkeypatch, capsys):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    before, resources = GenerateSettings(), Resources()
    after, judging = fitting(before, tuple(Stage), resources, Console())
    pools = [after.stage(stage).pool for stage in Stage]
    assert [pool.gpus for pool in pools] == [0, 0, 0]
    assert sum(pool.cpus for pool in pools) + after.checks.cpus + judging.actor_cpus <= ray.cluster_resources()["CPU"]
    assert all(after.stage(stage).making() == before.stage(stage).making() for stage in Stage)
    assert capsys.readouterr().out == "no GPU on this machine: the models run on its CPUs\n"
    monkeypatch.setenv("RAY_ADDRESS", driver)  # a cluster is asked for what the recipe says
    assert fitting(before, tuple(Stage), resources, Console()) == (before, resources)


def test_what_is_lacking_is_named(driver, monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(session, "PATIENCE_S", 1)
    pools = [Pool(gpus=0.5, min_actors=2, max_actors=2, cpus=0.25), Pool(cpus=0.25, resource="animating")]
    with pytest.raises(SyncLoraError) as error:
        room_for(pools, CheckSettings(), Resources(), Console())
    assert str(error.value) == (
        "the models, a check and a judge need 2 GPU and 0.001 animating at once, there are 0 GPU and 0 animating in all; "
        "a smaller share of a GPU for each pool, or a cluster (cluster/README.md)"
    )
    room_for([Pool(gpus=0, cpus=0.25)], CheckSettings(), Resources(), Console())
