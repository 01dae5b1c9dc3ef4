"""The adapter inside the transformer: put in, taken out, put back.

    add_lora(stream, LoraSettings(rank=32), seed=0)     # the only weights that train
    state = lora_state(stream.transformer)              # by names such as transformer_blocks.0.attn1.to_q.lora_A.weight
    load_lora(stream.transformer, state)                # all of them or none
    stream.use(ready_lora(stream, state))               # to edit with, on a bare stream; any number of them can wait

Names are relative to the transformer, without the name that peft gives the adapter; `adapter.py` makes files of them.
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from synclora.backbone.adapters import LoadedAdapter
from synclora.backbone.base import Stream
from synclora.errors import SyncLoraError
from synclora.incontext.attention import AttentionMode
from synclora.settings import Settings
from synclora.train.batches import seed_of

_ADAPTER = "default"
_PARAMETER = re.compile(rf"(.+\.lora_[AB])\.{_ADAPTER}\.weight")
_KEY = re.compile(r"(.+)\.lora_([AB])\.weight")
_ONLY = {"all": "", "attention": r"(?=.*\.attn\d)", "self-attention": r"(?=.*\.attn1)"}

State = dict[str, Tensor]
"""An adapter's weights by name: A is (rank, inputs), B is (outputs, rank)."""


class AdapterError(SyncLoraError):
    """An adapter that cannot be made, read or fitted: names the value, what was expected, and what would do."""


class LoraSettings(Settings):
    """The adapter's size and place. A layer's output gains B(A(x)) · alpha / rank."""

    rank: int = Field(default=32, ge=1)
    """Lightricks' example has 32 for LTX-2 and 128 for LTX-Video 13B, the released Sync-LoRA 256."""
    alpha: float | None = Field(default=None, gt=0)
    """None: the rank, a scale of 1, as in every release."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Of the adapter's inputs, in training. The one draw that depends on how the work is spread: with it, another number of workers or another
    micro batch leaves another trace."""
    targets: Literal["all", "attention", "self-attention"] = "all"
    """all: self-attention, attention to the caption, and feed-forward, as in the lineage."""
    seed: int | None = None
    """Of the first weights. None: the run's."""
    start: str | None = None
    """An adapter to begin with, of the same rank and layers, of whatever attention mode: its folder or file, where every worker sees it. None: a
    new one. Read at the first step alone."""


def add_lora(stream: Stream, settings: LoraSettings, seed: int) -> None:
    """Put a new adapter on the stream's transformer; from then on nothing else in it trains.

    A is drawn as peft draws it (uniform within ±1/√inputs), each layer's from its own seed, so that it depends neither on what was drawn
    before nor on the other layers; B is 0: the new adapter changes nothing. Float32, whatever the transformer's dtype.

    Args:
        stream: a bare one: no adapter, no wrapper.
        settings: size and place.
        seed: for A, where the settings give none.

    Raises:
        AdapterError: there is an adapter already, or the rank does not fit a layer.
    """
    pattern = _ONLY[settings.targets] + f"(?:{stream.lora_targets})"
    _check_fits(stream.transformer, pattern, settings.rank)
    _inject(stream.transformer, pattern, settings.rank, settings.alpha, settings.dropout)
    seed = seed if settings.seed is None else settings.seed
    with torch.no_grad():
        for name, parameter in named_lora_parameters(stream.transformer).items():
            if name.endswith("lora_A.weight"):
                first = torch.empty(parameter.shape)
                generator = torch.Generator().manual_seed(seed_of("lora", seed, name))
                parameter.copy_(nn.init.kaiming_uniform_(first, a=math.sqrt(5), generator=generator))
            else:
                parameter.zero_()


