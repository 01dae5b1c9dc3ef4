"""A small folder of three real clips, one of each side, and their cache; a model of some thousand weights."""

import json
from pathlib import Path

import pytest

from synclora.embedded.autoencoder.model import build, write_folder
from synclora.embedded.autoencoder.settings import AutoencoderSettings, ModelSettings, OptimSettings
from synclora.embedded.clips.cache import Index, build_cache
from synclora.embedded.clips.settings import AugmentSettings, ClipSettings
from synclora.embedded.transformer.settings import (
    ScaleSettings,
    TransformerModelSettings,
    TransformerOptimSettings,
    TransformerSettings,
)

CLIPS = {"man_webcam": "train", "woman_reporter_synth": "validation", "man_green_screen": "held_out"}

TINY = AutoencoderSettings(
    clips=ClipSettings(picture_px=48, cache_px=64, puppets_per_face=0),
    augment=AugmentSettings(close=0.5, close_px=32),
    model=ModelSettings(latent_channels=12, fine=48, coarse=56, wide=48),
    optimizer=OptimSettings(batch=2, warmup=4, ema=0.8),
)


@pytest.fixture(scope="session")
def small_portraits(portraits: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("portraits")
    manifest = json.loads((portraits / "MANIFEST.json").read_text(encoding="utf-8"))
    chosen = [entry for entry in manifest["clips"] if entry["identity"] in CLIPS]
    (folder / "clips").mkdir()
    for entry in chosen:
        (folder / entry["file"]).symlink_to(portraits / entry["file"])
    (folder / "MANIFEST.json").write_text(json.dumps({"clips": chosen, "pairs": [], "faces": []}), encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def index(small_portraits: Path, tmp_path_factory: pytest.TempPathFactory) -> Index:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        return build_cache(small_portraits, TINY.clips)


TINY_TRANSFORMER = TransformerSettings(
    clips=TINY.clips,
    scale=ScaleSettings(statistics_clips=8, probed_clips=1, probes=1),
    model=TransformerModelSettings(heads=2, head_dim=16, layers=2, caption_tokens=2, caption_channels=8),
    optimizer=TransformerOptimSettings(batch=2, warmup=4, lr=5e-3, ema=0.8),
)


@pytest.fixture(scope="session")
def vae_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random autoencoder of the small shape."""
    folder = tmp_path_factory.mktemp("autoencoder") / "vae"
    write_folder(build(TINY.model, seed=0), folder)
    return folder


@pytest.fixture(scope="session")
def latents_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("latents")
