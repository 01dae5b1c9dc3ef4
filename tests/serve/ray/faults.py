"""What is killed while the service works, and how long it takes to go on."""

import random
import time
from collections.abc import Callable, Iterable

import httpx

from serve.jobs import State
from tests.serve.audit import transitions
from tests.serve.ray.service import APP, STEP_S, Service, ended_once, wait_for


def lose_nothing(service: Service, what: str, seeds: Iterable[int]) -> list[float]:
    """Kill it while six jobs are under way, once for each seed: every job ends once. Seconds from each kill until the service went on."""
    went_on = []
    for seed in seeds:
        dice = random.Random(seed)
        ids = service.submit(6)
        wait_for(lambda ids=ids: starts(service, ids) >= 2)
        time.sleep(dice.uniform(0, 3 * STEP_S))
        killed, before = KILLS[what](service, dice), starts(service, ids)
        if what in ANSWERS:
            wait_for(lambda: ANSWERS[what](service))
        else:
            wait_for(lambda ids=ids, before=before: starts(service, ids) > before)
        went_on.append(time.monotonic() - killed)
        ended_once(service, ids)
    return went_on


def starts(service: Service, ids: list[str]) -> int:
    """How often these were taken up, all together."""
    return sum(
        change.after == State.RUNNING for id, changes in transitions(service.audit).items() if id in ids for change in changes
    )


def kill_at_commit(service: Service, dice: random.Random) -> float:
    mark = service.settings.data / "die_at_commit"
    mark.touch()
    wait_for(lambda: not mark.exists())
    return time.monotonic()


def kill_node(service: Service, dice: random.Random) -> float:
    killed = time.monotonic()
    service.kill_node()
    service.add_node()
    return killed


KILLS: dict[str, Callable[[Service, random.Random], float]] = {
    "an editor in mid-step": lambda service, dice: service.kill("Editor", dice.randrange(2)),
    "an editor between artefact and commit": kill_at_commit,
    "the dispatcher": lambda service, _: service.kill("Dispatcher"),
    "the controller": lambda service, _: service.kill("ServeController"),
    "the door": lambda service, _: service.kill("Door"),
    "the node of the editors": kill_node,
}
"""Each says when, by the monotonic clock."""


def door_answers(service: Service) -> bool:
    try:
        return httpx.get(f"{service.url}/readyz", timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def controller_answers(service: Service) -> bool:
    from ray import serve

    return serve.status().applications[APP].status == "RUNNING"


ANSWERS = {"the door": door_answers, "the controller": controller_answers}
"""When these are back; of the others, when the next job is taken up."""