def ready_lora(
    stream: Stream,
    state: Mapping[str, Tensor],
    alpha: float | None = None,
    mode: AttentionMode = "shared",
    dtype: torch.dtype | None = None,
) -> LoadedAdapter:
    """A trained adapter made ready for `stream.use`; the stream stays as it is.

    Layers of the audio branch, which adapters made elsewhere can have, are left out: no video depends on them.

    Args:
        stream: without an adapter of `add_lora` or `attach_lora`.
        state: the weights, as `load_adapter` gives them.
        alpha: what they were trained with; None for a scale of 1.
        mode: the attention they were trained with; shared, the paper's, where nobody says.
        dtype: of its weights and sums; None for the transformer's, as diffusers does. Training has float32.

    Raises:
        AdapterError: the weights are of another model.
    """
    rank, linear = rank_of(state), _linear(stream.transformer)
    names = [name for name in layers_of(state) if not stream.idle(name)]
    _check_layers(names, linear)
    layers = {}
    for name in names:
        layer, (a, b) = linear[name], (state[f"{name}.lora_{half}.weight"] for half in "AB")
        _check_size(f"{name}.lora_A.weight", a.shape, (rank, layer.in_features))
        _check_size(f"{name}.lora_B.weight", b.shape, (layer.out_features, rank))
        like = (layer.weight.device, dtype or layer.weight.dtype)
        layers[name] = (a.to(*like), b.to(*like))
    return LoadedAdapter(layers, (alpha or rank) / rank, mode)


def attach_lora(stream: Stream, state: Mapping[str, Tensor], alpha: float | None = None) -> None:
    """Put a trained adapter on the stream's transformer for good, on just the layers that it has, to use it: none of its weights train.

    Args:
        stream: a bare one: no adapter, no wrapper.
        state: the weights, as `load_adapter` gives them.
        alpha: what they were trained with; None for a scale of 1.

    Raises:
        AdapterError: the weights are of another model, or there is an adapter already.
    """
    rank, layers = rank_of(state), layers_of(state)
    _check_layers(layers, _linear(stream.transformer))
    _inject(stream.transformer, "|".join(map(re.escape, layers)), rank, alpha, dropout=0.0)
    load_lora(stream.transformer, state)
    for parameter in named_lora_parameters(stream.transformer).values():
        parameter.requires_grad_(False)


def named_lora_parameters(transformer: nn.Module) -> dict[str, nn.Parameter]:
    """The adapter's parameters by name, in the model's order: for the optimizer and checkpoints. Empty without an adapter."""
    found = ((_PARAMETER.fullmatch(name), parameter) for name, parameter in transformer.named_parameters())
    return {f"{match[1]}.weight": parameter for match, parameter in found if match}


def lora_state(transformer: nn.Module) -> State:
    """Copies of the adapter's weights on the CPU, in the order of `named_lora_parameters`. Under ZeRO-3, gather them first."""
    return {name: p.detach().to("cpu", copy=True).contiguous() for name, p in named_lora_parameters(transformer).items()}


