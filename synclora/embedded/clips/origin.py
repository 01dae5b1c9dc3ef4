"""What clips are made of: real videos of a portraits folder, and puppets of its faces and of the first frames of its videos.

    for source in videos_of(portraits): pictures, fps = source.origin.pictures()

A source is cheap; its pictures are made when they are asked for, and the same again each time.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synclora.embedded.clips.settings import ClipSettings
from synclora.embedded.clips.split import split_of
from synclora.errors import MediaError, SyncLoraError
from synclora.media.decode import Decoder
from synclora.media.settings import MediaLimits
from synclora.pairs.puppet.edits import EDITS
from synclora.pairs.puppet.portrait import Portrait, load_portrait
from synclora.pairs.puppet.probe import check_puppet
from synclora.pairs.puppet.render import Look, Puppet
from synclora.pairs.puppet.script import Script
from synclora.report.contact import write_png

Pictures = list[NDArray[np.uint8]]


@dataclass(frozen=True)
class Origin:
    """How to make a clip's pictures.

    Attributes:
        kind: real or puppet.
        path: the video, or the face's picture.
        px: side of a puppet's picture.
        fps: of a puppet.
        frames: of a puppet.
        seed: of a puppet's script and look.
        edit: name of a puppet's look in the catalogue; "" for the face as it is.
    """

    kind: str
    path: Path
    px: int = 0
    fps: int = 0
    frames: int = 0
    seed: int = 0
    edit: str = ""

    def pictures(self) -> tuple[Pictures, float]:
        """All frames, (height, width, 3) uint8 RGB, and their rate.

        Raises:
            MediaError: the video cannot be used, or the face cannot be animated.
        """
        if self.kind == "real":
            # shorter than curation takes, so that the reason is said here
            with Decoder(MediaLimits(min_frames=1)) as decoder:
                frames = decoder.frames(self.path, analysis=False)
                return list(frames), float(frames.info.fps)
        portrait, puppet = _puppet(self.path, self.px)
        look = Look.of(portrait)
        if self.edit:
            rng = np.random.default_rng([self.seed, 2])
            look = EDITS[self.edit].draw(portrait, EDITS[self.edit].choose(rng), rng)
        return list(puppet.frames(puppet.dress(look), Script.random(self.seed, self.frames, self.fps))), float(self.fps)


@dataclass(frozen=True)
class Source:
    """One clip to be.

    Attributes:
        name: unique, with a digest of what it is made of.
        identity: of whom.
        origin: how.
    """

    name: str
    identity: str
    origin: Origin


def videos_of(portraits: Path) -> Iterator[Source]:
    """The real and generated videos of the manifest, in its order.

    Raises:
        SyncLoraError: there is no manifest.
    """
    manifest = _manifest(portraits)
    for entry in (*manifest["clips"], *manifest["pairs"]):
        path = portraits / entry["file"]
        stem = "-".join(path.relative_to(portraits).with_suffix("").parts[1:])
        yield Source(f"real-{stem}-{_digest(path)}", entry["identity"], Origin("real", path))


def pictures_of(portraits: Path) -> list[tuple[Path, str]]:
    """The manifest's pictures of faces, and of whom each is.

    Raises:
        SyncLoraError: there is no manifest.
    """
    return [(portraits / entry["file"], entry["identity"]) for entry in _manifest(portraits)["faces"]]


def puppets_of(portraits: Path, settings: ClipSettings, faces: Path) -> Iterator[Source]:
    """Performances of every face: the manifest's pictures, and the first frames of the videos that are trained on.

    Args:
        portraits: the folder.
        settings: how many, and of which shape.
        faces: a folder for the first frames.
    """
    if not settings.puppets_per_face:
        return
    frames = round(settings.puppet_seconds * settings.puppet_fps)
    edits = tuple(EDITS)
    for number, (path, identity) in enumerate([*pictures_of(portraits), *_first_frames(portraits, faces)]):
        for turn in range(settings.puppets_per_face):
            seed = int(np.random.default_rng([settings.seed, number, turn]).integers(2**31))
            edit = edits[(number + turn // 2) % len(edits)] if turn % 2 else ""
            origin = Origin("puppet", path, settings.puppet_px, settings.puppet_fps, frames, seed, edit)
            yield Source(f"puppet-{path.stem}-{turn:02d}-{edit or 'plain'}-{_digest(path)}", identity, origin)


def _first_frames(portraits: Path, folder: Path) -> Iterator[tuple[Path, str]]:
    """Of every video that is trained on, as PNG; made once."""
    folder.mkdir(parents=True, exist_ok=True)
    for source in videos_of(portraits):
        if split_of(source.identity) != "train":
            continue
        path = folder / f"{source.name.rsplit('-', 1)[0]}.png"
        if not path.exists():
            try:
                with Decoder(MediaLimits(min_frames=1)) as decoder:
                    write_png(path, next(decoder.frames(source.origin.path, analysis=False)))
            except MediaError:
                continue
        yield path, source.identity


@lru_cache(maxsize=2)
def _puppet(path: Path, px: int) -> tuple[Portrait, Puppet]:
    portrait = load_portrait(path, px)
    puppet = Puppet.of(portrait)
    check_puppet(portrait, puppet)
    return portrait, puppet


def _manifest(portraits: Path) -> dict[str, Any]:
    try:
        manifest = json.loads((portraits / "MANIFEST.json").read_text(encoding="utf-8"))
    except OSError as error:
        raise SyncLoraError(f"--portraits {portraits}: {error.strerror}: MANIFEST.json; give a folder of portraits") from error
    except ValueError as error:
        raise SyncLoraError(f"--portraits {portraits}: MANIFEST.json is no JSON ({error})") from error
    return dict(manifest)


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()[:10]
    except OSError:
        return "missing"
