"""What a clip is made of, the id that follows from it, and whether its latents are there already. Loads no model.

    finder = Finder(find_backbone("tiny:ltx-video"), settings, LatentStore(out / "latents"))
    finder.find(sample)          # its row, or None: it has to be encoded

An id is made of the bytes of both videos, the frames, the cut, the size, the autoencoder and the precisions.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from synclora.backbone.base import Backbone, Device
from synclora.errors import MediaError, Reason
from synclora.media.container import open_regular, size_of
from synclora.media.probe import check_bytes
from synclora.media.settings import MediaLimits
from synclora.train.clips import Bucket, Crop, EncodeSettings, choose_bucket, cut_of, windows_of
from synclora.train.curated import Sample
from synclora.train.index import Effort, Encoded
from synclora.train.latents import Facts, LatentStore

FORMAT = 1
"""Raised when equal inputs give other latents or another file: older ones are then made again."""

PIECE = 2**20  # bytes read at a time for a digest


@dataclass(frozen=True)
class Clip:
    """One clip to encode.

    Attributes:
        sample: its pair.
        window: which of the pair's clips, from 0.
        frames: their numbers in either video.
        bucket: the shape they get.
        crop: the part of the picture, in both halves.
        made_of: all that its latents depend on besides the videos, for the file's metadata.
        id: of its latents.
    """

    sample: Sample
    window: int
    frames: range
    bucket: Bucket
    crop: Crop
    made_of: dict[str, str]
    id: str

    def row(self, facts: Facts, effort: Effort | None = None) -> Encoded:
        """Its row, once its latents are in the store; with an effort they were encoded now."""
        return Encoded(
            pair_id=self.sample.pair_id,
            name=self.sample.name,
            window=self.window,
            outcome="encoded" if effort else "found",
            id=self.id,
            bucket=str(self.bucket),
            first_frame=self.frames.start,
            fps=facts.fps,
            grid=facts.grid,
            effort=effort,
        )


class Finder:
    """Knows clips and their ids.

    Args:
        backbone: whose autoencoder encodes.
        settings: what latents are made of.
        store: where they lie.
        device: where they are computed: on CUDA in bfloat16.
        limits: what a video may be.

    Attributes:
        store: as given.
        computed: what the autoencoder computes in.
        stored: dtype of the latents in the store.
    """

    def __init__(
        self,
        backbone: Backbone,
        settings: EncodeSettings,
        store: LatentStore,
        *,
        device: Device = "cpu",
        limits: MediaLimits | None = None,
    ) -> None:
        self.store, self._settings, self._limits = store, settings, limits or MediaLimits()
        self.computed = torch.bfloat16 if torch.device(device).type == "cuda" else torch.float32
        self.stored: torch.dtype = self.computed if settings.dtype == "auto" else getattr(torch, settings.dtype)
        self._made_by = {
            "format": str(FORMAT),
            "backbone": backbone.kind,
            "codec": codec_fingerprint(backbone.folder / "vae"),
            "computed": str(self.computed).removeprefix("torch."),
            "stored": str(self.stored).removeprefix("torch."),
        }

    def clip(self, sample: Sample, window: int) -> Clip:
        """A pair's clip of that number, with its id. Reads both videos' bytes.

        Raises:
            MediaError: the pair is too short, has no face to cut around, or a video is missing, too large or cannot be read.
        """
        bucket = choose_bucket(sample, self._settings.shapes)
        frames = windows_of(sample, bucket, self._settings)[window]
        crop = cut_of(sample, bucket, self._settings)
        made_of = self._made_by | {"bucket": str(bucket), "first_frame": str(frames.start), "crop": json.dumps(asdict(crop))}
        if self._settings.face_share is not None:
            made_of["face_share"] = f"{self._settings.face_share:g}"
        videos = [_digest("source", sample.source, self._limits), _digest("edited", sample.edited, self._limits)]
        identity = hashlib.sha256(json.dumps([*videos, made_of], sort_keys=True).encode()).hexdigest()[:16]
        return Clip(sample, window, frames, bucket, crop, made_of, identity)

    def find(self, sample: Sample, window: int = 0) -> Encoded | None:
        """The row of a clip that needs no encoding: its latents are there, or can never be made. None for all others."""
        try:
            clip = self.clip(sample, window)
        except MediaError as error:
            return dropped(sample, window, error)
        facts = self.store.get(clip.id)
        return clip.row(facts) if facts else None


def dropped(sample: Sample, window: int, error: MediaError) -> Encoded:
    """The row of a clip that cannot be encoded."""
    return Encoded(sample.pair_id, sample.name, window, "dropped", reason=error.reason, detail=error.detail)


def codec_fingerprint(folder: Path) -> str:
    """Sixteen hex digits for an autoencoder's folder: its weights, and its configuration without who wrote it."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    known = {name: value for name, value in config.items() if name not in ("_diffusers_version", "_name_or_path")}
    parts = [json.dumps(known, sort_keys=True)]
    for weights in sorted(folder.glob("*.safetensors")):
        with weights.open("rb") as file:
            parts.append(hashlib.file_digest(file, "sha256").hexdigest())
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def _digest(half: str, path: Path, limits: MediaLimits) -> str:
    try:
        with open_regular(str(path)) as file:
            check_bytes(size_of(file), limits)
            content = hashlib.sha256()
            while piece := file.read(PIECE):
                content.update(piece)
            return content.hexdigest()
    except MediaError as error:
        raise MediaError(error.reason, f"{half} {path.name}: {error.detail}") from error
    except OSError as error:  # a video that cannot be read is the pair's failure, not the disk's
        raise MediaError(Reason.UNREADABLE, f"{half} {path.name}: {error.strerror}") from error
