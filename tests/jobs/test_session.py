"""Room for training workers: a machine alone that has too little says so, a cluster is waited for, and nothing stays taken."""

import subprocess
import sys

import psutil
import pytest

from tests.jobs.conftest import ROOT, Machines, environment

pytestmark = [pytest.mark.slow, pytest.mark.timeout(200)]

JOB = """
import sys, time
from jobs import session
from jobs.session import await_room, connect, finish
import ray

session.PATIENCE_S = 2

def work(console):
    connect(console)
    await_room(int(sys.argv[1]), {"CPU": 0.5}, console)
    while ray.available_resources().get("CPU", 0) < int(sys.argv[1]) / 2:
        time.sleep(0.1)
    console.print("all free again")

sys.exit(finish("job", work))
"""


def asking(workers: int, **env: str) -> subprocess.Popen[str]:
    words = [sys.executable, "-u", "-c", JOB, str(workers)]
    return subprocess.Popen(words, cwd=ROOT, env=environment(**env), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_machine_alone_says_what_it_lacks() -> None:
    cpus = psutil.cpu_count()
    out, err = asking(2 * cpus + 1).communicate(timeout=120)
    told = f"{2 * cpus + 1} workers need {cpus + 0.5} CPU at once, there are {cpus} CPU in all; fewer workers, or a cluster"
    assert (out, err) == ("", f"job: {told} (cluster/README.md)\n")


def test_a_cluster_is_waited_for_and_left_free(machines: Machines) -> None:
    have = len(machines.nodes)
    job = asking(2 * have + 2, RAY_ADDRESS=machines.address)
    try:
        line = job.stdout.readline()
        told = f"{2 * have + 2} workers need {have + 1} CPU at once, there are {have} CPU in all"
        assert line == f"{told}: waiting for machines\n"
        machines.have(have + 1)
        out, err = job.communicate(timeout=120)
    finally:
        job.kill()
    assert (job.returncode, err) == (0, "")
    assert out.startswith("all free again\n")
