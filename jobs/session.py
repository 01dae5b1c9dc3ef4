"""What all jobs do with Ray, and how they end: `import session` before ray itself, since it sets what Ray reads at its import."""

import logging
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")  # `uv run` would make every worker build the environment again
# Restarted workers are these jobs' daily bread and end in a table. Ray tells of them at length, in its core and through its log printer
os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".")

import ray
import ray.data
from ray.util.placement_group import placement_group, remove_placement_group
from rich.console import Console

from synclora.command import one_line
from synclora.errors import SyncLoraError
from synclora.motion.landmarks import quiet

RECIPES = Path(__file__).resolve().parent / "recipes"

PATIENCE_S = 10  # a cluster that is up gives room in milliseconds


def connect(console: Console) -> None:
    """Join the cluster that a submitted job runs on, or start Ray on this machine; either way without its chatter.

    Raises:
        SyncLoraError: RAY_ADDRESS names no cluster that lets us in, or Ray does not start.
    """
    where: dict[str, Any] = {}
    if "RAY_ADDRESS" not in os.environ:
        os.environ.setdefault("RAY_AUTH_MODE", "disabled")  # a private cluster that lives as long as this process
        where = {"address": "local", "include_dashboard": False, "object_store_memory": 512 * 2**20}
    try:
        with console.status("starting Ray"), quiet():
            ray.init(log_to_driver=False, logging_level=logging.CRITICAL, **where)
    except Exception as error:  # on an overloaded machine Ray raises the plain class: its processes came too late
        raise SyncLoraError(f"no Ray at {os.environ.get('RAY_ADDRESS', 'local')}: {one_line(error)}") from error
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    context = ray.data.DataContext.get_current()
    context.execution_options.preserve_order = True  # the manifest's order, whatever finishes first
    context.enable_progress_bars = False  # our own counts verdicts
    context.print_on_execution_start = False


def await_room(workers: int, each: dict[str, float], console: Console) -> None:
    """Wait until so many workers find room at the same time. Asking is what makes a cluster that grows on demand start its machines; Ray Train
    asks too, but waits without a word.

    Raises:
        SyncLoraError: this machine alone has too little.
    """
    await_places([each] * workers, f"{workers} workers", "fewer workers", console)


def await_places(places: Sequence[Mapping[str, float]], who: str, smaller: str, console: Console) -> None:
    """Wait until all these find room at the same time.

    Args:
        places: what each asks for, by the names of Ray's resources; what is 0 is not asked for.
        who: they are, for the line that says what is waited for.
        smaller: what else would do on a machine alone.
        console: takes the line.

    Raises:
        SyncLoraError: this machine alone has too little.
    """
    asked = [{name: amount for name, amount in place.items() if amount} for place in places]
    room = placement_group(asked)
    try:
        if room.wait(PATIENCE_S):
            return
        there = ray.cluster_resources()  # type: ignore[no-untyped-call]
        sums = {name: sum(place.get(name, 0) for place in asked) for place in asked for name in place}
        lacking = [name for name in sums if sums[name] > there.get(name, 0)] or list(sums)
        wanted = " and ".join(_amount(name, sums[name]) for name in lacking)
        found = " and ".join(_amount(name, there.get(name, 0)) for name in lacking)
        what = f"{who} need {wanted} at once, there are {found} in all"
        if "RAY_ADDRESS" not in os.environ:
            raise SyncLoraError(f"{what}; {smaller}, or a cluster (cluster/README.md)")
        console.print(f"{what}: waiting for machines")
        while not room.wait(2):  # short: an interrupt is heard between two calls
            pass
    finally:
        remove_placement_group(room)


def _amount(name: str, amount: float) -> str:
    return f"{amount / 2**30:.1f} GiB of memory" if name == "memory" else f"{amount:g} {name}"


def finish(job: str, work: Callable[[Console], None]) -> int:
    """Do a job's work. Exit status 0 when everything was written; with one line on stderr, 2 when it could not be and 130 after Ctrl-C."""
    console, started = Console(highlight=False), time.monotonic()
    try:
        work(console)
    except SyncLoraError as error:
        return _ended(job, one_line(error), 2)
    except OSError as error:
        return _ended(job, f"{one_line(error)}; what was finished stays, run again to go on", 2)
    except KeyboardInterrupt:
        return _ended(job, "interrupted; what was finished stays, run again to go on", 130)
    console.print(f"{time.monotonic() - started:.0f} s in all", style="dim")
    return 0


def _ended(job: str, why: str, status: int) -> int:
    print(f"{job}: {why}", file=sys.stderr)
    return status
