"""No way of dying costs more than the steps since the last checkpoint: what a run computes is the same in the end."""

import random
import shutil
import signal
import subprocess
import time
from contextlib import suppress

import pytest
from safetensors.torch import load_file

from tests.jobs.conftest import ROOT, command, environment, stopped
from tests.jobs.train.conftest import steps_done, trace, train_here, training_workers

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


def same_adapter(one, other):
    name = "adapter/pytorch_lora_weights.safetensors"
    return (one / name).read_bytes() == (other / name).read_bytes()


@pytest.mark.parametrize("seed", [1, 2])
def test_a_worker_killed_at_random_steps(seed, begun, trained, small_set, recipe, ray_address):
    out, chance = begun(0), random.Random(seed)
    words = ["--set", small_set, "--out", out, "--recipe", recipe]
    job = subprocess.Popen(
        command(*words, job="train"),
        cwd=ROOT,
        env=environment(RAY_ADDRESS=ray_address),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    killed = set()
    for at in sorted(chance.sample(range(2, 12), 2)):
        while not (steps_done(out) >= at and (workers := [w for w in training_workers() if w.pid not in killed])):
            assert job.poll() is None, job.communicate()
            time.sleep(0.02)
        victim = chance.choice(workers)
        killed |= {worker.pid for worker in workers}
        with suppress(Exception):
            victim.kill()
    stdout, stderr = job.communicate(timeout=300)
    assert (job.returncode, stderr) == (0, ""), stdout + stderr
    assert len(killed) >= 2
    assert trace(out) == trained.trace
    assert same_adapter(out, trained.out)


def test_the_driver_killed_and_the_job_run_again(begun, trained, small_set, recipe, ray_address):
    out = begun(0)
    words = ["--set", small_set, "--out", out, "--recipe", recipe]
    status, _, _ = stopped(words, lambda: steps_done(out) >= 6, signal.SIGKILL, job="train")
    assert status == -signal.SIGKILL
    assert 6 <= steps_done(out) < 13
    assert (out / "checkpoints" / "step-000004").is_dir()
    assert train_here(*words, address=ray_address).status == 0
    assert trace(out) == trained.trace
    assert same_adapter(out, trained.out)
    assert not list(out.rglob(".*.part"))


def test_a_corrupt_checkpoint_falls_back_to_the_one_before(begun, trained, small_set, recipe, ray_address):
    out = begun(8)
    with (out / "checkpoints" / "step-000008" / "optimizer.safetensors").open("r+b") as file:
        file.seek(-100, 2)
        file.write(b"\xff" * 7)
    done = train_here("--set", small_set, "--out", out, "--recipe", recipe, address=ray_address)
    assert "checkpoint step-000008: optimizer.safetensors is not what was written; going on from step 4" in " ".join(
        done.stdout.split()
    )
    assert trace(out) == trained.trace
    assert same_adapter(out, trained.out)


def test_ctrl_c_ends_it_on_one_line(begun, small_set, recipe):
    out = begun(0)
    words = ["--set", small_set, "--out", out, "--recipe", recipe]
    status, _, stderr = stopped(words, lambda: steps_done(out) >= 5, signal.SIGINT, job="train")
    assert (status, stderr) == (130, "train: interrupted; what was finished stays, run again to go on\n")
    assert not training_workers()


def test_a_full_disk_keeps_the_last_good_checkpoint(begun, trained, small_set, recipe, ray_address, tmp_path):
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
        done = train_here(*words, address=ray_address)
        assert done.status == 2, done
        assert done.stderr.count("\n") == 1
        assert "No space left on device" in done.stderr
        assert done.stderr.endswith("what was finished stays, run again to go on\n")
        assert {path.name: path.read_bytes() for path in kept.iterdir()} == before
        assert not [path for path in (out / "checkpoints").iterdir() if path.name.startswith(".step")]
        (disk / "ballast").unlink()
        assert train_here(*words, address=ray_address).status == 0
        assert trace(out) == trained.trace
        weights, wanted = (load_file(run / "checkpoints" / "step-000012" / "adapter.safetensors") for run in (out, trained.out))
        assert all((weights[name] == wanted[name]).all() for name in wanted)
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)  # a worker that is just ending may still hold its log
