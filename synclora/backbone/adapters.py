"""Trained adapters on one base: put in, taken out and swapped in milliseconds, the base's weights untouched.

    loaded = ready_lora(stream, state, alpha=metadata.alpha, mode=metadata.attention_mode)       # synclora.train.lora
    stream.use(loaded)                                   # another one takes its place; None takes it out

Any number of them can wait in memory: each is a few matrices. A layer's output gains B(A(x)) · scale by a hook, computed as peft does in
training, so that an adapter gives the same edit here and there.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.nn.functional import linear
from torch.utils.hooks import RemovableHandle

from synclora.incontext.attention import AttentionMode


@dataclass(frozen=True)
class LoadedAdapter:
    """An adapter that fits a stream, on its device.

    Attributes:
        layers: by the layer's name: A (rank, inputs) and B (outputs, rank).
        scale: alpha / rank.
        mode: the attention that it was trained with.
    """

    layers: Mapping[str, tuple[Tensor, Tensor]]
    scale: float
    mode: AttentionMode

    @property
    def nbytes(self) -> int:
        """What it holds of the device's memory."""
        return sum(a.nbytes + b.nbytes for a, b in self.layers.values())


def put_in(transformer: nn.Module, adapter: LoadedAdapter) -> list[RemovableHandle]:
    """Let it work; removing the handles takes it out."""
    layers = [(transformer.get_submodule(name), _Gain(a, b, adapter.scale)) for name, (a, b) in adapter.layers.items()]
    return [layer.register_forward_hook(gain) for layer, gain in layers]


@dataclass(frozen=True)
class _Gain:
    a: Tensor
    b: Tensor
    scale: float

    def __call__(self, _layer: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor:
        gain = linear(linear(inputs[0].to(self.a.dtype), self.a), self.b) * self.scale
        return (output + gain).to(output.dtype)