def load_lora(transformer: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Copy weights into the adapter that is there; only if every name and shape is the same.

    Raises:
        AdapterError: names the first weight that is missing, unknown or of another shape; nothing was loaded then.
    """
    parameters = named_lora_parameters(transformer)
    if not parameters:
        raise AdapterError("adapter: the transformer has none to load into; add one first")
    if missing := [name for name in parameters if name not in state]:
        expected = _size(parameters[missing[0]].shape)
        raise AdapterError(
            f"adapter: {missing[0]}{_others(missing)} is missing, expected {expected}; same targets as in training?"
        )
    if strange := [name for name in state if name not in parameters]:
        found = _size(state[strange[0]].shape)
        raise AdapterError(
            f"adapter: {strange[0]}{_others(strange)}, {found}, is not among the adapted layers; same model and targets?"
        )
    for name, parameter in parameters.items():
        _check_size(name, state[name].shape, parameter.shape)
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(state[name])


def layers_of(state: Iterable[str]) -> list[str]:
    """The layers that an adapter's weights belong to, in their order.

    Raises:
        AdapterError: a name that is no LoRA weight, or half of a layer's two.
    """
    halves: dict[str, set[str]] = {}
    for key in state:
        match = _KEY.fullmatch(key)
        if not match:
            raise AdapterError(f"adapter: {key} is no LoRA weight; expected names that end in .lora_A.weight or .lora_B.weight")
        halves.setdefault(match[1], set()).add(match[2])
    for layer, found in halves.items():
        if len(found) < 2:
            raise AdapterError(f"adapter: {layer} has lora_{found.pop()}.weight only; the file is not whole")
    return list(halves)


def rank_of(state: Mapping[str, Tensor]) -> int:
    """The one rank of an adapter's layers.

    Raises:
        AdapterError: there are no layers, they are no matrices, or they differ in rank.
    """
    ranks: dict[int, str] = {}
    for layer in layers_of(state):
        a, b = (state[f"{layer}.lora_{half}.weight"].shape for half in "AB")
        if len(a) != 2 or len(b) != 2 or a[0] != b[1]:
            raise AdapterError(f"adapter: {layer} has A {_size(a)} and B {_size(b)}; expected rank x inputs and outputs x rank")
        ranks.setdefault(a[0], layer)
    if len(ranks) != 1:
        found = " and ".join(f"{rank} ({layer})" for rank, layer in list(ranks.items())[:2]) or "no layers"
        raise AdapterError(f"adapter: ranks {found}; only adapters with one rank can be used")
    return next(iter(ranks))


def _check_layers(names: list[str], linear: Mapping[str, nn.Linear]) -> None:
    if strange := [name for name in names if name not in linear]:
        raise AdapterError(
            f"adapter: {strange[0]}{_others(strange)}: the backbone has no such layer; give the one it was trained on"
        )
    if not names:
        raise AdapterError("adapter: none of its layers has to do with the video; give another one")


def _check_size(name: str, found: Sequence[int], expected: Sequence[int]) -> None:
    if tuple(found) != tuple(expected):
        raise AdapterError(f"adapter: {name} is {_size(found)}, expected {_size(expected)}; give one of this backbone and rank")


def _check_fits(transformer: nn.Module, pattern: str, rank: int) -> None:
    layers = {name: layer for name, layer in _linear(transformer).items() if re.fullmatch(pattern, name)}
    if not layers:
        raise AdapterError(f"adapter: no layer of {type(transformer).__name__} matches {pattern}")
    name, layer = min(layers.items(), key=lambda item: min(item[1].weight.shape))
    side = min(layer.weight.shape)
    if rank > side:
        raise AdapterError(
            f"rank = {rank}: {name} is {_size(layer.weight.shape)}, whose full rank is {side}; choose {side} or less"
        )


def _inject(transformer: nn.Module, pattern: str, rank: int, alpha: float | None, dropout: float) -> None:
    from peft import LoraConfig  # half a second that only training needs

    config = LoraConfig(r=rank, lora_alpha=alpha or rank, lora_dropout=dropout, target_modules=pattern, bias="none")
    with torch.random.fork_rng(devices=[]):  # peft draws weights on the CPU, which are then set anew
        transformer.add_adapter(config, _ADAPTER)  # type: ignore[operator]
    for parameter in named_lora_parameters(transformer).values():
        parameter.data = parameter.data.float()  # peft follows the layer's dtype; bf16 would round small steps away


def _linear(transformer: nn.Module) -> dict[str, nn.Linear]:
    if getattr(transformer, "peft_config", None):
        raise AdapterError("adapter: the transformer has one already; load the backbone anew")
    return {name: module for name, module in transformer.named_modules() if isinstance(module, nn.Linear)}


def _size(shape: Iterable[int]) -> str:
    return " x ".join(map(str, shape)) or "a scalar"


def _others(names: list[str]) -> str:
    return f" (and {len(names) - 1} more)" if len(names) > 1 else ""
