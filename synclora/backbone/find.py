"""A name to a backbone: a hub id (`Lightricks/LTX-Video-0.9.5`), a local folder, the one that comes with this package (`embedded`), or a
miniature (`tiny:ltx-video`). Safetensors only.
"""

import json
from pathlib import Path

from synclora.backbone.base import Backbone, BackboneError
from synclora.backbone.folder import EMBEDDED, PARTS, local_folder
from synclora.backbone.kinds import LTX2, LTXVideo
from synclora.backbone.load import check_part
from synclora.backbone.tiny import MINIATURES, tiny_folder

_KINDS: dict[str, type[Backbone]] = {"LTXVideoTransformer3DModel": LTXVideo, "LTX2VideoTransformer3DModel": LTX2}
_WANTED = [
    f"{part}/*.{ending}"
    for part in (*PARTS, "text_encoder", "tokenizer", "connectors")
    for ending in ("json", "safetensors", "model", "txt", "jinja")
]
"""Of the parts' folders only: no pickles, no audio, and not the single-file checkpoints that lie beside them and double the download."""


def find_backbone(name: str, revision: str | None = None, *, shared: bool = False) -> Backbone:
    """The backbone of that name; a hub's files are fetched to its cache first.

    Args:
        name: of a hub, a folder or a miniature, or `embedded`.
        revision: of the hub's repository.
        shared: load transformer and autoencoder so that all processes of this machine hold one copy of their weights in memory.

    Raises:
        BackboneError: there is none, it is of no known kind, or it is not in safetensors.
    """
    if name.startswith("tiny:"):
        kind = name.removeprefix("tiny:")
        if kind not in MINIATURES:
            raise BackboneError(f"backbone {name}: no such miniature; choose tiny:{' or tiny:'.join(MINIATURES)}")
        folder, random = tiny_folder(kind), True
    else:
        folder, random = local_folder(name) or _fetched(name, revision), False
    return _opened(name, folder, random, shared)


def _opened(name: str, folder: Path, random: bool, shared: bool) -> Backbone:
    if name == EMBEDDED and not all((folder / part / "config.json").is_file() for part in PARTS):
        raise BackboneError(
            f"backbone {name}: its weights are not in this installation ({folder}); install a release that has them, make them "
            "with synclora.embedded and ship them (python -m synclora.embedded.ship), or choose tiny:ltx-video"
        )
    for part in PARTS:
        check_part(name, folder, part)
    try:
        kind = json.loads((folder / "transformer" / "config.json").read_text(encoding="utf-8")).get("_class_name")
    except ValueError as error:
        raise BackboneError(f"backbone {name}: transformer/config.json is no JSON ({error})") from error
    if kind not in _KINDS:
        raise BackboneError(f"backbone {name}: a {kind}; this project knows {', '.join(_KINDS)}")
    return _KINDS[kind](name, folder.absolute(), random=random, shared=shared)


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
