"""One stage on one worker: what is in the store is taken from there, what is missing is made.

    maker = Maker(Stage.PORTRAIT, settings, found, out, run="…", device="cuda")
    takes = maker.make(takes)                       # the same scenes in the same order, each with one picture more, or dropped

Nothing that a scene does goes beyond its own take. One that runs out of memory, comes back with the wrong size or not as numbers, or makes
the pipeline raise is dropped with the reason. One that ends the process (a call that hangs is ended after `seconds_per_call`) was counted in
OUT/attempts before: if it was in a batch, everything in that batch is made alone from then on, and what ended its worker as often as
`attempts` allows is dropped.
"""

import errno
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from synclora.attempts import Attempts
from synclora.command import one_line
from synclora.deadline import deadline
from synclora.errors import MediaError, Reason, is_out_of_memory
from synclora.media.decode import Picture
from synclora.pairs.diffusion.batches import Array, Batches, Made
from synclora.pairs.diffusion.checks import judged
from synclora.pairs.diffusion.find import Found, ModelError
from synclora.pairs.diffusion.halves import cut
from synclora.pairs.diffusion.model import Model, OpenModel, open_model
from synclora.pairs.diffusion.orders import identity_of, order_of, prompt_of
from synclora.pairs.diffusion.settings import GenerateSettings, Stage, VideoSettings
from synclora.pairs.diffusion.store import MadeStore, stage_seed
from synclora.pairs.diffusion.take import Take


@dataclass(frozen=True)
class _Job:
    """A scene of a call that is not in the store yet: its place in the call, and the id it will have."""

    place: int
    take: Take
    identity: str


class Maker:
    """Holds one model, from `load` or the first scene that needs it on."""

    def __init__(
        self,
        stage: Stage,
        settings: GenerateSettings,
        found: Found,
        out: Path,
        run: str,
        *,
        device: str = "cpu",
        open_model: OpenModel = open_model,
    ) -> None:
        self._stage, self._settings, self._found = stage, settings, found
        self._work = settings.stage(stage)
        self._store = MadeStore(out)
        self._device, self._open = device, open_model
        self._model: Model | None = None
        self._batches = Batches(self._work.pool.batch, stage.value)
        self._alone = Attempts(out / "attempts", run, settings.attempts)
        self._together = Attempts(out / "attempts" / "together", run, 1)

    def load(self) -> None:
        """Open the model and warm it up now; else the first scene that needs it does.

        Raises:
            ModelError: it cannot be loaded, makes another size than it was asked for, or its memory does not suffice at all.
            OSError: the disk is full.
        """
        self._ready()

    def make(self, takes: Sequence[Take]) -> list[Take]:
        """The same scenes, each one stage further. Dropped ones pass, stored ones cost nothing.

        Raises:
            ModelError: the model cannot be loaded, makes another size than it was asked for, or its memory does not suffice at all.
            OSError: the output folder cannot be written (a full disk): the run must stop.
        """
        results, jobs = list(takes), []
        for place, take in enumerate(takes):
            if take.dropped:
                continue
            try:
                identity = identity_of(take, self._stage, self._settings, self._found, self._store)
            except MediaError as error:
                results[place] = take.drop(self._stage, error.reason, error.detail)
                continue
            if self._store.has(self._stage, identity):
                results[place] = self._with(take, identity)
            else:
                jobs.append(_Job(place, take, identity))
        for job, made in self._made(jobs):
            results[job.place] = self._settled(job, made)
        return results

    def _made(self, jobs: Sequence[_Job]) -> Iterator[tuple[_Job, Made]]:
        if not jobs:
            return
        model = self._ready()

        def call(numbers: Sequence[int]) -> Sequence[Array]:
            chosen = [jobs[number] for number in numbers]
            orders = [order_of(job.take, self._stage, self._settings, self._store) for job in chosen]
            with self._counted([job.identity for job in chosen]), deadline(self._settings.seconds_per_call), _fatal():
                return model.make(orders)

        for made in self._batches.run(len(jobs), call):
            yield jobs[made.number], made

    def _ready(self) -> Model:
        """The model, loaded and warm."""
        if self._model:
            return self._model
        where = f"{self._stage.value}: {self._found.name}"
        try:
            model = self._open(self._stage, self._work, self._found, self._device)
            model.warm_up()
        except ModelError:
            raise
        except Exception as error:
            if isinstance(error, OSError) and error.errno == errno.ENOSPC:
                raise
            if is_out_of_memory(error) or (isinstance(error, MediaError) and error.reason is Reason.OUT_OF_MEMORY):
                room = f"no memory for {self._work.width}x{self._work.height} on {os.uname().nodename}"
                raise ModelError(f"{where}: {room}; ask for a smaller size, offload: model, or vae_tiling: true") from None
            raise ModelError(f"{where}: {type(error).__name__}: {one_line(error)}") from error
        if not model.batches:
            self._batches.size = 1
        self._model = model
        return model

    @contextmanager
    def _counted(self, identities: Sequence[str]) -> Iterator[None]:
        """Note what is begun. What a batch began that never ended raises when it is begun in a batch again: it is then made alone."""
        attempts, begun = (self._together if len(identities) > 1 else self._alone), []
        try:
            for identity in identities:
                attempts.begin(f"{self._stage.value}-{identity}")
                begun.append(identity)
            yield
        finally:
            for identity in begun:
                attempts.end(f"{self._stage.value}-{identity}")

    def _settled(self, job: _Job, made: Made) -> Take:
        """The scene with what was made of it in the store, or dropped."""
        share = self._work.pool.gpus or 1.0
        take = replace(job.take, notes=(*job.take.notes, *made.notes), spent_s=job.take.spent_s + made.spent_s * share)
        problem = made.problem
        try:
            if made.array is not None:
                self._keep(job.identity, made.array, self._facts(take, made, share))
                return self._with(take, job.identity)
        except MediaError as error:
            problem = error
        assert problem
        return take.drop(self._stage, problem.reason, problem.detail)

    def _with(self, take: Take, identity: str) -> Take:
        return replace(take, made={**take.made, self._stage.value: identity})

    def _keep(self, identity: str, array: Array, facts: dict[str, Any]) -> None:
        work = self._work
        if not isinstance(work, VideoSettings):
            self._store.put_picture(self._stage, identity, _bytes(array, (work.height, work.width, 3)), facts)
            return
        if array.ndim == 4 and len(array) != work.frames:
            raise MediaError(Reason.LENGTH_MISMATCH, f"the model made {len(array)} frames instead of {work.frames}")
        source, edited = cut(_bytes(array, (work.frames, work.height, work.width, 3)))
        size = {"width": work.width, "height": work.height, "frames": work.frames, "fps": work.fps}
        self._store.put_video(identity, source, edited, work.fps, work.crf, facts | size)

    def _facts(self, take: Take, made: Made, share: float) -> dict[str, Any]:
        """What made.json says."""
        return {
            "model": self._found.name,
            "identity": self._found.identity,
            "class": self._found.pipeline,
            "random": self._found.random,
            "settings": self._work.making(),
            "prompt": prompt_of(take.scene, self._stage),
            "seed": stage_seed(take.scene.seed, self._stage),
            "gpu_s": made.seconds * share,
            "batch": made.batch,
        }


