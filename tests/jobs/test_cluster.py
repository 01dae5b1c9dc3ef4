"""The same job on a cluster of which a machine dies in the middle."""

import json
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from tests.jobs.conftest import ROOT, command, environment, rows_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


def test_a_machine_that_dies_costs_no_pair_and_doubles_none(machines, small, tmp_path):
    machines.have(2)
    out = tmp_path / "out"
    job = subprocess.Popen(
        command("--recipe", small, "--out", out, "--pairs", 5),
        cwd=ROOT,
        env=environment(RAY_ADDRESS=machines.address),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        while len(list((out / "measured").glob("*/*.parquet"))) < 2:
            assert job.poll() is None, job.communicate()
            time.sleep(0.05)
        judging = [node for node in range(2) if machines.workers(node, "Judge")]
        machines.kill(judging[-1])
        stdout, stderr = job.communicate(timeout=300)
    finally:
        job.kill()
    assert (job.returncode, stderr) == (0, "")
    rows = rows_of(out)
    assert len(rows) == 5
    assert "5 = " in stdout
    for row in rows.values():
        assert row["verdict"] == json.loads(row["truth"])["expected"], (row["reason"], row["detail"])
    assert not [
        process for process in psutil.process_iter(["cmdline"]) if str(Path(out)) in " ".join(process.info["cmdline"] or [])
    ]
