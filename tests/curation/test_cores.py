"""Every worker of a machine gets a core of its own, and gives it back by ending."""

import os
import subprocess
import sys

import pytest

CODE = """
import os, sys
from synclora.curation.cores import claim_core
print(claim_core(), len(os.sched_getaffinity(0)), flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity here")
def test_no_two_workers_share_a_core(tmp_path):
    cores = sorted(os.sched_getaffinity(0))
    workers = []
    env = {**os.environ, "TMPDIR": str(tmp_path)}

    def claim():
        workers.append(
            subprocess.Popen([sys.executable, "-c", CODE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)
        )
        return workers[-1].stdout.readline().split()

    try:
        assert [claim() for _ in cores] == [[str(core), "1"] for core in cores]
        assert claim() == ["None", str(len(cores))]
        workers[0].kill()
        workers[0].wait()
        assert claim() == [str(cores[0]), "1"]
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate()
