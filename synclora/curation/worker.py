"""The worker: one pair in, one manifest row out. Built once per process; holds the decoder and MediaPipe's graphs.

worker = PairWorker(recipe, out, run="…")
result = worker.judge(pair)
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from synclora.attempts import Attempts
from synclora.curation.cores import claim_core
from synclora.curation.recipe import CurateRecipe
from synclora.curation.store import MeasurementStore, pair_id, unread_pair_id, view_id
from synclora.deadline import deadline
from synclora.errors import MediaError, Reason
from synclora.media.decode import Decoder, Picture
from synclora.motion.landmarks import Landmarker
from synclora.motion.measure import Measurement, measure
from synclora.motion.verdict import Judgement, Verdict, judge
from synclora.pairs.base import Pair, View
from synclora.pairs.manifest import Row, manifest_row


@dataclass(frozen=True)
class Result:
    """What a worker returns.

    Attributes:
        row: the manifest row.
        frames: frames measured now (0 if all was in the store).
        begun: when measuring them began, seconds since 1970.
        ended: when it ended, decoding included.
        ceiling: frames per second of MediaPipe alone in this worker, over all its videos: what would remain if decoding and waiting were free.
            Counted in the process's own seconds of CPU, since its decoder shares the core. 0 until it is known.
    """

    row: Row
    frames: int
    begun: float
    ended: float
    ceiling: float


class PairWorker:
    """Measures and judges pairs; nothing that a pair does to it goes beyond its own row."""

    def __init__(self, recipe: CurateRecipe, out: Path, run: str) -> None:
        if recipe.resources.pin:
            claim_core()
        self._recipe = recipe
        self._out = out
        self._fingerprint = recipe.result_fingerprint()
        self._store = MeasurementStore(out / "measured")
        self._attempts = Attempts(out / "attempts", run, recipe.faults.attempts)
        self._decoder = Decoder(recipe.media)
        self._landmarker: Landmarker | None = None
        self._frames, self._begun, self._ended = 0, 0.0, 0.0
        self._tracked, self._tracking = 0, 0.0

    def judge(self, pair: Pair) -> Result:
        """Judge one pair, from the store where it can.

        Raises:
            OSError: the output folder cannot be written (a full disk): the run must stop.
        """
        self._frames = 0
        row = self._row(pair)
        ceiling = self._tracked / self._tracking if self._tracked else 0.0
        return Result(row, self._frames, self._begun, self._ended, ceiling)

    def _row(self, pair: Pair) -> Row:
        named = replace(pair, source=self._named(pair.source), edited=self._named(pair.edited))
        identity = unread_pair_id(named)
        try:
            if pair.problem:
                raise MediaError(pair.problem, pair.detail)
            ids = self._view_id(pair.source), self._view_id(pair.edited)
            identity = pair_id(*ids)
            halves = self._both(pair, ids, unread_pair_id(named))
            judgement = judge(*halves, self._recipe.verdict)
        except MediaError as error:
            lost = Judgement.unmeasured(Verdict.REJECTED if pair.rejected else Verdict.QUARANTINED, error.reason, error.detail)
            return manifest_row(identity, named, lost, None, self._fingerprint)
        return manifest_row(identity, named, judgement, halves, self._fingerprint)

    def _named(self, view: View) -> View:
        """What lies in the output folder is named by its place there: the folder may move, and two runs' manifests are alike."""
        path = Path(view.path)
        return replace(view, path=path.relative_to(self._out).as_posix()) if path.is_relative_to(self._out) else view

    def _both(self, pair: Pair, ids: tuple[str, str], attempt: str) -> tuple[Measurement, Measurement]:
        known = self._store.get(ids[0]), self._store.get(ids[1])
        if known[0] and known[1]:
            return known[0], known[1]
        import scipy.signal  # noqa: F401  # which measuring needs: neither its seconds nor the landmarker's are the pair's

        self._landmarker = self._landmarker or Landmarker(self._recipe.landmarks)
        self._attempts.begin(attempt)  # by name: two rows of one content may be in work at once
        try:
            with deadline(self._recipe.faults.seconds_per_pair):
                return known[0] or self._measure(pair.source, ids[0]), known[1] or self._measure(pair.edited, ids[1])
        except (MediaError, OSError):
            raise
        except Exception as error:  # a surprise is the pair's failure too: the next pair gets new graphs
            self._landmarker = None
            raise MediaError(Reason.CRASHED, f"{type(error).__name__}: {' '.join(str(error).split())}") from error
        finally:
            self._attempts.end(attempt)

    def _view_id(self, view: View) -> str:
        return view_id(view, self._recipe.measuring(), self._recipe.media.max_bytes)

    def _measure(self, view: View, key: str) -> Measurement:
        landmarker = self._landmarker
        assert landmarker
        begun, worked = time.time(), time.process_time()
        frames = self._decoder.frames(view)
        info, pictures = frames.info, _Timed(frames)
        width = info.width if view.half == "whole" else info.width // 2
        measurement = measure(landmarker, pictures, float(info.fps), size=(width, info.height), expected=info.frames)
        self._tracked += measurement.frames
        self._tracking += time.process_time() - worked - pictures.reading
        self._store.put(key, measurement)
        self._begun = self._begun if self._frames else begun
        self._frames, self._ended = self._frames + measurement.frames, time.time()
        return measurement


class _Timed(Iterator[Picture]):
    """Frames as they come, and what reading them cost this process in seconds of CPU."""

    def __init__(self, frames: Iterator[Picture]) -> None:
        self._frames = frames
        self.reading = 0.0

    def __next__(self) -> Picture:
        before = time.process_time()
        try:
            return next(self._frames)
        finally:
            self.reading += time.process_time() - before
