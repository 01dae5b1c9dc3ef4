"""Models for the tests: miniatures with settings that suit them, and copies of a miniature's folder to be spoilt."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from synclora.pairs.diffusion.model import Order
from synclora.pairs.diffusion.settings import ModelSettings, Stage, VideoSettings
from synclora.pairs.diffusion.tiny import tiny_pipeline

_SMALL: dict[str, Any] = {"dtype": "float32", "steps": 2, "width": 64, "height": 64}
_WIDE: dict[str, Any] = {**_SMALL, "width": 128, "frames": 9}

FLUX = ModelSettings(model="tiny:flux", guidance=3.5, **_SMALL)
KONTEXT = ModelSettings(model="tiny:flux-kontext", guidance=2.5, **_SMALL)
FLUX2 = ModelSettings(model="tiny:flux2", guidance=4.0, **_SMALL)
QWEN = ModelSettings(model="tiny:qwen-image-edit", negative_prompt=" ", arguments={"true_cfg_scale": 4.0}, **_SMALL)
WAN = VideoSettings(model="tiny:wan-i2v", guidance=3.5, negative_prompt="still", **_WIDE)
LTX2 = VideoSettings(model="tiny:ltx-2-i2v", fps=24, **_WIDE)
QWEN_IMAGE = QWEN.model_copy(update={"pipeline": "QwenImagePipeline"})
QWEN_PLUS = QWEN.model_copy(update={"pipeline": "QwenImageEditPlusPipeline"})

CASES = {
    "flux": (Stage.PORTRAIT, FLUX),
    "kontext": (Stage.EDIT, KONTEXT),
    "flux2": (Stage.PORTRAIT, FLUX2),
    "flux2-edit": (Stage.EDIT, FLUX2),
    "qwen": (Stage.EDIT, QWEN),
    "qwen-image": (Stage.PORTRAIT, QWEN_IMAGE),
    "wan": (Stage.VIDEO, WAN),
    "ltx2": (Stage.VIDEO, LTX2),
}


def orders(stage: Stage, settings: ModelSettings) -> list[Order]:
    """Two that differ in everything, the second of many more words."""
    drawn = [np.full((settings.height, settings.width, 3), colour, np.uint8) for colour in ((220, 40, 10), (0, 70, 250))]
    drawn[0][: settings.height // 2] //= 2
    pictures = [None, None] if stage is Stage.PORTRAIT else drawn
    return [Order("a red hat", 1, pictures[0]), Order("a blue jacket, a grey beard, a hat, and one more thing", 2, pictures[1])]


def copied(kind: str, to: Path) -> Path:
    """A miniature's folder elsewhere, as links, so that replacing a file there changes nothing here."""
    source = tiny_pipeline(kind)
    for file in source.rglob("*"):
        if file.is_file():
            there = to / file.relative_to(source)
            there.parent.mkdir(parents=True, exist_ok=True)
            there.symlink_to(file)
    return to


def rewrite(file: Path, **changes: Any) -> None:
    """Set entries of a JSON file; None takes one out."""
    content = json.loads(file.read_text()) | changes
    file.unlink()
    file.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))
