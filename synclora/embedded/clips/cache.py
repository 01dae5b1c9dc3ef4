"""The clips that are trained on, cut once: real ones and puppets, as uint8 squares around the face, under the user's cache folder.

    index = build_cache(Path("portraits"), ClipSettings())
    index.of("train")[0].pixels()       # (t, 160, 160, 3) uint8, mapped from the disk

Each item is `NAME.npy`, `NAME.labels.npy` (which pixels are eyes and lips) and, written last, `NAME.json`. Names hold the digest of what an
item is made of, so a second call makes only what is missing, and a killed one leaves nothing half-done.
"""

import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synclora.backbone.shared import cache_folder
from synclora.embedded.clips.crop import Square, labels_of, square_of
from synclora.embedded.clips.origin import Origin, Source, puppets_of, videos_of
from synclora.embedded.clips.settings import ClipSettings
from synclora.embedded.clips.split import Split, split_of
from synclora.errors import MediaError, SyncLoraError
from synclora.motion.landmarks import Landmarker, quiet
from synclora.motion.settings import LandmarkSettings

_LOG = logging.getLogger(__name__)

VERSION = 1
"""Raised when equal settings give other pixels."""

SHORTEST = 17
"""Frames of the shortest clip that is trained on."""


@dataclass(frozen=True)
class Item:
    """One cut video.

    Attributes:
        name: of its files.
        folder: where they lie.
        kind: real or puppet.
        identity: of whom; decides the split.
        split: train, validation or held_out.
        fps: frames per second, the video's own: nothing is resampled.
        frames: how many.
        square: which part of the video it is.
        middle: (x, y) of eyes and lips in the square, 0..1, median over the clip.
        origin: what it was made of, enough to make the whole pictures again.
    """

    name: str
    folder: Path
    kind: str
    identity: str
    split: Split
    fps: float
    frames: int
    square: Square
    middle: tuple[float, float]
    origin: Origin

    def pixels(self) -> NDArray[np.uint8]:
        """(t, side, side, 3) RGB, mapped."""
        return np.asanyarray(np.load(self.folder / f"{self.name}.npy", mmap_mode="r"))

    def labels(self) -> NDArray[np.uint8]:
        """(t, side, side), mapped; see `crop.labels_of`."""
        return np.asanyarray(np.load(self.folder / f"{self.name}.labels.npy", mmap_mode="r"))


@dataclass(frozen=True)
class Index:
    """All items, by name, and a line for each video or face that gave none."""

    items: tuple[Item, ...]
    left_out: tuple[str, ...]

    def of(self, split: Split, kind: str | None = None) -> tuple[Item, ...]:
        """Those of one side, and kind."""
        return tuple(item for item in self.items if item.split == split and kind in (None, item.kind))

    def digest(self) -> str:
        """Changes with what is trained on."""
        return hashlib.sha256("\n".join(item.name for item in self.of("train")).encode()).hexdigest()[:12]


def build_cache(portraits: Path, settings: ClipSettings, tell: Callable[[str], None] = _LOG.info, *, only: int = 0) -> Index:
    """Cut what is not cut yet.

    Args:
        portraits: a folder with MANIFEST.json, clips/, pairs/ and faces/.
        settings: the cut.
        tell: is told of every item made.
        only: stop after so many sources; 0 for all.

    Raises:
        SyncLoraError: the folder has no manifest.
    """
    folder = cache_folder() / "embedded" / f"clips-v{VERSION}-{settings.fingerprint()}"
    folder.mkdir(parents=True, exist_ok=True)
    found: list[Item] = []
    left_out: list[str] = []
    with _Cutter(settings, folder) as cutter:
        for count, source in enumerate(_sources(portraits, settings, folder), 1):
            item = cutter.item(source)
            if isinstance(item, Item):
                found.append(item)
            else:
                left_out.append(item)
            tell(f"{source.name}: {item if isinstance(item, str) else f'{item.frames} frames, {item.split}'}")
            if count == only:
                break
    if not any(item.split == "train" for item in found):
        raise SyncLoraError(f"--portraits {portraits}: no clip to train on; give a folder with MANIFEST.json, clips/ and faces/")
    return Index(tuple(sorted(found, key=lambda item: item.name)), tuple(left_out))


def _sources(portraits: Path, settings: ClipSettings, folder: Path) -> Iterator[Source]:
    yield from videos_of(portraits)
    yield from puppets_of(portraits, settings, folder / "faces")


class _Cutter:
    """Makes items; its landmarker is started by the first that has to be made."""

    def __init__(self, settings: ClipSettings, folder: Path) -> None:
        self._settings, self._folder = settings, folder
        self._landmarker: Landmarker | None = None

    def __enter__(self) -> "_Cutter":
        return self

    def __exit__(self, *_error: object) -> None:
        if self._landmarker is not None:
            self._landmarker.close()

    def item(self, source: Source) -> Item | str:
        """The item, or why there is none."""
        note = self._folder / f"{source.name}.json"
        if not note.exists():
            try:
                facts = self._made(source)
            except MediaError as error:
                facts = {"left_out": str(error)}
            scratch = note.with_name(f".{note.name}.{os.getpid()}.part")
            scratch.write_text(json.dumps(facts, indent=1, sort_keys=True), encoding="utf-8")
            scratch.replace(note)
        facts = json.loads(note.read_text(encoding="utf-8"))
        if "left_out" in facts:
            return f"left out: {facts['left_out']}"
        return Item(
            source.name,
            self._folder,
            source.origin.kind,
            source.identity,
            split_of(source.identity),
            facts["fps"],
            facts["frames"],
            Square(**facts["square"]),
            tuple(facts["middle"]),
            source.origin,
        )

    def _made(self, source: Source) -> dict[str, Any]:
        """Cut one video and write its arrays."""
        settings = self._settings
        pictures, fps = source.origin.pictures()
        if len(pictures) < SHORTEST:
            return {"left_out": f"{len(pictures)} frames, fewer than {SHORTEST}"}
        if self._landmarker is None:
            # bodies are not looked at here: half a second between looks costs next to nothing
            self._landmarker = Landmarker(LandmarkSettings(pose_step_s=0.5, face_count_looks=1))
        with quiet():
            marks = self._landmarker.track(pictures, fps, len(pictures))
        height, width = pictures[0].shape[:2]
        face_tkc = marks.face_tkc * np.array([width, height], np.float32)
        seen = float(np.isfinite(face_tkc[:, 0, 0]).mean())
        if seen < settings.min_face:
            return {"left_out": f"a face in {seen:.0%} of frames, less than {settings.min_face:.0%}"}
        share = settings.face_share * settings.picture_px / settings.cache_px
        square = square_of(face_tkc, width, height, share)
        labels = labels_of(face_tkc, square, settings.cache_px)
        _write(self._folder / f"{source.name}.npy", np.stack([square.cut(picture, settings.cache_px) for picture in pictures]))
        _write(self._folder / f"{source.name}.labels.npy", labels)
        ys, xs = np.nonzero(labels.any(0))
        middle = [float((at.min() + at.max() + 1) / 2 / settings.cache_px) for at in (xs, ys)]
        return {"fps": fps, "frames": len(pictures), "square": asdict(square), "middle": middle}


def _write(path: Path, array: NDArray[np.uint8]) -> None:
    scratch = path.with_name(f".{path.name}.{os.getpid()}.part.npy")
    np.save(scratch, array, allow_pickle=False)
    scratch.replace(path)
