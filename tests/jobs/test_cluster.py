"""The same job on a cluster: submitted behind the token, and with a machine that dies in the middle."""

import json
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import psutil
import pytest

from tests.jobs.conftest import ROOT, command, environment, rows_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


@pytest.fixture
def local(free_ports):
    """`cluster/local.sh` with a cluster of its own, started."""
    state = tempfile.mkdtemp(prefix="sl-", dir="/tmp")  # short: a socket's path is limited, pytest's own folders are too deep
    ports = zip(("GCS", "DASHBOARD", "CLIENT", "AGENT"), free_ports(4), strict=True)
    env = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "SYNCLORA_"))}
    env |= {"SYNCLORA_CLUSTER_DIR": state, "COLUMNS": "200"} | {f"SYNCLORA_{name}_PORT": str(port) for name, port in ports}

    def run(*words):
        return subprocess.run(
            [ROOT / "cluster" / "local.sh", *map(str, words)], cwd=ROOT, env=env, capture_output=True, text=True, timeout=300
        )

    started = run("start", "--num-cpus", 2, "--object-store-memory", 200_000_000)
    try:
        assert started.returncode == 0, started.stderr
        yield run
    finally:
        run("stop")
        shutil.rmtree(state, ignore_errors=True)


def test_a_submitted_job_gives_the_same_manifest(local, puppets, small, tmp_path):
    refused = local("submit", "--recipe", small, "--out", "out/relative")
    assert refused.returncode != 0
    (line,) = {
        line for line in (refused.stdout + refused.stderr).splitlines() if line.startswith("curate: ")
    }  # Ray repeats a log's end
    assert line == "curate: --out out/relative: a submitted job runs in a temporary copy; give an absolute path on shared storage"
    assert "Traceback" not in refused.stdout

    copy = tmp_path / "out"
    shutil.copytree(puppets.out / "generated", copy / "generated")
    shutil.copy(puppets.out / "synclora.json", copy)
    done = local("submit", "--recipe", small, "--out", copy)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 = 2 kept + 1 rejected + 0 quarantined" in done.stdout
    assert "150 frames" in done.stdout
    for name in ("manifest.parquet", "metadata.jsonl"):
        assert (copy / name).read_bytes() == (puppets.out / name).read_bytes()


def test_a_machine_that_dies_costs_no_pair_and_doubles_none(small, puppets, tmp_path):
    from ray.cluster_utils import Cluster

    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False, "object_store_memory": 100 * 2**20}
    )
    try:
        nodes = [cluster.add_node(num_cpus=1, object_store_memory=100 * 2**20) for _ in range(2)]
        out = tmp_path / "out"
        shutil.copytree(puppets.out / "generated", out / "generated")  # three of its pairs need not be drawn
        shutil.copy(puppets.out / "synclora.json", out)
        words = ["--recipe", small, "--out", out, "--pairs", 5]
        env = environment(RAY_ADDRESS=cluster.address)
        job = subprocess.Popen(command(*words), cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        while len(list((out / "measured").glob("*/*.parquet"))) < 2:
            assert job.poll() is None, job.communicate()
            time.sleep(0.05)
        cluster.remove_node(nodes[1], allow_graceful=False)
        stdout, stderr = job.communicate(timeout=300)
    finally:
        cluster.shutdown()
    assert (job.returncode, stderr) == (0, "")
    rows = rows_of(out)
    assert len(rows) == 5
    assert "5 = " in stdout
    for row in rows.values():
        assert row["verdict"] == json.loads(row["truth"])["expected"], (row["reason"], row["detail"])
    assert not [
        process for process in psutil.process_iter(["cmdline"]) if str(Path(out)) in " ".join(process.info["cmdline"] or [])
    ]
