"""Memory of the driver and of the object store, at ten times the pairs: flat."""

import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(1800)]

ROOT = Path(__file__).resolve().parents[2]
RECIPE = "puppet: {size: 192, seconds: 1.0}\nverdict: {best: 20}\n"


def memory_mb(pid: int, field: str) -> float:
    """A line of /proc/PID/status; the raylet's shared memory is the object store as far as it was ever touched."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(field):
                return int(line.split()[1]) / 1024
    return 0.0


def peak(pairs: int, folder: Path) -> tuple[float, float]:
    """Peak resident MB of the driver, and MB of the object store ever touched at once."""
    recipe = folder / "small.yaml"
    recipe.write_text(RECIPE)
    command = [
        sys.executable,
        "jobs/curate.py",
        "--pairs",
        str(pairs),
        "--recipe",
        str(recipe),
        "--out",
        str(folder / str(pairs)),
    ]
    job = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    driver = store = 0.0
    while job.poll() is None:
        with suppress(psutil.NoSuchProcess):
            driver = max(driver, memory_mb(job.pid, "VmHWM"))
            raylets = [child for child in psutil.Process(job.pid).children(recursive=True) if child.name() == "raylet"]
            store = max(store, *(memory_mb(raylet.pid, "RssShmem") for raylet in raylets), 0.0)
        time.sleep(0.2)
    assert job.returncode == 0, job.stderr.read().decode()[-500:]
    return driver, store


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")
def test_memory_is_flat(tmp_path, figure):
    few, many = peak(50, tmp_path), peak(500, tmp_path)
    figure(f"driver: {few[0]:.0f} MB at 50 pairs, {many[0]:.0f} MB at 500; object store: {few[1]:.0f} MB, {many[1]:.0f} MB")
    assert many[0] < 1.25 * few[0]
    assert 0 < many[1] < 1.5 * max(few[1], 32)
