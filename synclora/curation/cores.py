"""One core for each worker process of a node, without anyone handing out numbers.

MediaPipe starts as many threads as it sees cores; several such processes on one machine thrash. A worker that claims a core *before* it
imports MediaPipe sees one core only.
"""

import fcntl
import os
import tempfile
from pathlib import Path

_claims: list[int] = []  # open for the life of the process: closing one would release its core


def claim_core() -> int | None:
    """Bind this process, and the children it starts, to a core that no other worker holds; None if all are taken or binding is not to be had."""
    if not hasattr(os, "sched_setaffinity") or _rationed():
        return None
    folder = Path(tempfile.gettempdir()) / f"synclora-cores-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    for core in sorted(os.sched_getaffinity(0)):
        file = os.open(folder / str(core), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            continue
        os.sched_setaffinity(0, {core})
        _claims.append(file)
        return core
    return None


def _rationed() -> bool:
    """Whether a container sees more cores than it may use: then its neighbours would claim the same ones."""
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
    except (OSError, ValueError):
        return False
    return quota != "max" and int(quota) / int(period) < len(os.sched_getaffinity(0))
