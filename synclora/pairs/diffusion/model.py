"""A diffusers pipeline behind one call: orders in, pictures or videos out.

    model = open_model(Stage.PORTRAIT, settings, look_up(Stage.PORTRAIT, settings), "cuda")
    model.warm_up()
    pictures = model.make([Order("a portrait of …", seed=7)])

Nothing is judged here: what the pipeline makes is passed on, black or not finite as it may be, and what it raises comes through.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from synclora.backbone.load import quiet
from synclora.errors import MediaError, is_out_of_memory
from synclora.media.decode import Picture
from synclora.pairs.diffusion import quirks
from synclora.pairs.diffusion.call import Call
from synclora.pairs.diffusion.find import Found, fetch
from synclora.pairs.diffusion.index import ModelError
from synclora.pairs.diffusion.loading import first_words, load
from synclora.pairs.diffusion.settings import ModelSettings, Stage, VideoSettings

_WARM_UP_STEPS = 2


@dataclass(frozen=True)
class Order:
    """What is asked of a model for one scene.

    Attributes:
        prompt: in words.
        seed: all randomness of the order.
        picture: (h, w, 3) uint8 RGB, to be edited or animated; None for a portrait.
    """

    prompt: str
    seed: int
    picture: Picture | None = None


class Model(Protocol):
    """Makes what a stage asks for.

    Attributes:
        name: as the recipe gives it.
        batches: whether several different orders go into one call.
    """

    name: str
    batches: bool

    def make(self, orders: Sequence[Order]) -> list[NDArray[np.float32]]:
        """Pictures (h, w, 3) or videos (frames, h, w, 3), 0 to 1, perhaps not finite, in the order of the orders.

        An order's result depends on the order alone, up to rounding. Raises whatever the pipeline raises, out of memory among it.
        """
        ...

    def warm_up(self) -> None:
        """One short call at full size.

        Raises:
            ModelError: it fails, or makes another size than the settings ask for.
            RuntimeError: the card's memory ends.
        """
        ...


OpenModel = Callable[[Stage, ModelSettings, Found, str], Model]
"""The last is the device."""


def open_model(stage: Stage, settings: ModelSettings, found: Found, device: str) -> Model:
    """Load a model, fetched first if need be.

    Args:
        stage: that it works for.
        settings: of the model.
        found: what `look_up` found.
        device: of torch.

    Raises:
        ModelError: it cannot be fetched or loaded, or does not fit the device.
    """
    pipe = load(found.name, fetch(found), found.pipeline, settings, device)
    return PipelineModel(found.name, pipe, Call(stage, settings, type(pipe)), device)


class PipelineModel:
    """See `Model`.

    Args:
        name: as the recipe gives it.
        pipe: a pipeline of diffusers, loaded, prepared and in its place.
        call: how it is called.
        device: where it works.
    """

    def __init__(self, name: str, pipe: Any, call: Call, device: str) -> None:
        self.name, self.batches = name, call.batches
        self._pipe, self._call, self._device = pipe, call, device

    def make(self, orders: Sequence[Order]) -> list[NDArray[np.float32]]:
        """See `Model`."""
        if self.batches:
            return self._called(orders, self._call)
        return [made for order in orders for made in self._called([order], self._call)]

    def warm_up(self) -> None:
        """See `Model`."""
        settings = self._call.settings
        picture = None if self._call.stage is Stage.PORTRAIT else np.full((settings.height, settings.width, 3), 127, np.uint8)
        short = Call(self._call.stage, settings.model_copy(update={"steps": _WARM_UP_STEPS}), self._call.pipeline)
        try:
            made = self._called([Order("a person", 0, picture)], short)[0]
        except Exception as error:  # whatever a pipeline raises
            if is_out_of_memory(error) or isinstance(error, MediaError):
                raise
            why = f"{type(error).__name__}: {first_words(error)}"
            raise ModelError(
                f"model {self.name}: {self._call.pipeline.__name__} fails when called ({why}); correct its settings"
            ) from error
        frames = (settings.frames,) if isinstance(settings, VideoSettings) else ()
        expected = (*frames, settings.height, settings.width, 3)
        if made.shape != expected:
            raise ModelError(
                f"model {self.name}: asked for {_size(expected)}, it makes {_size(made.shape)}; correct the settings"
            )

    def _called(self, orders: Sequence[Order], call: Call) -> list[NDArray[np.float32]]:
        """One call of the pipeline."""
        settings, name = call.settings, call.pipeline.__name__
        pictures = [_fitted(order.picture, settings) for order in orders if order.picture is not None]
        pictures, further = quirks.arguments(self._pipe, pictures, settings.arguments)
        generators = [quirks.generator(name, order.seed, self._device) for order in orders]
        arguments = call.arguments([order.prompt for order in orders], pictures, generators)
        try:
            with quiet():
                made = self._pipe(**arguments | further)[0]  # LTX-2's second is sound
        except Exception as error:
            if is_out_of_memory(error):
                self._let_go()
            raise
        if len(made) != len(orders):
            raise RuntimeError(f"{name} made {len(made)} of {len(orders)} orders")
        return [np.asarray(one, np.float32) for one in made]

    def _let_go(self) -> None:
        """Give back what a call that ended halfway still holds, so that a smaller one can succeed."""
        if self._call.settings.offload != "none" and self._device != "cpu":
            self._pipe.maybe_free_model_hooks()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _fitted(picture: Picture, settings: ModelSettings) -> Image.Image:
    """A picture in the size that is asked for, so that no pipeline resizes or cuts it in its own way."""
    given = Image.fromarray(picture)
    size = settings.width, settings.height
    return given if given.size == size else given.resize(size, Image.Resampling.LANCZOS)


def _size(shape: tuple[int, ...]) -> str:
    if len(shape) not in (3, 4):
        return f"an array of shape {shape}"
    frames = f"{shape[0]} frames of " if len(shape) == 4 else ""
    return f"{frames}{shape[-2]}x{shape[-3]}"
