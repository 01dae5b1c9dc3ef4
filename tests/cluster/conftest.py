"""What the tests of `cluster/local.sh` share: the script, an environment for a cluster of its own, and one that runs."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "cluster" / "local.sh"


def local(*words: str, env: dict[str, str] | None = None, timeout: float = 180) -> subprocess.CompletedProcess[str]:
    return subprocess.run([SCRIPT, *words], cwd=ROOT, env=env, capture_output=True, text=True, timeout=timeout)


def free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def clean_env(state: str) -> dict[str, str]:
    """This process's environment without any Ray or cluster setting, and with a cluster of its own."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "SYNCLORA_"))}
    env["PATH"] = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))  # the environment may not be activated
    ports = zip(("GCS", "DASHBOARD", "CLIENT", "AGENT"), free_ports(4), strict=True)
    return env | {"SYNCLORA_CLUSTER_DIR": state} | {f"SYNCLORA_{name}_PORT": str(port) for name, port in ports}


@pytest.fixture
def env() -> Iterator[dict[str, str]]:
    state = tempfile.mkdtemp(prefix="sl-", dir="/tmp")  # short: a socket's path is limited, pytest's own folders are too deep
    yield clean_env(state)
    shutil.rmtree(state, ignore_errors=True)


def started_by(head: psutil.Process) -> list[psutil.Process]:
    return [head, *head.children(recursive=True)]


@pytest.fixture(scope="package")
def running() -> Iterator[dict[str, str]]:
    """A cluster of two CPUs, and the environment to reach it. When it is stopped, nothing of it is left."""
    state = Path(tempfile.mkdtemp(prefix="sl-", dir="/tmp"))
    env = clean_env(str(state)) | {"COLUMNS": "200"}
    started = local("start", "--num-cpus", "2", "--object-store-memory", "200000000", env=env)
    processes: list[psutil.Process] = []
    try:
        assert started.returncode == 0, started.stderr
        processes = started_by(psutil.Process(int((state / "head.pid").read_text())))
        yield env
    finally:
        stopped = local("stop", env=env)
        assert stopped.stdout == "stopped\n"
        _, alive = psutil.wait_procs(processes, timeout=10)
        assert alive == []
        assert local("status", env=env).returncode == 3
        shutil.rmtree(state, ignore_errors=True)
