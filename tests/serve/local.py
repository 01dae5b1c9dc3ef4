"""The service on this machine without Ray: the real application under uvicorn, the real table and store, and a thread that works off the queue.

with Local(tmp_path) as service:
    service.work()                              # else jobs stay queued
    http.get(service.url + "/healthz")
"""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import httpx
import numpy as np
import uvicorn
from PIL import Image
from safetensors.numpy import save_file

from serve.api import Door, create_api
from serve.files import FileStore
from serve.jobs import JobTable
from serve.keys import KeyRing, new_key, write_keys
from serve.settings import ServiceSettings
from serve.worker import run_job
from synclora.edit.library import AdapterLibrary
from tests.serve.stub import StubEditor, video

http = httpx.Client(timeout=30, verify=False, limits=httpx.Limits(max_connections=None, max_keepalive_connections=10))
"""One for all tests: making a client reads the system's certificates, 30 ms."""


class Local:
    """One door and, if asked, one worker."""

    def __init__(
        self, folder: Path, ring: KeyRing | None = None, wake: Callable[[], None] | None = None, **settings: Any
    ) -> None:
        defaults: dict[str, Any] = {"data": folder / "data", "backbone": "stub", "poll_s": 0.05, "lease_s": 5.0}
        self.settings = ServiceSettings(**(defaults | settings))
        self.table, self.files = JobTable(self.settings.database_url), FileStore(self.settings.files_root)
        self.woken = threading.Event()
        library = AdapterLibrary(self.settings.adapters_folder)
        door = Door(self.settings, self.table, self.files, library, ring=ring, wake=wake or self.woken.set)
        self.app = create_api(door)
        self.socket = socket.socket()
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._server = uvicorn.Server(uvicorn.Config(self.app, log_level="error", timeout_graceful_shutdown=1))
        self._threads = [threading.Thread(target=self._server.run, kwargs={"sockets": [self.socket]}, daemon=True)]
        self._stop = threading.Event()
        self.scratch = folder / "worker"

    def __enter__(self) -> Self:
        self._threads[0].start()
        until(lambda: self._server.started)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._server.should_exit = True
        for thread in self._threads:
            thread.join(20)
        self.socket.close()
        self.table.close()

    @property
    def watch(self) -> Any:
        return self.app.state.desk.watch

    def work(self, words: str = "stub:steps=3,pause_s=0.01") -> None:
        """Begin to work off the queue."""
        self._threads.append(threading.Thread(target=self._work, args=(StubEditor(words),), daemon=True))
        self._threads[-1].start()

    def leftovers(self) -> list[Path]:
        """What uploads have left where they arrive."""
        return [path for path in (self.settings.data / "incoming").glob("*/*") if path.name != "lock"]

    def stored(self) -> list[str]:
        """Every file of the store, and every folder."""
        root = Path(self.settings.files_root)
        return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.name != "jobs")

    def _work(self, editor: StubEditor) -> None:
        while not self._stop.is_set():
            for one in self.table.waiting(1):
                run_job(self.table, self.files, editor, one.id, "w", self.settings, self._stop.is_set, self.scratch)
            self._stop.wait(0.02)


class Cut:
    """A way to a service that breaks: connection k is reset after `cuts[k]` bytes of answers; the later ones hold."""

    def __init__(self, port: int, cuts: list[int]) -> None:
        self.cuts, self.made, self._to = cuts, 0, port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            left = self.cuts[self.made] if self.made < len(self.cuts) else 1 << 60
            self.made += 1
            try:
                far = socket.create_connection(("127.0.0.1", self._to))
            except OSError:
                near.close()
                continue
            threading.Thread(target=self._pass, args=(near, far, 1 << 60), daemon=True).start()
            threading.Thread(target=self._pass, args=(far, near, left), daemon=True).start()

    @staticmethod
    def _pass(source: socket.socket, sink: socket.socket, left: int) -> None:
        with contextlib.suppress(OSError):
            while left > 0 and (data := source.recv(min(65536, left))):
                sink.sendall(data)
                left -= len(data)
        for one in (source, sink):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


def until(true: Callable[[], Any], seconds: float = 15.0) -> None:
    """Wait for it."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.01)


class Form:
    """A good request's files, made once."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.source, self.first = folder / "clip.mp4", folder / "first.png"
        self.source.write_bytes(video(0, 1))
        Image.fromarray(np.full((64, 64, 3), 90, np.uint8)).save(self.first)

    def files(self) -> dict[str, tuple[str, bytes]]:
        return {"source": ("clip.mp4", self.source.read_bytes()), "first_frame": ("first.png", self.first.read_bytes())}

    def post(self, service: Local, *, headers: dict[str, str] | None = None, files: Any = None, **fields: str) -> httpx.Response:
        """Send it, with other files or further fields; an empty consent is left out."""
        data = {"consent": "true", **fields}
        return http.post(
            f"{service.url}/v1/edits",
            data={name: value for name, value in data.items() if (name, value) != ("consent", "")},
            files={**self.files(), **(files or {})},
            headers=headers,
            timeout=30,
        )


def write_adapter(folder: Path, name: str, rank: int = 4) -> None:
    """A small LoRA file of the library's form."""
    folder.mkdir(parents=True, exist_ok=True)
    layer = "transformer.transformer_blocks.0.attn1.to_q"
    weights = {
        f"{layer}.lora_A.weight": np.zeros((rank, 32), np.float32),
        f"{layer}.lora_B.weight": np.zeros((32, rank), np.float32),
    }
    save_file(weights, folder / f"{name}.safetensors")


def ring_of(folder: Path, **names: dict[str, Any]) -> tuple[KeyRing, dict[str, dict[str, str]]]:
    """A ring of some keys, and each one's header."""
    made = {name: new_key(name, **limits) for name, limits in names.items()}
    write_keys(folder / "keys.yaml", tuple(key for _, key in made.values()))
    return KeyRing(folder / "keys.yaml"), {name: {"authorization": f"Bearer {secret}"} for name, (secret, _) in made.items()}


def events(url: str, headers: dict[str, str] | None = None) -> Iterator[tuple[str, str, str]]:
    """Name, id and data of each event of a stream; comments come as name `:`."""
    with contextlib.ExitStack() as stack:
        answer = stack.enter_context(http.stream("GET", url, headers=headers, timeout=20))
        assert answer.status_code == 200, answer.read()
        assert answer.headers["content-type"].startswith("text/event-stream")
        event: dict[str, str] = {}
        for line in answer.iter_lines():
            if line.startswith(":"):
                yield ":", "", line[1:].strip()
            elif line:
                name, _, value = line.partition(": ")
                event[name] = value
            elif "data" in event:
                yield event["event"], event["id"], event["data"]
                event = {}
            else:
                event = {}
