"""What was made, on disk under ids made of content: a rerun finds it, whatever the order, the batch or the node.

    OUT/generated/<stage>/ab/ab12…/    one portrait, edited portrait or video: made hidden beside, then renamed whole
        picture.png                    of a portrait or an edit
        source.mp4, edited.mp4         of a video
        made.json                      what it was made of, and at which cost
        look.json                      what a check measured on the picture

    store = MadeStore(out)
    identity = made_id(Stage.EDIT, found.identity, settings, scene.instruction, seed, [store.digest(Stage.PORTRAIT, portrait)])
    store.put_picture(Stage.EDIT, identity, picture, facts)

Ids are chained: an edit's id holds the bytes of its portrait, so another portrait gives another edit and another video.
"""

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from synclora.errors import MediaError, Reason
from synclora.media.decode import Picture
from synclora.media.encode import write_video
from synclora.media.images import read_picture
from synclora.pairs.diffusion.look import Look
from synclora.pairs.diffusion.settings import ModelSettings, Stage

FORMAT = 1
"""Raised when a stage makes something else of the same settings: what was made before is then no longer found."""
PICTURE, SOURCE, EDITED = "picture.png", "source.mp4", "edited.mp4"
_MADE, _LOOK = "made.json", "look.json"
_FILES = {Stage.PORTRAIT: (PICTURE,), Stage.EDIT: (PICTURE,), Stage.VIDEO: (SOURCE, EDITED)}
_PNG_EFFORT = 1  # zlib's: a picture of 1024 x 1024 takes 60 ms instead of 230, and a fifth more room


def made_id(stage: Stage, identity: str, settings: ModelSettings, prompt: str, seed: int, inputs: Sequence[bytes | str]) -> str:
    """Sixteen hex digits for what a model makes.

    Args:
        stage: whose the model is.
        identity: of the model's weights.
        settings: of the call, those that the result depends on.
        prompt: in words.
        seed: of the call.
        inputs: digests of the pictures that the call is given.
    """
    given = [one if isinstance(one, str) else one.hex() for one in inputs]
    text = json.dumps([FORMAT, stage.value, identity, settings.making(), prompt, seed, given], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def stage_seed(scene_seed: int, stage: Stage) -> int:
    """A stage's own seed, 0 to 2**32 - 1."""
    return int(hashlib.sha256(f"{scene_seed} {stage.value}".encode()).hexdigest()[:8], 16)


class MadeStore:
    """The folder of what was made. Safe for many writers: whoever comes second finds the first one's."""

    def __init__(self, out: Path) -> None:
        self._folder = out / "generated"

    def folder(self, stage: Stage, identity: str) -> Path:
        """Where it lies, whether or not it exists."""
        return self._folder / stage.value / identity[:2] / identity

    def has(self, stage: Stage, identity: str) -> bool:
        """Whether it is there whole: every file of the size that was written."""
        folder, sizes = self.folder(stage, identity), self.facts(stage, identity).get("bytes")
        if not isinstance(sizes, dict) or set(sizes) != set(_FILES[stage]):
            return False
        try:
            return all((folder / name).stat().st_size == size for name, size in sizes.items())
        except OSError:
            return False

    def facts(self, stage: Stage, identity: str) -> dict[str, Any]:
        """What made.json says; {} if it cannot be read."""
        try:
            facts = json.loads((self.folder(stage, identity) / _MADE).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return facts if isinstance(facts, dict) and facts.get("format") == FORMAT else {}

    def digest(self, stage: Stage, identity: str) -> str:
        """Sha256 of the picture's file, noted when it was written: for the ids of what is made of it. "" if it is not there."""
        return str(self.facts(stage, identity).get("sha256", ""))

    def picture(self, stage: Stage, identity: str) -> Picture:
        """The picture (h, w, 3).

        Raises:
            MediaError: it is not there, or damaged.
        """
        path = self.folder(stage, identity) / PICTURE
        if not path.is_file():
            raise MediaError(Reason.MISSING, f"{stage.value} {identity}: no such picture in {self._folder.name}/")
        return read_picture(path)

    def put_picture(self, stage: Stage, identity: str, picture: Picture, facts: Mapping[str, Any]) -> None:
        """Keep a picture (h, w, 3).

        Raises:
            OSError: the disk is full; nothing half-written stays.
        """

        def fill(folder: Path) -> dict[str, Any]:
            Image.fromarray(picture).save(folder / PICTURE, "PNG", compress_level=_PNG_EFFORT)
            content = (folder / PICTURE).read_bytes()
            return {"sha256": hashlib.sha256(content).hexdigest(), "width": picture.shape[1], "height": picture.shape[0]}

        self._put(stage, identity, facts, fill)

    def put_video(
        self,
        identity: str,
        source_frames: Iterable[Picture],
        edited_frames: Iterable[Picture],
        fps: int,
        crf: int,
        facts: Mapping[str, Any],
    ) -> None:
        """Keep both halves of a video, each encoded once.

        Raises:
            OSError: the disk is full; nothing half-written stays.
        """

        def fill(folder: Path) -> dict[str, Any]:
            for name, frames in ((SOURCE, source_frames), (EDITED, edited_frames)):
                write_video(folder / name, frames, fps, crf=crf)
            return {}

        self._put(Stage.VIDEO, identity, facts, fill)

    def look(self, stage: Stage, identity: str) -> Look | None:
        """What a check measured on the picture; None if it was not looked at, or not by the same measure."""
        try:
            return Look.from_json((self.folder(stage, identity) / _LOOK).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None

    def keep_look(self, stage: Stage, identity: str, look: Look) -> None:
        """Keep what was measured.

        Raises:
            OSError: the disk is full.
        """
        path = self.folder(stage, identity) / _LOOK
        scratch = path.with_name(f".{_LOOK}.{uuid.uuid4().hex}.part")
        try:
            scratch.write_text(look.to_json(), encoding="utf-8")
            scratch.replace(path)
        except FileNotFoundError:
            pass  # the picture is just being made again
        finally:
            scratch.unlink(missing_ok=True)

    def _put(self, stage: Stage, identity: str, facts: Mapping[str, Any], fill: Callable[[Path], dict[str, Any]]) -> None:
        """Fill a hidden folder, flush it, rename it: it appears whole, or not at all."""
        folder = self.folder(stage, identity)
        scratch = folder.with_name(f".{identity}.{uuid.uuid4().hex}")
        try:
            scratch.mkdir(parents=True)
            known = {"format": FORMAT, "stage": stage.value, **facts, **fill(scratch)}
            known["bytes"] = {name: (scratch / name).stat().st_size for name in _FILES[stage]}
            (scratch / _MADE).write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")
            for path in scratch.iterdir():
                _flush(path)
            self._place(scratch, stage, identity)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def _place(self, scratch: Path, stage: Stage, identity: str) -> None:
        folder = self.folder(stage, identity)
        while True:
            try:
                scratch.rename(folder)
                return
            except OSError:
                if self.has(stage, identity):
                    return  # another process was first
                if not folder.exists():
                    raise
            torn = folder.with_name(f".{identity}.{uuid.uuid4().hex}")
            try:
                folder.rename(torn)
            except FileNotFoundError:
                continue  # another process takes it away
            shutil.rmtree(torn, ignore_errors=True)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
