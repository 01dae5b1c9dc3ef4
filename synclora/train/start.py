"""An adapter to begin with, in the place of a new one: training goes on with another set, another attention mode, another state of the backbone.

begin_with(stream, read_start(settings, "ltx-video"))      # after add_lora
"""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from synclora.backbone.base import Stream
from synclora.train.adapter import load_adapter
from synclora.train.lora import AdapterError, LoraSettings, State, load_lora, rank_of


def read_start(settings: LoraSettings, kind: str) -> State:
    """The weights of `settings.start`, in float32, scaled so that under the settings' alpha they do what they did under their own.

    Args:
        settings: with a start.
        kind: of the backbone.

    Raises:
        AdapterError: it cannot be read, or is of another kind of backbone or another rank.
    """
    path = Path(settings.start or "")
    state, metadata = load_adapter(path)
    rank = rank_of(state)
    if rank != settings.rank:
        raise AdapterError(f"lora.start {path}: rank {rank}, but lora.rank = {settings.rank}; set lora.rank: {rank}")
    if metadata and metadata.kind != kind:
        raise AdapterError(f"lora.start {path}: trained on {metadata.kind}, not for {kind}; choose that backbone or leave it out")
    scale = (metadata.alpha / rank if metadata else 1.0) / ((settings.alpha or rank) / rank)
    return {name: tensor.float() * (scale if ".lora_B." in name else 1.0) for name, tensor in state.items()}


def begin_with(stream: Stream, state: Mapping[str, Tensor]) -> None:
    """Put the weights into the adapter that `add_lora` has put on the stream; those of an audio branch are left out.

    Raises:
        AdapterError: they are of other layers than the settings' targets, or of another model.
    """
    load_lora(
        stream.transformer, {name: tensor for name, tensor in state.items() if not stream.idle(name.rsplit(".lora_", 1)[0])}
    )
