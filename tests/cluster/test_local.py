"""The one-machine cluster: its script is sound, and a cluster it starts asks for the token and is seen by this machine alone."""

import json
import os
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
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


def test_script_parses() -> None:
    subprocess.run(["bash", "-n", SCRIPT], check=True, timeout=10)
    assert os.access(SCRIPT, os.X_OK)


def test_help_names_every_setting() -> None:
    done = local("--help", timeout=10)
    assert done.returncode == 0
    text = SCRIPT.read_text()
    for verb in ("start", "stop", "status", "submit", "train", "env"):
        assert f"cluster/local.sh {verb}" in done.stdout
    for setting in ("DIR", "GCS_PORT", "DASHBOARD_PORT", "CLIENT_PORT", "AGENT_PORT"):
        name = f"SYNCLORA_CLUSTER_{setting}" if setting == "DIR" else f"SYNCLORA_{setting}"
        assert name in done.stdout
        assert f"${{{name}:-" in text


def test_unknown_verb_shows_the_help() -> None:
    done = local("restart", timeout=10)
    assert done.returncode == 2
    assert "cluster/local.sh start" in done.stdout


def test_one_line_when_nothing_runs(env: dict[str, str]) -> None:
    assert (local("stop", env=env).stdout, local("status", env=env).returncode) == ("not running\n", 3)
    for verb in ("submit", "train"):
        refused = local(verb, env=env)
        assert refused.returncode == 1
        assert refused.stderr.count("\n") == 1
        assert "cluster/local.sh start" in refused.stderr


def test_one_line_for_a_taken_port(env: dict[str, str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = local("start", env=env | {"SYNCLORA_CLIENT_PORT": port})
    assert done.returncode == 1
    assert done.stderr == f"cluster/local.sh: SYNCLORA_CLIENT_PORT={port}: taken, or no port number; set it to a free port\n"


def test_one_line_for_a_folder_too_deep(env: dict[str, str]) -> None:
    done = local("start", env=env | {"SYNCLORA_CLUSTER_DIR": "/tmp/" + "deep/" * 10})
    assert done.returncode == 1
    assert "choose a shorter one" in done.stderr


def answer(url: str, token: str | None) -> int:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as response:
            return response.status
    except urllib.error.HTTPError as error:
        return error.code


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_start_submit_refuse_stop(env: dict[str, str]) -> None:
    state = Path(env["SYNCLORA_CLUSTER_DIR"])
    dashboard = f"http://127.0.0.1:{env['SYNCLORA_DASHBOARD_PORT']}"
    started = local("start", "--num-cpus", "1", "--object-store-memory", "100000000", env=env)
    try:
        assert started.returncode == 0, started.stderr
        token_file = state / "auth_token"
        assert stat.S_IMODE(token_file.stat().st_mode) == 0o600
        assert stat.S_IMODE(state.stat().st_mode) == 0o700
        assert "already running" in local("start", env=env).stderr
        assert local("status", env=env).returncode == 0

        head = psutil.Process(int((state / "head.pid").read_text()))
        processes = [head, *head.children(recursive=True)]
        listening = [
            (process.pid, connection.laddr)
            for process in processes
            for connection in process.net_connections("inet")
            if connection.status == psutil.CONN_LISTEN
        ]
        ports = {address.port for _, address in listening}
        assert {int(env[f"SYNCLORA_{name}_PORT"]) for name in ("GCS", "DASHBOARD", "CLIENT", "AGENT")} <= ports
        assert {address.ip.removeprefix("::ffff:") for _, address in listening} == {"127.0.0.1"}

        code = "import json, ray; ray.init(log_to_driver=False); print('CPUS', json.dumps(ray.cluster_resources()['CPU']))"
        done = local("submit", "--", "python", "-c", code, env=env)
        assert done.returncode == 0, done.stderr
        (line,) = (line for line in done.stdout.splitlines() if line.startswith("CPUS "))
        assert json.loads(line.removeprefix("CPUS ")) == 1
        assert local("submit", "--", "false", env=env).returncode != 0

        assert answer(f"{dashboard}/api/jobs/", token_file.read_text()) == 200
        assert answer(f"{dashboard}/api/jobs/", None) == 401
        assert answer(f"{dashboard}/api/jobs/", "another") == 403
        agent = f"http://127.0.0.1:{env['SYNCLORA_AGENT_PORT']}/api/job_agent/jobs/"
        assert answer(agent, None) == 401
        submit = ["ray", "job", "submit", "--address", dashboard, "--", "true"]
        without = subprocess.run(submit, env=env | {"RAY_AUTH_MODE": "disabled"}, capture_output=True, text=True, timeout=120)
        assert without.returncode != 0
        assert "Missing authentication token" in without.stderr
    finally:
        stopped = local("stop", env=env)
    assert stopped.stdout == "stopped\n"
    _, alive = psutil.wait_procs(processes, timeout=10)
    assert alive == []
    assert local("status", env=env).returncode == 3
