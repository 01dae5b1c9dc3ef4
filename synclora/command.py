"""What the command lines of all jobs share."""

import argparse
import os
from pathlib import Path
from typing import NoReturn

from synclora.errors import SyncLoraError
from synclora.outdir import OutputError


class Parser(argparse.ArgumentParser):
    """argparse that says what it has against a command line on one line."""

    def error(self, message: str) -> NoReturn:
        """Raise it.

        Raises:
            SyncLoraError: always.
        """
        raise SyncLoraError(f"{message}; see --help")


def absolute(path: Path, option: str) -> Path:
    """A path of the command line as an absolute one.

    Raises:
        OutputError: a relative path in a submitted job, which would end inside Ray's copy of the working directory.
    """
    if not path.is_absolute() and "_ray_pkg_" in str(Path.cwd()):
        raise OutputError(f"{option} {path}: a submitted job runs in a temporary copy; give an absolute path on shared storage")
    return path.absolute()


def one_line(error: BaseException) -> str:
    """An error without its line breaks; of the system's errors, what and where."""
    if isinstance(error, OSError) and error.errno:  # Arrow's own wording hides what is wrong behind what it did
        return os.strerror(error.errno) + (f": {error.filename}" if error.filename else "")
    return " ".join(str(error).split()) or type(error).__name__
