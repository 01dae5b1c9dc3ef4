"""How often an input took its worker down: what kills a process cannot be caught, only counted.

OUT/attempts/<key>      begun in this run and not finished
"""

from pathlib import Path

from synclora.errors import MediaError, Reason


class Attempts:
    """Counts starts that never ended. Of earlier runs nothing is held against an input."""

    def __init__(self, folder: Path, run: str, most: int) -> None:
        self._folder, self._run, self._most = folder, run, most

    def begin(self, key: str) -> None:
        """Count one more start.

        Raises:
            MediaError: the input was started as often as allowed, and never finished.
        """
        path = self._folder / key
        try:
            run, count = path.read_text().split()
        except (OSError, ValueError):
            run, count = self._run, "0"
        started = int(count) if run == self._run else 0
        if started >= self._most:
            raise MediaError(Reason.CRASHED, f"ended its worker {started} times")
        self._folder.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{self._run} {started + 1}")

    def end(self, key: str) -> None:
        """The input was finished, or dropped for a reason of its own."""
        (self._folder / key).unlink(missing_ok=True)
