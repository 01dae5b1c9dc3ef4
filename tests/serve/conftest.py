"""Job tables on both databases. PostgreSQL is a real server in a temporary folder, started when the first test asks for it."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from serve.files import FileStore
from serve.jobs import JobTable, NewJob, make_id


class Postgres:
    """A PostgreSQL server of one's own, as another user when we are root, which it refuses to run as."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._bin = _binaries()
        self._user = None if os.geteuid() else ("postgres" if _exists("postgres") else "nobody")
        folder.mkdir(parents=True)
        if self._user is not None:
            shutil.chown(folder, self._user)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None
        # fsync off: these tests end processes, not machines
        self._do("initdb", "-D", str(folder / "data"), "-U", "tester", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C")

    def start(self) -> None:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            "fsync": "off",
            "max_connections": "300",
            "shared_buffers": "32MB",
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with (self.folder.parent / f"{self.folder.name}.log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(self._bin / "postgres"), "-D", str(self.folder / "data"), *options],
                stdout=log,
                stderr=log,
                user=self._user,
                cwd="/",
            )
        give_up = time.monotonic() + 30
        ready = [str(self._bin / "pg_isready"), "-h", "127.0.0.1", "-p", str(self.port), "-q"]
        while subprocess.run(ready, check=False, cwd="/").returncode:
            assert self._process.poll() is None, "PostgreSQL ended; its log is beside its folder"
            assert time.monotonic() < give_up, "PostgreSQL does not answer"
            time.sleep(0.05)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """SIGINT closes all connections and ends; SIGQUIT ends as a crash does."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(30)
            self._process = None

    def database(self) -> str:
        """URL of a new, empty database."""
        name = f"jobs_{uuid.uuid4().hex[:12]}"
        self._do("createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", "tester", name)
        return f"postgresql+psycopg://tester@127.0.0.1:{self.port}/{name}"

    def _do(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [str(self._bin / program), *arguments], capture_output=True, text=True, user=self._user, cwd="/", check=False
        )
        assert done.returncode == 0, done.stderr


def _exists(user: str) -> bool:
    import pwd

    try:
        pwd.getpwnam(user)
    except KeyError:
        return False
    return True


def _binaries() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    on_path = shutil.which("postgres")
    if not found and on_path is None:
        pytest.skip("no PostgreSQL server here (Debian: apt-get install postgresql)")
    return found[-1].parent if found else Path(str(on_path)).resolve().parent


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """One server for the session. A test may stop it, and starts it again."""
    folder = Path(
        tempfile.mkdtemp(prefix="synclora-postgres-")
    )  # pytest's own folders are closed to the user that the server runs as
    folder.chmod(0o755)
    try:
        server = Postgres(folder / "server")
        server.start()
        yield server
        server.stop(signal.SIGQUIT)  # nothing in it is needed any more
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of an empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'jobs.sqlite'}"
    return request.getfixturevalue("postgres").database()


@pytest.fixture
def table(database: str) -> Iterator[JobTable]:
    one = JobTable(database)
    yield one
    one.close()


@pytest.fixture
def files(tmp_path: Path) -> FileStore:
    return FileStore(tmp_path / "files")


def new_job(
    owner: str = "anna",
    key: str | None = None,
    digest: str = "d",
    adapter: str | None = None,
    deadline_s: float = 600,
    **request: object,
) -> NewJob:
    """A job to be accepted."""
    return NewJob(
        make_id(), owner, key, digest, {"adapter": adapter, "seed": 1, "consent": True, **request}, {"frames": 9}, deadline_s
    )


@pytest.fixture
def accept(table: JobTable) -> Callable[..., str]:
    """Accept a job and return its id."""
    return lambda **values: table.accept(new_job(**values), max_queued=10_000)[0].id


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real disk of a megabyte."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("no right to mount a small disk")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def fill(disk: Path, free_bytes: int) -> Path:
    """Take a disk's room but for so much; the file that takes it."""
    filler = disk / "filler"
    filler.write_bytes(b"x" * (shutil.disk_usage(disk).free - free_bytes))
    return filler
