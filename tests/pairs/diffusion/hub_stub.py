"""A hub on this machine: enough of its API for huggingface_hub, on one folder. It counts what it is asked for, and can fail."""

import hashlib
import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(ThreadingHTTPServer):
    """One repository, at one commit.

    Attributes:
        asked: how often each file's content was sent, and the list of all files.
        refuse: status for every request; 0 answers them.
        cut: files whose content ends halfway.
        is_gated: whether it tells of its files, and gives none.
    """

    daemon_threads = True

    def __init__(self, name: str, folder: Path, revisions: tuple[str, ...] = ("main",)) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.name, self.folder, self.revisions = name, folder, (*revisions, COMMIT)
        self.files = sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())
        self.asked: Counter[str] = Counter()
        self.refuse, self.cut, self.is_gated = 0, set[str](), False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def digest(self, file: str) -> str:
        return hashlib.sha256((self.folder / file).read_bytes()).hexdigest()


class _Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Hub

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def log_message(self, *args: Any) -> None:
        pass

    def _answer(self, with_body: bool) -> None:
        hub, path = self.server, urlsplit(self.path).path.strip("/")
        api, files, stored = f"api/models/{hub.name}", f"{hub.name}/resolve/", "stored/"
        if hub.is_gated and path.startswith(files):
            self._send(403, b"{}", {"X-Error-Code": "GatedRepo"})
        elif hub.refuse:
            self._send(hub.refuse, b"{}")
        elif path == api or path.startswith(f"{api}/revision/"):
            self._about(path.removeprefix(api).removeprefix("/revision/") or "main")
        elif path.startswith(f"{api}/tree/"):
            hub.asked["the list"] += 1
            self._send(200, json.dumps([self._entry(file) for file in hub.files]).encode())
        elif path.startswith(files):
            _revision, _, file = path.removeprefix(files).partition("/")
            self._file(file, with_body)
        elif path.startswith(stored):
            self._content(path.removeprefix(stored), with_body)
        else:
            self._send(404, b"{}", {"X-Error-Code": "RepoNotFound"})

    def _about(self, revision: str) -> None:
        hub = self.server
        if revision not in hub.revisions:
            return self._send(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
        files = [{"rfilename": file, "size": (hub.folder / file).stat().st_size} for file in hub.files]
        return self._send(200, json.dumps({"id": hub.name, "modelId": hub.name, "sha": COMMIT, "siblings": files}).encode())

    def _entry(self, file: str) -> dict[str, Any]:
        size, digest = (self.server.folder / file).stat().st_size, self.server.digest(file)
        large = {"lfs": {"oid": digest, "size": size, "pointerSize": 134}} if file.endswith(".safetensors") else {}
        return {"type": "file", "path": file, "size": size, "oid": digest[:40], **large}

    def _file(self, file: str, with_body: bool) -> None:
        """Small files lie here; for weights the hub sends people on to its store."""
        if file not in self.server.files:
            return self._send(404, b"{}", {"X-Error-Code": "EntryNotFound"})
        if not file.endswith(".safetensors"):
            return self._content(file, with_body)
        there = {"Location": f"{self.server.url}/stored/{file}", "X-Linked-Etag": f'"{self.server.digest(file)}"'}
        return self._send(
            302, b"", {**there, "X-Linked-Size": str((self.server.folder / file).stat().st_size), "X-Repo-Commit": COMMIT}
        )

    def _content(self, file: str, with_body: bool) -> None:
        hub, content = self.server, (self.server.folder / file).read_bytes()
        head = {"ETag": f'"{hub.digest(file)}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
        wanted = self.headers.get("Range")
        if with_body and wanted is None:
            hub.asked[file] += 1
        if wanted:
            begin, _, end = wanted.removeprefix("bytes=").partition("-")
            part = content[int(begin) : int(end) + 1 if end else None]
            return self._send(206, part, {**head, "Content-Range": f"bytes {begin}-{int(begin) + len(part) - 1}/{len(content)}"})
        if with_body and file in hub.cut:
            self._send(200, content[: len(content) // 2], head, length=len(content))
            self.close_connection = True
            return None
        return self._send(200, content, head, with_body=with_body)

    def _send(
        self, status: int, body: bytes, head: dict[str, str] | None = None, length: int | None = None, with_body: bool = True
    ) -> None:
        self.send_response(status)
        for name, value in (head or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        if self.command == "GET" and with_body:
            self.wfile.write(body)


@contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    """Answer until the block ends."""
    thread = threading.Thread(target=hub.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.shutdown()
        hub.server_close()
        thread.join()
