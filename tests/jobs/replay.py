"""Models that replay: for each scene what a test has written down for it, pictures and videos that are known.

replay = Replay(folder)
replay.write(Stage.PORTRAIT, scene, picture=path)           # or video=(source, edited), or fault="kill"
main(words, replay)                                         # in the place of diffusers' pipelines
replay.calls()                                              # who was asked for what, in order
"""

import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import ray.cloudpickle

from synclora.media.decode import Decoder
from synclora.media.images import read_picture
from synclora.pairs.diffusion.find import Found, ModelError
from synclora.pairs.diffusion.model import Model, Order
from synclora.pairs.diffusion.settings import ModelSettings, Stage
from synclora.pairs.diffusion.store import stage_seed
from synclora.pairs.diffusion.take import Scene

ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])


@dataclass(frozen=True)
class Replay:
    """Gives the models.

    Attributes:
        folder: what was written down, and who was asked.
        room: orders that a call of a portrait model has memory for.
        waits: seconds that a call takes, by stage.
    """

    folder: Path
    room: int = 64
    waits: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def __call__(self, stage: Stage, settings: ModelSettings, found: Found, device: str) -> Model:
        if (self.folder / f"{stage.value}-does-not-load").exists():
            raise ModelError(f"model {found.name}: does not load")
        self._note(stage, "open", device)
        return _Replayed(self, stage, settings)

    def write(self, stage: Stage, scene: Scene, behind: Scene | None = None, **what: Any) -> None:
        """What the stage's model makes of the scene: `picture`, `video` (two paths), or `fault` (kill, nan, raise, wait). It waits only once
        the scene `behind` was made: Ray Data may call an actor out of order."""
        self.folder.mkdir(parents=True, exist_ok=True)
        what |= {"behind": stage_seed(behind.seed, stage)} if behind else {}
        (self.folder / f"{stage.value}-{stage_seed(scene.seed, stage)}.json").write_text(json.dumps(what, default=str))

    def calls(self, what: str = "made") -> list[tuple[str, str]]:
        """Stage and process of every scene that was made, in their order; or of every `open`."""
        return [(stage, process) for _, kind, stage, process in self._lines() if kind == what]

    def times(self) -> dict[str, list[tuple[float, float]]]:
        """By stage, when each call was asked and answered, in seconds since 1970."""
        times: dict[str, list[tuple[float, float]]] = {}
        asked: dict[str, float] = {}
        for when, kind, stage, process in self._lines():
            if kind == "asked":
                asked[process] = when
            elif kind == "answered":
                times.setdefault(stage, []).append((asked[process], when))
        return times

    def _lines(self) -> list[tuple[float, str, str, str]]:
        paths = sorted((self.folder / "calls").glob("*"))
        return [(int(path.name.partition("-")[0]) / 1e9, *path.read_text().split()[:3]) for path in paths]

    def _was_made(self, stage: Stage, seed: int) -> bool:
        notes = [path.read_text() for path in (self.folder / "calls").glob("*")]
        return any(note.startswith(f"made {stage.value} ") and note.endswith(f" {seed}") for note in notes)

    def forget(self) -> None:
        """Of the calls so far."""
        for path in (self.folder / "calls").glob("*"):
            path.unlink()

    def _note(self, stage: Stage, kind: str, more: object) -> None:
        calls = self.folder / "calls"
        calls.mkdir(parents=True, exist_ok=True)
        (calls / f"{time.time_ns()}-{os.getpid()}").write_text(f"{kind} {stage.value} {os.getpid()} {more}")


class _Replayed:
    name, batches = "replay", True

    def __init__(self, replay: Replay, stage: Stage, settings: ModelSettings) -> None:
        self.replay, self.stage, self.settings = replay, stage, settings

    def warm_up(self) -> None:
        pass

    def make(self, orders: Sequence[Order]) -> list[np.ndarray]:
        self.replay._note(self.stage, "asked", len(orders))
        time.sleep(self.replay.waits[list(Stage).index(self.stage)])
        if self.stage is Stage.PORTRAIT and len(orders) > self.replay.room:
            raise RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB")
        made = [self._one(order) for order in orders]
        for order in orders:
            self.replay._note(self.stage, "made", order.seed)
        self.replay._note(self.stage, "answered", len(orders))
        return made

    def _one(self, order: Order) -> np.ndarray:
        what = json.loads((self.replay.folder / f"{self.stage.value}-{order.seed}.json").read_text())
        fault = what.get("fault")
        if fault == "kill":
            os._exit(9)
        if fault == "wait" and self.replay._was_made(self.stage, what["behind"]):
            time.sleep(600)
        if fault == "raise":
            raise ValueError("no such\nprompt")
        if "video" in what:
            with Decoder() as one, Decoder() as other:
                halves = zip(one.frames(Path(what["video"][0])), other.frames(Path(what["video"][1])), strict=True)
                array = np.stack([np.hstack(pair) for pair in halves]).astype(np.float32) / 255
        elif "picture" in what:
            array = read_picture(Path(what["picture"])).astype(np.float32) / 255
        else:
            frames = getattr(self.settings, "frames", None)
            array = np.zeros((*([frames] if frames else []), self.settings.height, self.settings.width, 3), np.float32)
        if fault == "nan":
            array[..., 0, 0, 0] = np.nan
        return array
