"""The one-machine cluster: its script is sound, and a cluster it starts asks for the token and is seen by this machine alone."""

import os
import socket
import stat
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import psutil
import pytest

from tests.cluster.conftest import SCRIPT, local, started_by


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
@pytest.mark.timeout(300)
def test_started_for_this_user_and_this_machine_alone(running: dict[str, str]) -> None:
    state = Path(running["SYNCLORA_CLUSTER_DIR"])
    assert stat.S_IMODE((state / "auth_token").stat().st_mode) == 0o600
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    assert "already running" in local("start", env=running).stderr
    assert local("status", env=running).returncode == 0
    listening = [
        (process.pid, connection.laddr)
        for process in started_by(psutil.Process(int((state / "head.pid").read_text())))
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    ports = {address.port for _, address in listening}
    assert {int(running[f"SYNCLORA_{name}_PORT"]) for name in ("GCS", "DASHBOARD", "CLIENT", "AGENT")} <= ports
    assert {address.ip.removeprefix("::ffff:") for _, address in listening} == {"127.0.0.1"}


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_without_the_token_it_refuses(running: dict[str, str]) -> None:
    dashboard = f"http://127.0.0.1:{running['SYNCLORA_DASHBOARD_PORT']}"
    assert answer(f"{dashboard}/api/jobs/", (Path(running["SYNCLORA_CLUSTER_DIR"]) / "auth_token").read_text()) == 200
    assert answer(f"{dashboard}/api/jobs/", None) == 401
    assert answer(f"{dashboard}/api/jobs/", "another") == 403
    agent = f"http://127.0.0.1:{running['SYNCLORA_AGENT_PORT']}/api/job_agent/jobs/"
    assert answer(agent, None) == 401
    submit = ["ray", "job", "submit", "--address", dashboard, "--", "true"]
    without = subprocess.run(submit, env=running | {"RAY_AUTH_MODE": "disabled"}, capture_output=True, text=True, timeout=120)
    assert without.returncode != 0
    assert "Missing authentication token" in without.stderr
