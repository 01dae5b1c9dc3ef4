"""What all rooms' tests share: the real portrait clips (skipped without them) and one landmarker per session."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from synclora.motion.landmarks import Landmarker
from synclora.motion.settings import LandmarkSettings

os.environ.setdefault("RAY_AUTH_MODE", "disabled")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
if not any("benchmarks" in word for word in sys.argv):  # figures are taken as users would see them
    # Before torch is loaded: more threads gain little on miniatures, and spin while they wait for each other
    os.environ.setdefault("OMP_NUM_THREADS", "1")


TESTS = Path(__file__).parent
FIRST = ["jobs", "serve"]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With `-n 2 --dist loadgroup`: a room stays on one worker, which shares its fixtures and its Ray; the two long ones begin."""
    alike = {"cluster": "jobs"}  # both start jobs and count what runs on this machine
    for item in items:
        room = item.path.relative_to(TESTS).parts[0]
        item.add_marker(pytest.mark.xdist_group(alike.get(room, room)))
    items.sort(key=lambda item: FIRST.index(group) if (group := _group(item)) in FIRST else len(FIRST))


def _group(item: pytest.Item) -> str:
    mark = item.get_closest_marker("xdist_group")
    assert mark is not None
    return str(mark.args[0])


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
