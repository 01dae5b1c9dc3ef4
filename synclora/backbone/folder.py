"""What a backbone's folder says besides its models. Needs no torch: the service's door and the command line ask here.

    local_folder("embedded")        # the weights that come with this package
    trained_of(folder)              # Trained(width=128, height=128, frames=17, face_share=0.58)
    adapters_of("embedded")         # the folder of the adapters that come with it

    FOLDER/model.json             {"trained": {"width": 128, "height": 128, "frames": 17, "face_share": 0.58}, "made_by": {…}}
    FOLDER/caption.safetensors    embeds (1, l, d), mask (1, l): instead of a text encoder, the one caption there is
    FOLDER/adapters/NAME/         as a training run leaves them

All three are this project's own additions to diffusers' layout; a folder without them is a backbone like any other.
"""

import hashlib
import json
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from pydantic import Field, ValidationError

from synclora.errors import SyncLoraError
from synclora.settings import Settings

EMBEDDED = "embedded"
"""The name of the backbone that comes with this package."""

MODEL_FILE = "model.json"
CAPTION_FILE = "caption.safetensors"
ADAPTERS = "adapters"

PARTS = ("transformer", "vae")
"""Without these nothing can be done; captions may come from somewhere else."""


class BackboneError(SyncLoraError):
    """A backbone that cannot be used: names it, says why, and what would do."""


@dataclass(frozen=True)
class Trained:
    """What a small model has seen, and therefore can do.

    Attributes:
        width: pixels of its pictures.
        height: the same.
        frames: of its clips.
        face_share: width of a face over the picture's; None: all kinds of pictures.
    """

    width: int
    height: int
    frames: int
    face_share: float | None = None


class _Trained(Settings):
    width: int = Field(ge=1)
    height: int = Field(ge=1)
    frames: int = Field(ge=1)
    face_share: float | None = Field(default=None, gt=0, le=1)


def embedded_folder() -> Path:
    """Where the weights of this package lie, or would."""
    return Path(str(files("synclora.embedded").joinpath("weights")))


def local_folder(name: str) -> Path | None:
    """The folder of a backbone that lies on this machine under that name; None for hub ids and miniatures."""
    if name == EMBEDDED:
        return embedded_folder()
    return Path(name) if Path(name).is_dir() else None


def adapters_of(name: str) -> Path | None:
    """The folder of the adapters that come with the backbone of that name, if any do."""
    folder = local_folder(name)
    return folder / ADAPTERS if folder and (folder / ADAPTERS).is_dir() else None


def trained_of(name: str, folder: Path) -> Trained | None:
    """What its model.json says it was trained on; None without one, as for every released model.

    Raises:
        BackboneError: the file is there and makes no sense.
    """
    try:
        said = json.loads((folder / MODEL_FILE).read_text(encoding="utf-8"))["trained"]
        return Trained(**_Trained.model_validate(said).model_dump())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        problem = error.errors()[0]
        what = f"trained.{'.'.join(map(str, problem['loc']))}: {problem['msg'].lower()}"
    except (OSError, ValueError, KeyError, TypeError) as error:
        what = " ".join(f"{type(error).__name__} {error}".split())[:200]
    raise BackboneError(
        f"backbone {name}: {MODEL_FILE} does not say what it was trained on ({what}); write width, height, frames"
    )


def weights_digest(folder: Path) -> str:
    """Sixteen hex digits for the weights of a folder, whatever it is called and wherever it lies. Reads them all: for small models."""
    content = hashlib.sha256()
    for part in (*PARTS, "."):
        for file in sorted((folder / part).glob("*.safetensors")):
            with file.open("rb") as opened:
                content.update(f"{part}/{file.name}:{hashlib.file_digest(opened, 'sha256').hexdigest()};".encode())
    return content.hexdigest()[:16]
