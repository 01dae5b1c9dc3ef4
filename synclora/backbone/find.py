"""A name to a backbone: a hub id (`Lightricks/LTX-Video-0.9.5`), a local folder, or a miniature (`tiny:ltx-video`). Safetensors only."""

import json
from pathlib import Path

from synclora.backbone.base import Backbone, BackboneError
from synclora.backbone.load import check_part
from synclora.backbone.ltx2 import LTX2
from synclora.backbone.ltx_video import LTXVideo
from synclora.backbone.tiny import MINIATURES, tiny_folder

_KINDS: dict[str, type[Backbone]] = {"LTXVideoTransformer3DModel": LTXVideo, "LTX2VideoTransformer3DModel": LTX2}
_PARTS = ("transformer", "vae")
"""Without these nothing can be done; captions may come from somewhere else."""
_WANTED = [
    f"{part}/*.{ending}"
    for part in (*_PARTS, "text_encoder", "tokenizer", "connectors")
    for ending in ("json", "safetensors", "model", "txt", "jinja")
]
"""Of the parts' folders only: no pickles, no audio, and not the single-file checkpoints that lie beside them and double the download."""


def find_backbone(name: str, revision: str | None = None) -> Backbone:
    """The backbone of that name; a hub's files are fetched to its cache first.

    Raises:
        BackboneError: there is none, it is of no known kind, or it is not in safetensors.
    """
    if name.startswith("tiny:"):
        kind = name.removeprefix("tiny:")
        if kind not in MINIATURES:
            raise BackboneError(f"backbone {name}: no such miniature; choose tiny:{' or tiny:'.join(MINIATURES)}")
        folder, random = tiny_folder(kind), True
    else:
        folder, random = (Path(name), False) if Path(name).is_dir() else (_fetched(name, revision), False)
    return _opened(name, folder, random)


def _opened(name: str, folder: Path, random: bool) -> Backbone:
    for part in _PARTS:
        check_part(name, folder, part)
    try:
        kind = json.loads((folder / "transformer" / "config.json").read_text(encoding="utf-8")).get("_class_name")
    except ValueError as error:
        raise BackboneError(f"backbone {name}: transformer/config.json is no JSON ({error})") from error
    if kind not in _KINDS:
        raise BackboneError(f"backbone {name}: a {kind}; this project knows {', '.join(_KINDS)}")
    return _KINDS[kind](name, folder.absolute(), random=random)


def _fetched(name: str, revision: str | None) -> Path:
    if name.startswith(("/", ".", "~")) or name.count("/") != 1:
        raise BackboneError(f"backbone {name}: no such folder; give an existing folder, a hub id (owner/name) or tiny:ltx-video")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=["model_index.json", *_WANTED]))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        why = " ".join(str(error).split())[:200]
        raise BackboneError(f"backbone {name}: no such folder, and the hub does not give it ({why})") from error
