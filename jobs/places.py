"""Where models find room: each pool asks for its share of a GPU, and on a machine without one the models share its cores.

settings, resources = fitting(settings, stages, recipe.resources, console)
room_for(pools, settings.checks, resources, console)       # waits, with a line that says for what
"""

import os
from collections.abc import Iterable, Sequence
from typing import Any

import ray
from rich.console import Console

from jobs.session import await_places
from synclora.curation.recipe import Resources
from synclora.pairs.diffusion.settings import CheckSettings, GenerateSettings, Pool, Stage

_MARK = 0.001  # of a custom resource: it says where, not how much


def needs_of(pool: Pool) -> dict[str, Any]:
    """What an actor of a pool asks Ray for, in the words of `map_batches`."""
    needs: dict[str, Any] = {"num_cpus": pool.cpus, "num_gpus": pool.gpus or None}
    if pool.memory_mb:
        needs["memory"] = pool.memory_mb * 2**20
    if pool.resource:
        needs["resources"] = {pool.resource: _MARK}
    return needs


def fitting(
    settings: GenerateSettings, stages: Sequence[Stage], resources: Resources, console: Console
) -> tuple[GenerateSettings, Resources]:
    """The same settings, or on a Ray of this machine's own without a GPU, ones whose models share its cores, one actor each."""
    there = ray.cluster_resources()  # type: ignore[no-untyped-call]
    if "RAY_ADDRESS" in os.environ or there.get("GPU") or not stages:
        return settings, resources
    if any(settings.stage(stage).pool.gpus for stage in stages):
        console.print("no GPU on this machine: the models run on its CPUs")
    cores = there.get("CPU", 1)
    rest = cores - min(resources.actor_cpus, cores / 2)
    checks = min(settings.checks.cpus, rest / 4)
    share = round((rest - checks) / len(stages), 2) - 0.01

    def on_cpu(stage: Stage) -> dict[str, Any]:
        model = settings.stage(stage)
        pool = {"gpus": 0.0, "min_actors": 1, "max_actors": 1, "cpus": min(model.pool.cpus, share), "resource": ""}
        return {"pool": model.pool.model_copy(update=pool)}

    models = {stage.value: settings.stage(stage).model_copy(update=on_cpu(stage)) for stage in stages}
    changed = {**models, "checks": settings.checks.model_copy(update={"cpus": checks})}
    return settings.model_copy(update=changed), resources.model_copy(update={"actor_cpus": min(resources.actor_cpus, cores / 2)})


def room_for(pools: Iterable[Pool], checks: CheckSettings, resources: Resources, console: Console) -> None:
    """Wait until the fewest actors of all pools, a check and a judge find room at the same time: with less, a stage would wait for ever.

    Raises:
        SyncLoraError: this machine alone has too little.
    """
    places = [_place(pool) for pool in pools for _ in range(pool.min_actors)]
    if not places:
        return
    judge = {"CPU": resources.actor_cpus, "GPU": resources.actor_gpus, "memory": resources.actor_memory_mb * 2**20}
    small = "a smaller share of a GPU for each pool"
    await_places([*places, {"CPU": checks.cpus}, judge], "the models, a check and a judge", small, console)


def _place(pool: Pool) -> dict[str, float]:
    place = {"CPU": pool.cpus, "GPU": pool.gpus, "memory": pool.memory_mb * 2**20}
    return place | ({pool.resource: _MARK} if pool.resource else {})
