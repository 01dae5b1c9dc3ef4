"""Videos measured once per session, and a place for figures."""

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from synclora.media.decode import Decoder
from synclora.motion.measure import Measurement, measure
from tests.benchmarks.twins import EDITS

Measure = Callable[..., Measurement]


@pytest.fixture(scope="session")
def measured(landmarker) -> Iterator[Measure]:
    """measured(path, edit=None): one video, or its photometric twin."""
    decoder = Decoder()

    @cache
    def one(path: Path, edit: str | None = None) -> Measurement:
        frames = decoder.frames(path)
        pictures = list(frames)
        pictures = EDITS[edit](pictures) if edit else pictures
        return measure(landmarker, pictures, float(frames.info.fps), size=pictures[0].shape[1::-1], expected=len(pictures))

    yield one
    decoder.close()


@pytest.fixture
def figure(capsys) -> Callable[[str], None]:
    """figure("…"): a line for the README's table."""

    def show(line: str) -> None:
        with capsys.disabled():
            print(f"\n  {line}", end="", flush=True)

    return show
