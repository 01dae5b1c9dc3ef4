"""No way of dying costs more than the steps since the last checkpoint: what a run computes is the same in the end."""

import random
import shutil
import signal
import subprocess

import psutil
import pytest

from synclora.train.checkpoint import newest
from tests.jobs.conftest import stopped
from tests.jobs.train.conftest import steps_done, trace, train_here, training_workers

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


def same_adapter(one, other):
    name = "adapter/pytorch_lora_weights.safetensors"
    return (one / name).read_bytes() == (other / name).read_bytes()


def test_a_worker_and_then_everything_killed_its_newest_checkpoint_torn_and_the_job_run_again(
    begun, trained, small_set, recipe, driver
):
    """A worker at a random step after the first checkpoint; when new ones have come to the second, the driver and all of its Ray."""
    out, chance = begun(0), random.Random(1)
    words = ["--set", small_set, "--out", out, "--recipe", recipe]
    torn, at = out / "checkpoints" / "step-000008", chance.randrange(5, 8)
    first, later = set(), set()

    def later_ones_are_there() -> bool:
        workers = training_workers()
        if first:
            later.update({worker.pid for worker in workers} - first)
        elif steps_done(out) >= at and workers:
            first.update(worker.pid for worker in workers)
            chance.choice(workers).kill()
        return bool(later) and torn.is_dir()

    status, _, stderr = stopped(words, later_ones_are_there, signal.SIGKILL, job="train")
    assert (status, stderr) == (-signal.SIGKILL, "")
    assert 8 <= steps_done(out) < 13
    assert trace(out)[:8] == trained.trace[:8]
    for name in ("adapter.safetensors", "optimizer.safetensors"):
        assert (torn / name).read_bytes() == (trained.out / "checkpoints" / torn.name / name).read_bytes()
    shutil.rmtree(out / "checkpoints" / "step-000012", ignore_errors=True)
    with (torn / "optimizer.safetensors").open("r+b") as file:
        file.seek(-100, 2)
        file.write(b"\xff" * 7)
    done = train_here(*words, address=driver)
    assert (done.status, done.stderr) == (0, "")
    said = " ".join(done.stdout.split())
    assert "checkpoint step-000008: optimizer.safetensors is not what was written; going on from step 4" in said
    assert trace(out) == trained.trace
    assert same_adapter(out, trained.out)
    assert not list(out.rglob(".*.part"))


def test_ctrl_c_ends_it_on_one_line_and_its_workers_on_a_ray_that_stays(begun, small_set, recipe, ray_address):
    out = begun(0)
    words = ["--set", small_set, "--out", out, "--recipe", recipe]
    status, _, stderr = stopped(words, lambda: steps_done(out) >= 5, signal.SIGINT, job="train", RAY_ADDRESS=ray_address)
    assert (status, stderr) == (130, "train: interrupted; what was finished stays, run again to go on\n")
    _, alive = psutil.wait_procs(training_workers(), timeout=20)
    assert not alive


def test_a_full_disk_keeps_the_last_good_checkpoint(begun, trained, small_set, recipe, driver, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("a small disk cannot be mounted here")
    try:
        out = disk / "out"
        shutil.copytree(begun(4), out)
        kept = out / "checkpoints" / "step-000004"
        before = {path.name: path.read_bytes() for path in kept.iterdir()}
        free = shutil.disk_usage(disk).free
        need = sum(map(len, before.values()))
        (disk / "ballast").write_bytes(bytes(free - need // 2))  # room for the log, not for another checkpoint
        words = ["--set", small_set, "--out", out, "--recipe", recipe]
        done = train_here(*words, address=driver)
        assert done.status == 2, done
        assert done.stderr.count("\n") == 1
        assert "No space left on device" in done.stderr
        assert done.stderr.endswith("what was finished stays, run again to go on\n")
        assert {path.name: path.read_bytes() for path in kept.iterdir()} == before
        assert not [path for path in (out / "checkpoints").iterdir() if path.name.startswith(".step")]
        kept_one, passed = newest(out / "checkpoints")
        assert (kept_one.step, passed) == (4, [])
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)  # a worker that is just ending may still hold its log
