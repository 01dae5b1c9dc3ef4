"""Adapters on the miniatures, for the tests of this room."""

from functools import cache

import pytest
import torch

from synclora.backbone.base import Backbone, BackboneError, Caption, Stream
from synclora.backbone.find import find_backbone
from synclora.incontext.layout import Tokens, first_frame, lay_out
from synclora.incontext.positions import Grid
from synclora.train.adapter import AdapterMetadata
from synclora.train.lora import LoraSettings, State, add_lora, load_lora, lora_state

KINDS = ("ltx-video", "ltx-2")


@cache
def tiny(kind: str = "ltx-video") -> Backbone:
    try:
        return find_backbone(f"tiny:{kind}")
    except BackboneError:
        return pytest.skip(f"there is no miniature of {kind}")


@cache
def caption(kind: str = "ltx-video") -> Caption:
    return tiny(kind).caption("3d1t")


def stream(kind: str = "ltx-video", dtype: torch.dtype = torch.float32, mode: str = "shared") -> Stream:
    return tiny(kind).stream(dtype, "cpu", mode)


def tokens(channels: int, dtype: torch.dtype = torch.float32) -> Tokens:
    """One call: a source, and a target whose first frame is given."""
    grid = Grid(frames=2, height=2, width=3, fps=25.0)
    draw = torch.Generator().manual_seed(7)
    source, target = (torch.randn(1, grid.tokens, channels, generator=draw).to(dtype) for _ in range(2))
    return lay_out(source, target, torch.tensor([0.6]), first_frame(torch.tensor([True]), grid), grid)


def velocity(of: Stream, kind: str = "ltx-video", dtype: torch.dtype = torch.float32) -> torch.Tensor:
    with torch.no_grad():
        return of.velocity(tokens(of.channels, dtype), caption(kind).to("cpu", dtype))


def adapted(of: Stream, rank: int = 8, alpha: float | None = None, dtype: torch.dtype = torch.float32) -> State:
    """Put an adapter on the stream whose B is not 0, and give its weights."""
    add_lora(of, LoraSettings(rank=rank, alpha=alpha), seed=0)
    draw = torch.Generator().manual_seed(3)
    state = {}
    for name, tensor in lora_state(of.transformer).items():
        noise = torch.randn(tensor.shape, generator=draw) * 0.2
        state[name] = (noise if ".lora_B." in name else tensor).to(dtype)
    load_lora(of.transformer, state)
    return state


def metadata(**other: object) -> AdapterMetadata:
    fields = {"base_model": "Lightricks/LTX-Video-0.9.5", "kind": "ltx-video", "rank": 8, "alpha": 8, "frames": 81, "width": 512}
    fields |= {"height": 448, "fps_min": 24, "fps_max": 29.97, "caption": "3d1t", "attention_mode": "shared", "steps": 1200}
    fields |= {"first_frame_probability": 0.9, "trained_pairs": 42, "recipe": "0123456789ab", "random_base": False}
    return AdapterMetadata.model_validate(fields | other)
