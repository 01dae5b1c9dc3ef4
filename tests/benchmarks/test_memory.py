"""Memory of the driver and of the object store, at ten times the pairs: flat."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(1800)]

ROOT = Path(__file__).resolve().parents[2]
RECIPE = "puppet: {size: 192, seconds: 1.0}\nverdict: {best: 20}\n"


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
        try:
            status = Path(f"/proc/{job.pid}/status").read_text()
            driver = max(driver, *(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM")))
        except (OSError, TypeError):
            pass
        files = [file for file in Path("/dev/shm").glob("plasma*") if file.exists()]
        store = max(store, sum(file.stat().st_blocks * 512 for file in files) / 2**20)
        time.sleep(0.2)
    assert job.returncode == 0, job.stderr.read().decode()[-500:]
    return driver, store


@pytest.mark.skipif(not Path("/proc/self/status").exists() or os.name != "posix", reason="reads /proc")
def test_memory_is_flat(tmp_path, figure):
    few, many = peak(50, tmp_path), peak(500, tmp_path)
    figure(f"driver: {few[0]:.0f} MB at 50 pairs, {many[0]:.0f} MB at 500; object store: {few[1]:.0f} MB, {many[1]:.0f} MB")
    assert many[0] < 1.25 * few[0]
    assert many[1] < 1.5 * max(few[1], 32)
