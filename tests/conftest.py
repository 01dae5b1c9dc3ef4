"""What all rooms' tests share: the real portrait clips (skipped without them) and one landmarker per session."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from synclora.motion.landmarks import Landmarker
from synclora.motion.settings import LandmarkSettings

os.environ.setdefault("RAY_AUTH_MODE", "disabled")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault(
    "RAY_DEDUP_LOGS_SKIP_REGEX", "."
)  # as jobs/session.py has it: whichever room imports Ray first decides for all
if not any("benchmarks" in word for word in sys.argv):  # figures are taken as users would see them
    # Before torch is loaded: more threads gain little on miniatures, and spin while they wait for each other
    os.environ.setdefault("OMP_NUM_THREADS", "1")


LONG = ["training", "serve", "jobs", "machines", "train", "edit", "backbone", "embedded"]
"""What begins where several processes share the work, the longest first, so that none waits for one at the end."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With `-n`, a room stays with one process, which shares its fixtures and its Ray."""
    from xdist.scheduler import LoadScopeScheduling

    class Rooms(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return _group(nodeid)

    return Rooms(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The long groups begin, where several processes share the work."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: [*LONG, _group(item.nodeid)].index(_group(item.nodeid)))


_MACHINES = ("test_cluster.py", "test_generating_cluster.py", "test_session.py", "test_streaming.py")
"""Of the jobs, what shares no pairs with the rest: its room would otherwise last minutes longer than all others."""


def _group(nodeid: str) -> str:
    _tests, room, *rest = nodeid.partition("::")[0].split("/")
    if room == "jobs" and rest[-1] in _MACHINES:
        return "machines"
    # what trains on Ray counts the training workers of the whole machine
    return "training" if room == "cluster" or (room == "jobs" and rest[0] == "train") else room


@pytest.fixture(scope="session")
def portraits() -> Path:
    """The folder of real clips and pairs: SYNCLORA_PORTRAITS, or shared/portraits beside the repository."""
    folder = Path(os.environ.get("SYNCLORA_PORTRAITS", Path(__file__).resolve().parents[2] / "shared" / "portraits"))
    if not (folder / "clips").is_dir():
        pytest.skip(f"no real clips at {folder}; set SYNCLORA_PORTRAITS")
    return folder


@pytest.fixture(scope="session")
def landmarker() -> Iterator[Landmarker]:
    with Landmarker(LandmarkSettings()) as one:
        yield one


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Torch on one thread: more gain little on small models, and wait for each other where the machine is busy."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
