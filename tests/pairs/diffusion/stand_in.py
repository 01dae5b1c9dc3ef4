"""A model without weights: answers with what it is told to, counts its calls, and fails in every way that a pipeline does."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synclora.media.decode import Picture
from synclora.pairs.diffusion.find import Found
from synclora.pairs.diffusion.model import Order
from synclora.pairs.diffusion.settings import GenerateSettings, ModelSettings, Stage, VideoSettings
from synclora.pairs.diffusion.take import Scene, Take

KILL = "kill"
"""As an answer: the process ends in the middle of the call."""
Answer = NDArray[np.float32] | Exception | str


def drawn(shape: tuple[int, ...], seed: int) -> NDArray[np.float32]:
    """Any picture or video, the same for the same seed."""
    return np.random.default_rng(seed).random(shape, np.float32)


@dataclass
class StandIn:
    """Draws by seed, unless it has an answer for the prompt.

    Attributes:
        answers: by prompt.
        memory: orders that fit into one call.
        calls: prompts of every call so far.
        orders: every order of calls that succeeded.
        opened: how often it was loaded.
        warm: what warming up raises.
        batches: whether several orders go into one call.
    """

    answers: dict[str, Answer] = field(default_factory=dict)
    memory: int = 64
    calls: list[list[str]] = field(default_factory=list)
    orders: list[Order] = field(default_factory=list)
    opened: int = 0
    warm: Exception | None = None
    batches: bool = True
    name: str = "stand-in"
    during: Callable[[], None] = lambda: None
    shape: tuple[int, ...] = ()

    def open(self, stage: Stage, settings: ModelSettings, found: Found, device: str) -> "StandIn":
        """As `open_model`."""
        self.opened += 1
        frames = (settings.frames,) if isinstance(settings, VideoSettings) else ()
        self.shape = (*frames, settings.height, settings.width, 3)
        return self

    def warm_up(self) -> None:
        if self.warm:
            raise self.warm

    def make(self, orders: Sequence[Order]) -> list[NDArray[np.float32]]:
        self.calls.append([order.prompt for order in orders])
        self.during()
        if len(orders) > self.memory:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        made = [self._answer(order) for order in orders]
        self.orders += orders
        return made

    def _answer(self, order: Order) -> Any:
        answer = self.answers.get(order.prompt)
        if isinstance(answer, str):
            os._exit(9)
        if isinstance(answer, Exception):
            raise answer
        return drawn(self.shape, order.seed) if answer is None else answer


def settings_of(*, batch: int = 1, **changes: Any) -> GenerateSettings:
    """Small pictures, no faces: 64 x 64, videos of 9 frames of 128 x 64."""
    base: dict[str, Any] = {
        "portrait": {"model": "a", "width": 64, "height": 64},
        "edit": {"model": "b", "width": 64, "height": 64},
        "video": {"model": "c", "width": 128, "height": 64, "frames": 9, "fps": 8},
        "checks": {"faces": False},
    }
    for stage in Stage:
        base[stage.value]["pool"] = {"batch": batch, "gpus": 0.5}
    return GenerateSettings.model_validate(base | changes)


def found_of(stage: Stage, identity: str = "") -> Found:
    """A model, looked up."""
    return Found(
        name=f"house/{stage.value}", revision=None, folder=None, pipeline=f"{stage.value.title()}Pipeline",
        identity=identity or f"{stage.value:0<12}", parameters=0, bytes=0, random=True,
    )  # fmt: skip


FOUNDS = {stage: found_of(stage) for stage in Stage}


def take_of(number: int = 0) -> Take:
    """A scene at its beginning."""
    return Take(Scene(number, f"portrait {number}", "hair", f"edit {number}", f"speaks {number}", 100 + number), {})


def as_floats(picture: Picture) -> NDArray[np.float32]:
    """What a model would have answered for this picture or video to come out."""
    return np.asarray(picture, np.float32) / 255