def already(take: Take, settings: GenerateSettings, founds: Mapping[Stage, Found], out: Path) -> Take:
    """How far a scene was made before, by the store alone: no model is loaded, and no picture opened.

    Ends where the next stage's picture or video is missing, or where a check, by what it measured then, drops the scene.
    """
    store = MadeStore(out)
    for stage in Stage:
        try:
            identity = identity_of(take, stage, settings, founds[stage], store)
        except MediaError:
            return take
        if not store.has(stage, identity):
            return take
        take = replace(take, made={**take.made, stage.value: identity})
        portrait, edit = (store.look(one, take.made.get(one.value, "none")) for one in (Stage.PORTRAIT, Stage.EDIT))
        take = judged(take, stage, portrait, edit, settings.checks)
        if take.dropped:
            return take
    return take


def _bytes(array: Array, shape: tuple[int, ...]) -> Picture:
    """0..1 to 0..255, rounded.

    Raises:
        MediaError: PICTURE_SIZE or NOT_FINITE, with the numbers.
    """
    if array.shape != shape:
        sizes = [f"{one[-2]}x{one[-3]}" if len(one) == len(shape) else f"an array {one}" for one in (array.shape, shape)]
        raise MediaError(Reason.PICTURE_SIZE, f"the model made {sizes[0]} instead of {sizes[1]}")
    if not np.isfinite(array.sum(dtype=np.float64)):
        bad = int(array.size - np.isfinite(array).sum())
        raise MediaError(Reason.NOT_FINITE, f"{bad} of {array.size} values are no numbers; another dtype may help")
    return np.asarray(np.rint(np.clip(array, 0, 1) * 255), np.uint8)


@contextmanager
def _fatal() -> Iterator[None]:
    """End this process where CUDA says that it cannot go on: every later call would fail, whatever it is asked for."""
    try:
        yield
    except RuntimeError as error:
        if "CUDA error" in str(error) and not is_out_of_memory(error):
            os._exit(75)
        raise
