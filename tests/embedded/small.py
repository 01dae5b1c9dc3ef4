"""A backbone in the layout of the embedded one, of some thousand random weights: 128x128, 17 frames, strides 4 and 16."""

import json
from pathlib import Path

import torch

from synclora.backbone.find import find_backbone
from synclora.backbone.folder import weights_digest
from synclora.backbone.load import quiet
from synclora.backbone.tiny import normalise_latents
from synclora.embedded.autoencoder.model import build, write_folder
from synclora.embedded.autoencoder.settings import ModelSettings
from synclora.train.adapter import AdapterMetadata, save_adapter
from synclora.train.tensorfile import write_tensors
from tests.train.adapters import adapted

TRAINED = {"width": 128, "height": 128, "frames": 17, "face_share": 0.58}


def write_small(folder: Path, **trained: object) -> Path:
    """A whole folder, as the transformer's training leaves it; the transformer in several shards. What is given goes before TRAINED."""
    from diffusers import LTXVideoTransformer3DModel

    folder.mkdir(parents=True, exist_ok=True)
    vae = build(ModelSettings(latent_channels=12, fine=16, coarse=16, wide=16), seed=0).eval()
    normalise_latents(vae)
    write_folder(vae, folder / "vae")
    size = {"num_layers": 2, "num_attention_heads": 2, "attention_head_dim": 16, "cross_attention_dim": 32, "caption_channels": 8}
    with quiet(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        transformer = LTXVideoTransformer3DModel(in_channels=12, out_channels=12, **size)
        transformer.to(torch.float16).save_pretrained(folder / "transformer", max_shard_size="60KB")
    draw = torch.Generator().manual_seed(2)
    caption = {"embeds": torch.randn(1, 4, 8, generator=draw).half(), "mask": torch.ones(1, 4)}
    write_tensors(folder / "caption.safetensors", caption, {})
    told = {"trained": TRAINED | trained, "made_by": {"transformer": {"recipe": "0123456789ab", "steps": 7}, "seed": 0}}
    (folder / "model.json").write_text(json.dumps(told), encoding="utf-8")
    return folder


def write_adapter(to: Path, backbone: Path, mode: str = "shared", **other: object) -> Path:
    """An adapter with random weights on that folder, as a training run leaves it."""
    fields = {
        "base_model": str(backbone),
        "base_digest": weights_digest(backbone),
        "kind": "ltx-video",
        "rank": 4,
        "alpha": 4,
        "frames": 17,
        "width": 128,
        "height": 128,
        "face_share": TRAINED["face_share"],
        "fps_min": 24,
        "fps_max": 25,
        "caption": "3d1t",
        "attention_mode": mode,
        "first_frame_probability": 1.0,
        "steps": 5,
        "trained_pairs": 2,
        "recipe": "0123456789ab",
        "random_base": False,
    }
    state = adapted(find_backbone(str(backbone)).stream(torch.float32, "cpu", mode), rank=4)
    save_adapter(to, state, AdapterMetadata.model_validate(fields | other))
    return to
