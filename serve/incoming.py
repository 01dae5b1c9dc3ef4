"""The folder where a door's uploads arrive. What a door that was killed left in its own, the next one to start removes.

incoming = Incoming(data / "incoming")      # data/incoming/<32 hex digits>/, held by a lock as long as the process lives
"""

import contextlib
import fcntl
import os
import shutil
import time
import uuid
from pathlib import Path

LOCK = "lock"
GRACE_S = 60.0  # a folder so young may be another door's that has not locked it yet


class Incoming:
    """One per door."""

    def __init__(self, root: Path) -> None:
        root.mkdir(parents=True, exist_ok=True, mode=0o700)  # people's faces
        self.folder = root / uuid.uuid4().hex
        self.folder.mkdir(mode=0o700)
        self._lock = os.open(self.folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        sweep(root)

    def close(self) -> None:
        """Remove the folder."""
        if self._lock >= 0:
            shutil.rmtree(self.folder, ignore_errors=True)
            os.close(self._lock)
            self._lock = -1


def sweep(root: Path, grace_s: float = GRACE_S) -> None:
    """Remove the folders that no living door holds."""
    for folder in root.iterdir():
        with contextlib.suppress(OSError):
            if time.time() - folder.stat().st_mtime > grace_s and _left(folder):
                shutil.rmtree(folder, ignore_errors=True)


def _left(folder: Path) -> bool:
    try:
        number = os.open(folder / LOCK, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(number)
    return True
