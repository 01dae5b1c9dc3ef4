"""What the tests of the jobs share: their commands as processes and within this one, small recipes, a finished run, one warm Ray.

A process of its own is for what only it can show: what it prints down to its last library, its status, its end by a signal. The rest runs here.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

import jobs.session  # noqa: F401  # first: it sets what Ray reads when it is imported

# isort: split
import psutil
import pytest
import ray
import ray.data

from synclora.pairs.manifest import read_rows

ROOT = Path(__file__).parents[2]
FAULTS = Path(__file__).parent / "faults"
SMALL = "puppet: {size: 192, seconds: 1.0, pairs: 3}\n"
LEAN = {"include_dashboard": False, "include_log_monitor": False, "no_monitor": True}
"""A head without what no test looks at: two processes less."""
SERIAL = "resources: {actors: 1, prepare_ahead: 1}\n"  # two processes less; never changes a result


class Curated(NamedTuple):
    """A finished run."""

    out: Path
    stdout: str
    stderr: str


def command(*words: object, job: str = "curate") -> list[str]:
    return [sys.executable, f"jobs/{job}.py", *map(str, words)]


def environment(**more: str) -> dict[str, str]:
    """This process's, without any Ray that is already there, and with lines that do not wrap."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    return plain | {"COLUMNS": "200", "RAY_AUTH_MODE": "disabled"} | more


def curate(*words: object, status: int = 0, job: str = "curate", **env: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command(*words, job=job), cwd=ROOT, env=environment(**env), capture_output=True, text=True, timeout=240)
    assert done.returncode == status, done.stdout + done.stderr
    return done


def stopped(
    words: list[object], when: Callable[[], bool], how: signal.Signals, job: str = "curate", **env: str
) -> tuple[int, str, str]:
    """Start a run; send a signal as soon as something is there: to its process group, and SIGKILL to all of Ray's as well."""
    process = subprocess.Popen(
        command(*words, job=job),
        cwd=ROOT,
        env=environment(**env),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore it, and so would ours
    )
    while not when():
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    family = psutil.Process(process.pid).children(recursive=True)
    os.killpg(process.pid, how)
    if how == signal.SIGKILL:
        for one in family:
            with suppress(psutil.NoSuchProcess):
                one.kill()
    out, err = process.communicate(timeout=120)
    psutil.wait_procs(family, timeout=2)  # killed ones may stay as zombies where init does not reap
    return process.returncode, out, err


def rows_of(out: Path) -> dict[str, dict]:
    rows = list(read_rows(out / "manifest.parquet"))
    named = {row["name"]: row for row in rows}
    assert len(named) == len(rows)
    assert len({row["pair_id"] for row in rows}) == len(rows)
    return named


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe whose puppets take a second each."""
    path = tmp_path_factory.mktemp("recipe") / "small.yaml"
    path.write_text(SMALL)
    return path


@pytest.fixture(scope="session")
def serial(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, one pair after the other."""
    path = tmp_path_factory.mktemp("recipe") / "serial.yaml"
    path.write_text(SMALL + SERIAL)
    return path


@pytest.fixture(scope="session")
def puppets(serial: Path, tmp_path_factory: pytest.TempPathFactory) -> Curated:
    """One run of three puppets on a Ray of its own. Not to be written to: take `copied`."""
    out = tmp_path_factory.mktemp("puppets") / "out"
    done = curate("--recipe", serial, "--out", out)
    return Curated(out, done.stdout, done.stderr)


@pytest.fixture
def copied(puppets: Curated, tmp_path: Path) -> Path:
    """The finished run, moved to another place."""
    shutil.copytree(puppets.out, tmp_path / "moved")
    return tmp_path / "moved"


@pytest.fixture(scope="package")
def ray_address() -> Iterator[str]:
    """A warm Ray of two cores: a run on it saves ten seconds."""
    from ray.cluster_utils import Cluster

    kept = {"idle_worker_killing_time_threshold_ms": 60_000, "num_workers_soft_limit": 8}  # a worker's start is a second of CPU
    head = {"num_cpus": 2, "object_store_memory": 200 * 2**20, "memory": 4 * 2**30, "_system_config": kept} | LEAN
    cluster = Cluster(initialize_head=True, head_node_args=head)
    yield cluster.address
    cluster.shutdown()


@pytest.fixture(scope="package")
def driver(ray_address: str) -> Iterator[str]:
    """This process as a driver on the warm Ray, for all tests: its workers stay warm too. They find the faults, by file name."""
    path = os.pathsep.join(filter(None, [str(FAULTS), os.environ.get("PYTHONPATH")]))
    ray.init(address=ray_address, log_to_driver=False, logging_level="CRITICAL", runtime_env={"env_vars": {"PYTHONPATH": path}})
    yield ray_address
    ray.shutdown()


@contextmanager
def joined(address: str) -> Iterator[None]:
    """Whatever job runs in here goes to the Ray that this process is a driver of, and leaves its settings as they were."""
    with pytest.MonkeyPatch.context() as patch, ray.data.DataContext.current(ray.data.DataContext.get_current().copy()):
        patch.setattr(ray, "init", partial(ray.init, ignore_reinit_error=True))
        patch.setenv("RAY_ADDRESS", address)
        yield


def curated(address: str, *words: object) -> Curated:
    """The command within this process, on the warm Ray at `address`; what it said itself. It has to end well."""
    from jobs.curate import main

    said, err = StringIO(), StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(said), redirect_stderr(err), joined(address):
        patch.setenv("COLUMNS", "200")
        assert main([str(word) for word in words]) == 0, err.getvalue()
    return Curated(Path(str(words[words.index("--out") + 1])), said.getvalue(), err.getvalue())


@pytest.fixture
def curate_here(driver: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Curated]:
    """curate_here(words, status): the command within this process, on the warm Ray; what it said, down to the libraries' own lines."""
    from jobs.curate import main

    def run(*words: object, status: int = 0) -> Curated:
        monkeypatch.setenv("COLUMNS", "200")
        capfd.readouterr()
        with joined(driver):
            ended = main([str(word) for word in words])
        out, err = capfd.readouterr()
        assert ended == status, out + err
        return Curated(Path(str(words[words.index("--out") + 1])), out, err)

    return run


class Machines:
    """A cluster in this machine whose head does no work: as many other nodes as a test asks for, each with a CPU and a GPU that is none."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        self._cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "object_store_memory": 100 * 2**20} | LEAN)
        self.nodes: list[Any] = []

    @property
    def address(self) -> str:
        return self._cluster.address

    def have(self, count: int) -> None:
        """Add nodes until there are so many."""
        room = {"num_cpus": 1, "num_gpus": 1, "memory": 2 * 2**30, "object_store_memory": 100 * 2**20}
        while len(self.nodes) < count:
            self.nodes.append(self._cluster.add_node(**room, resources={"drawing": 1, "animating": 1}))

    def workers(self, node: int, word: str) -> list[psutil.Process]:
        """A node's processes of that name."""
        raylet = self.nodes[node].all_processes["raylet"][0].process.pid
        of_all = psutil.process_iter(["ppid", "cmdline"])
        return [one for one in of_all if one.info["ppid"] == raylet and word in " ".join(one.info["cmdline"] or [])]

    def kill(self, node: int) -> None:
        """As if its power went."""
        self._cluster.remove_node(self.nodes.pop(node), allow_graceful=False)

    def stop(self) -> None:
        self._cluster.shutdown()


@pytest.fixture(scope="package")
def machines() -> Iterator[Machines]:
    """One cluster for all that need several machines; whoever kills some leaves fewer."""
    some = Machines()
    yield some
    some.stop()
