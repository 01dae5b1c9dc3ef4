"""The service on a Ray of two nodes in this machine, the head with all but the editors, the other with them; and what faults need."""

import contextlib
import os
import re
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self, TypeVar

import httpx
import psutil
from PIL import Image

from serve.app import build
from serve.client import Client
from serve.jobs import ENDS, Job, JobTable, State
from serve.settings import ServiceSettings
from tests.serve.audit import transitions, watch
from tests.serve.stub import SIDE, video

T = TypeVar("T")

ROOT = Path(__file__).parents[3]
EDITOR = "tests.serve.ray.marked:MarkedEditor"
STEP_S = 0.1
PATIENCE_S = 120.0  # of a machine where others work as well; nothing that is tested takes a tenth of it
APP = "sync-lora"
DEAD_NODES = {"health_check_period_ms": 500, "health_check_failure_threshold": 5, "health_check_timeout_ms": 10_000}
"""A node whose power went is missed after seconds, not after fifteen."""


class Service:
    """Started and stopped at will; its files stay."""

    def __init__(self, data: Path, **settings: Any) -> None:
        fields: dict[str, Any] = {
            "data": data,
            "editor": EDITOR,
            "backbone": f"stub:steps=4,pause_s={STEP_S},marks={data}",
            "min_replicas": 2,
            "max_replicas": 2,
            "lease_s": 2.0,
            "max_queued": 30,
            "idle_s": 5.0,
            "editor_cpus": 2.0,  # more than the head has
        }
        self.settings = ServiceSettings.model_validate(fields | settings)
        data.mkdir(parents=True)
        self.clip, self.picture = data / "clip.mp4", data / "first.png"
        self.clip.write_bytes(video(1, 1))
        Image.new("RGB", (SIDE, SIDE), (90, 120, 200)).save(self.picture)
        self.audit = watched(self.settings.database_url)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.cluster: Any = None
        self.node: Any = None

    def __enter__(self) -> Self:
        self.up()
        return self

    def __exit__(self, *_: object) -> None:
        self.down()

    def up(self) -> None:
        """Start Ray and the service, and wait until it answers."""
        import ray
        from ray import serve
        from ray.cluster_utils import Cluster

        os.environ["PYTHONPATH"] = str(ROOT)  # workers find the stub
        head = {"num_cpus": 1, "object_store_memory": 100 * 2**20, "include_dashboard": False, "_system_config": DEAD_NODES}
        self.cluster = Cluster(initialize_head=True, head_node_args=head)
        self.add_node()
        ray.init(address=self.cluster.address, log_to_driver=False, logging_level="CRITICAL")
        serve.start(proxy_location="HeadOnly", http_options={"port": self.port}, logging_config={"enable_access_log": False})
        self.deploy()

    def add_node(self) -> None:
        """A node for two editors."""
        self.node = self.cluster.add_node(num_cpus=4, object_store_memory=100 * 2**20)

    def kill_node(self) -> None:
        """As if its power went."""
        self.cluster.remove_node(self.node, allow_graceful=False)

    def deploy(self, **changes: Any) -> None:
        """Bring the application to these settings, if it is not there, and wait for it."""
        from ray import serve

        if changes and self.settings.model_copy(update=changes) == self.settings:
            return
        self.settings = self.settings.model_copy(update=changes)
        serve.run(build(self.settings), name=APP, route_prefix="/")
        wait_for(lambda: len(self.processes("Editor")) >= self.settings.min_replicas)

    def down(self) -> None:
        """Stop all of it, unasked: nobody drains."""
        import ray

        for process in self.family():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        with contextlib.suppress(Exception):
            ray.shutdown()
        with contextlib.suppress(Exception):
            self.cluster.shutdown()

    def family(self) -> list[psutil.Process]:
        """All processes of this Ray."""
        return psutil.Process().children(recursive=True)

    def processes(self, word: str) -> list[psutil.Process]:
        """Those of a deployment (Door, Dispatcher, Editor, Captions), or the ServeController, ProxyActor."""
        found = []
        for process in self.family():
            with contextlib.suppress(psutil.NoSuchProcess, IndexError):
                title = process.cmdline()[0]
                if title.startswith("ray::") and word in title.removeprefix("ray::").replace(".", ":").split(":"):
                    found.append(process)
        return found

    def kill(self, word: str, which: int = 0) -> float:
        """SIGKILL to one of them; when."""
        processes = wait_for(lambda: self.processes(word))
        processes[which % len(processes)].send_signal(signal.SIGKILL)
        return time.monotonic()

    @property
    def table(self) -> JobTable:
        """The job table, read beside the service."""
        return JobTable(self.settings.database_url)

    def submit(self, count: int, **fields: Any) -> list[str]:
        """Ask for edits, over HTTP."""
        with Client(self.url, patience_s=PATIENCE_S) as client:
            return [client.submit(self.clip, self.picture, consent=True, seed=seed, **fields) for seed in range(count)]

    def all_end(self, ids: list[str], timeout_s: float = PATIENCE_S) -> dict[str, Job]:
        """Wait for the jobs' ends."""
        table = self.table
        try:
            wait_for(lambda: sum(job.state in ENDS for job in table.many(ids).values()) == len(ids), timeout_s)
            return table.many(ids)
        finally:
            table.close()

    def metrics(self) -> dict[str, float]:
        """What Ray's nodes tell Prometheus, by name; the last of each."""
        import ray

        found: dict[str, float] = {}
        for node in ray.nodes():
            with contextlib.suppress(httpx.TransportError):
                answer = httpx.get(f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics", timeout=10)
                found |= {name.partition("{")[0]: float(value) for name, value in re.findall(r"^(\S+) (\S+)$", answer.text, re.M)}
        return found

    def videos(self, job: str) -> list[str]:
        """Artefacts of a job."""
        folder = Path(self.settings.files_root) / "jobs" / job
        return sorted(path.name for path in folder.iterdir() if path.name.startswith("edit-") or path.name.endswith(".part"))


def ended_once(service: Service, ids: list[str], state: State = State.SUCCEEDED) -> dict[str, Job]:
    """Every job came to this end, once, and there is the one artefact that its row names."""
    jobs = service.all_end(ids)
    assert {job.state for job in jobs.values()} == {state}, [job.error for job in jobs.values()]
    changes = transitions(service.audit)
    for id, job in jobs.items():
        assert [change.after for change in changes[id] if change.after in ENDS] == [state]
        wait_for(lambda id=id, job=job: service.videos(id) == [job.video][: job.video is not None])  # type: ignore[misc]
    return jobs


def wait_for(look: Callable[[], T], timeout_s: float = PATIENCE_S, pause_s: float = 0.05) -> T:
    """What `look` says as soon as it is true."""
    end = time.monotonic() + timeout_s
    while not (seen := look()):
        assert time.monotonic() < end, f"nothing came of it in {timeout_s:g} s"
        time.sleep(pause_s)
    return seen


def free_port() -> int:
    """One that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def watched(database: str) -> Any:
    """The database, with its changes written down."""
    JobTable(database).close()  # makes the schema
    return watch(database)
