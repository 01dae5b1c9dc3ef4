"""Backbones between the miniature and the released ones: the miniature's folder with a larger transformer of random weights.

folder = grown("ltx-video", tmp_path / "base", layers=8, heads=4)      # 256 channels, 9 M parameters
"""

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from diffusers import LTX2VideoTransformer3DModel, LTXVideoTransformer3DModel

from synclora.backbone.load import quiet
from synclora.backbone.tiny import tiny_folder

CLASSES: dict[str, Any] = {"ltx-video": LTXVideoTransformer3DModel, "ltx-2": LTX2VideoTransformer3DModel}
HEAD_CHANNELS = 64


def config_of(folder: Path) -> dict[str, Any]:
    """What a folder's transformer is built from."""
    config = json.loads((folder / "transformer" / "config.json").read_text())
    return {name: value for name, value in config.items() if not name.startswith("_")}


def caption_width(config: dict[str, Any]) -> int:
    """Channels of an embedded caption: T5's for LTX-Video, which projects them, for LTX-2.3 what its connectors make of Gemma's."""
    return int(config["cross_attention_dim"] if "audio_in_channels" in config else config["caption_channels"])


def grown(kind: str, folder: Path, *, layers: int, heads: int) -> Path:
    """The folder, made anew. LTX-Video's is whole, for any job; LTX-2's connectors still make captions of the miniature's width."""
    shutil.copytree(tiny_folder(kind), folder)
    width = heads * HEAD_CHANNELS
    size = {"num_layers": layers, "num_attention_heads": heads, "attention_head_dim": HEAD_CHANNELS, "cross_attention_dim": width}
    config = config_of(folder) | size
    shutil.rmtree(folder / "transformer")
    with quiet(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        CLASSES[kind](**config).save_pretrained(folder / "transformer")
    return folder
