"""Bearer keys: who may ask for edits, and how many.

    python -m serve.keys add anna --file keys.yaml --per-minute 10     # prints the key, once
    python -m serve.keys list --file keys.yaml
    python -m serve.keys remove anna --file keys.yaml

The file holds a hash of each key, never the key. A change is seen by a running service at the next request. Limits are counted in the job
table (`JobTable.accept`), so that they hold however many doors there are.
"""

import argparse
import hashlib
import hmac
import os
import re
import secrets
import sys
import threading
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import Field

from synclora.errors import SyncLoraError
from synclora.settings import RecipeError, Settings

_BEARER = re.compile(r"bearer +([\x21-\x7e]{1,512}) *", re.IGNORECASE)


class Key(Settings):
    """One key, as the file has it."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,99}$")
    """Owner of its jobs. Two keys of one name are one owner: a new one beside the old while it is replaced."""
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    max_queued: Annotated[int, Field(ge=1)] | None = None
    """Edits of this owner that may wait; None: as many as the queue takes."""
    per_minute: Annotated[int, Field(ge=1)] | None = None
    """Edits of this owner that are accepted within any minute; None: any number."""
    adapters: tuple[str, ...] | None = None
    """Adapters that may be asked for by name; None: all."""

    def may_use(self, adapter: str) -> bool:
        """Is this adapter allowed?"""
        return self.adapters is None or adapter in self.adapters


class KeyFile(Settings):
    """The YAML file."""

    keys: tuple[Key, ...] = ()


class KeyRing:
    """The keys of one file. It is read again when it has changed; a change for the worse leaves the keys as they were."""

    def __init__(self, path: Path) -> None:
        """Read the file.

        Raises:
            RecipeError: it is missing, or an entry breaks its rule.
        """
        self._path = path
        self._lock = threading.Lock()
        self._seen = _stamp(path)
        self._keys = KeyFile.from_yaml(path).keys

    def __len__(self) -> int:
        return len(self._keys)

    def owner(self, header: str | None) -> Key | None:
        """The key that an Authorization header carries; None: it carries none that is known. Takes as long whichever key it is."""
        self._refresh()
        match = _BEARER.fullmatch(header or "")
        digest = _hash(match.group(1) if match else "")
        found = None
        for key in self._keys:
            if hmac.compare_digest(key.sha256, digest):
                found = key
        return found if match else None

    def _refresh(self) -> None:
        with self._lock:
            stamp = _stamp(self._path)
            if stamp is None or stamp == self._seen:
                return
            self._seen = stamp
            try:
                self._keys = KeyFile.from_yaml(self._path).keys
            except RecipeError as error:
                print(f"keys stay as they were: {error}", file=sys.stderr)


def new_key(
    name: str, *, max_queued: int | None = None, per_minute: int | None = None, adapters: tuple[str, ...] | None = None
) -> tuple[str, Key]:
    """A new secret and its entry for the file."""
    secret = f"slk_{secrets.token_urlsafe(32)}"  # 256 random bits need no slow hash
    values = {"name": name, "sha256": _hash(secret), "max_queued": max_queued, "per_minute": per_minute, "adapters": adapters}
    return secret, Key.from_values(values, f"of key {name!r}")


def write_keys(path: Path, keys: tuple[Key, ...]) -> None:
    """Replace the file: whole, and readable by its owner alone."""
    text = yaml.safe_dump({"keys": [key.model_dump(mode="json", exclude_none=True) for key in keys]}, sort_keys=False)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "w", encoding="utf-8") as file:
            file.write(f"# bearer keys, as hashes; `python -m serve.keys` changes them\n{text}")
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def main(arguments: list[str] | None = None) -> int:
    """The command; its exit status."""
    asked = _parser().parse_args(arguments)
    try:
        keys = KeyFile.from_yaml(asked.file).keys if asked.file.exists() else ()
        if asked.do == "add":
            secret, key = new_key(
                asked.name,
                max_queued=asked.max_queued,
                per_minute=asked.per_minute,
                adapters=tuple(asked.adapter) if asked.adapter else None,
            )
            write_keys(asked.file, (*keys, key))
            print(secret)
        elif asked.do == "remove":
            left = tuple(key for key in keys if key.name != asked.name)
            if len(left) == len(keys):
                raise SyncLoraError(f"key {asked.name!r}: not in {asked.file}; `list` shows the names")
            write_keys(asked.file, left)
        else:
            for key in keys:
                limits = key.model_dump(mode="json", exclude_none=True, exclude={"name", "sha256"})
                print(key.name, key.sha256[:8], *(f"{name}={value}" for name, value in limits.items()))
    except (SyncLoraError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m serve.keys", description="Make, list and remove bearer keys.")
    commands = parser.add_subparsers(dest="do", required=True)
    for name, help in (
        ("add", "make a key and print it, once"),
        ("list", "show names and limits"),
        ("remove", "take a name's keys away"),
    ):
        command = commands.add_parser(name, help=help)
        command.add_argument("--file", type=Path, default=Path("keys.yaml"), help="default: keys.yaml")
        if name != "list":
            command.add_argument("name")
        if name == "add":
            command.add_argument("--max-queued", type=int, help="edits of this owner that may wait")
            command.add_argument("--per-minute", type=int, help="edits accepted within any minute")
            command.add_argument("--adapter", action="append", help="one that may be used (again for more); default: all")
    return parser


if __name__ == "__main__":
    sys.exit(main())
