"""The embedded source of pairs: portraits animated on known scripts, once as they are and once edited.

source = PuppetPairs(PuppetSettings(pairs=24))
for pair in source.rows():
    pair = source.materialise(pair, scratch)      # scratch/puppet/<id>/source.mp4, edited.mp4, truth.json
"""

import hashlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from fractions import Fraction
from functools import lru_cache
from itertools import repeat
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np

from synclora.errors import MediaError, SyncLoraError
from synclora.media.encode import write_video
from synclora.pairs.base import Pair, View
from synclora.pairs.puppet.defects import NO_FACE, apply_defect, failing_cues
from synclora.pairs.puppet.edits import EDITS
from synclora.pairs.puppet.portrait import default_picture, load_portrait
from synclora.pairs.puppet.probe import check_puppet
from synclora.pairs.puppet.raster import Picture
from synclora.pairs.puppet.render import Layers, Look, Puppet
from synclora.pairs.puppet.script import Script
from synclora.pairs.puppet.settings import PuppetSettings

VERSION = 2
"""Raised whenever the same settings give other pixels, so that older files are not taken for new ones."""

PRESET = "veryfast"
"""Effort of x264: a third of the time of "fast" for the same size, because the scene behind stands still."""

DEFAULT_PORTRAIT = "astronaut"
PICTURE_ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp")


@dataclass(frozen=True)
class Plan:
    """One pair before it is drawn.

    Attributes:
        seed: of the script and of the edit's details.
        portrait: file name in the faces folder, or "astronaut".
        edit: name in the catalogue.
        choice: the edit's colour or kind, in words.
        defect: what is wrong with the edited half, or None.
    """

    seed: int
    portrait: str
    edit: str
    choice: str
    defect: str | None


@dataclass(frozen=True)
class PuppetPairs:
    """Pairs made by animating portraits. Plain values only: it travels to workers as it is."""

    settings: PuppetSettings = field(default_factory=PuppetSettings)

    def rows(self) -> list[Pair]:
        """All pairs; nothing is drawn and no portrait is opened.

        Raises:
            SyncLoraError: the faces folder is missing or holds no picture.
        """
        return [self._row(index, plan) for index, plan in enumerate(self._plans())]

    def materialise(self, pair: Pair, scratch: Path) -> Pair:
        """Draw both halves into a folder named by what determines them; done folders are taken as they are.

        A portrait that cannot be animated marks the pair as unusable.

        Raises:
            SyncLoraError: the pair is not one of the puppet's.
        """
        if pair.problem is not None:
            return pair
        plan = _plan_of(pair)
        try:
            folder = Path(scratch) / "puppet" / self._identity(plan)
            if not folder.is_dir():
                self._make(plan, folder)
        except MediaError as error:
            return pair.failed(error.reason, f"portrait {plan.portrait}: {error.detail}")
        return replace(pair, source=View(str(folder / "source.mp4")), edited=View(str(folder / "edited.mp4")))

    def scripts(self, pair: Pair) -> tuple[Script, Script]:
        """What the two halves of a pair perform."""
        return self._scripts(_plan_of(pair))

    def _plans(self) -> Iterator[Plan]:
        settings = self.settings
        portraits = _portraits(settings.faces)
        rng = np.random.default_rng([settings.seed, 0x501])
        edits, faces = _in_turn(settings.edits, rng), _in_turn(tuple(portraits), rng)
        bad = 0
        for index in range(settings.pairs):
            seed = int(rng.integers(2**31))
            edit = next(edits)
            choice = EDITS[edit].choose(np.random.default_rng([seed, 1]))
            defect = None
            if int((index + 1) * settings.bad_share + 1e-9) > bad:
                defect = settings.defects[bad % len(settings.defects)]
                bad += 1
            yield Plan(seed, next(faces), edit, choice, defect)

    def _row(self, index: int, plan: Plan) -> Pair:
        source, edited = self._scripts(plan)
        truth = {
            **asdict(plan),
            "expected": "kept" if plan.defect is None else "rejected",
            "failing": ["speech", "blink", "gaze", "pose"] if plan.defect == NO_FACE else failing_cues(source, edited),
        }
        name = f"puppet-{index:04d}-{plan.edit}"
        return Pair(
            name=name,
            source=View(f"{name}/source.mp4"),
            edited=View(f"{name}/edited.mp4"),
            caption=EDITS[plan.edit].caption(plan.choice),
            truth=json.dumps(truth, sort_keys=True),
        )

    def _scripts(self, plan: Plan) -> tuple[Script, Script]:
        source = Script.random(plan.seed, self.settings.frames, self.settings.fps)
        if plan.defect is None:
            return source, source
        return source, apply_defect(plan.defect, source, plan.seed, self.settings.fps)

    def _path(self, plan: Plan) -> Path | None:
        return None if self.settings.faces is None else self.settings.faces / plan.portrait

    def _identity(self, plan: Plan) -> str:
        settings = self.settings
        pixels = {
            "version": VERSION,
            "plan": asdict(plan),
            "size": settings.size,
            "fps": settings.fps,
            "frames": settings.frames,
            "portrait": _digest(self._path(plan)),
        }
        return hashlib.sha256(json.dumps(pixels, sort_keys=True).encode()).hexdigest()[:16]

    def _make(self, plan: Plan, folder: Path) -> None:
        puppet = _puppet(self._path(plan), self.settings.size)
        portrait = load_portrait(self._path(plan), self.settings.size)
        look = EDITS[plan.edit].draw(portrait, plan.choice, np.random.default_rng([plan.seed, 2]))
        plain, edited = puppet.dress(Look.of(portrait)), puppet.dress(look)
        scripts = self._scripts(plan)
        folder.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            fps = Fraction(self.settings.fps)
            write_video(draft / "source.mp4", puppet.frames(plain, scripts[0]), fps, preset=PRESET)
            write_video(draft / "edited.mp4", _edited_frames(puppet, edited, scripts[1], plan.defect), fps, preset=PRESET)
            (draft / "truth.json").write_text(json.dumps(_truth(plan, scripts)), encoding="utf-8")
            draft.chmod(0o755)  # mkdtemp makes it private; other users of the scratch folder read it
            _publish(draft, folder)
        finally:
            shutil.rmtree(draft, ignore_errors=True)


def _edited_frames(puppet: Puppet, layers: Layers, script: Script, defect: str | None) -> Iterator[Picture]:
    if defect == NO_FACE:
        return repeat(layers.scene, len(script))
    return puppet.frames(layers, script)


def _publish(draft: Path, folder: Path) -> None:
    try:
        draft.rename(folder)
    except OSError:
        if not folder.is_dir():  # otherwise another worker was first, with the same content
            raise


def _truth(plan: Plan, scripts: tuple[Script, Script]) -> dict[str, Any]:
    halves = [{name: np.round(track.astype(float), 5).tolist() for name, track in script.tracks().items()} for script in scripts]
    return {**asdict(plan), "source": halves[0], "edited": halves[1]}


def _plan_of(pair: Pair) -> Plan:
    try:
        truth = json.loads(pair.truth)
        return Plan(*(truth[key] for key in ("seed", "portrait", "edit", "choice", "defect")))
    except (ValueError, KeyError, TypeError) as error:
        raise SyncLoraError(f"pair {pair.name}: its truth names no puppet script; take pairs from PuppetPairs.rows()") from error


def _in_turn(items: tuple[str, ...], rng: np.random.Generator) -> Iterator[str]:
    """All items in a random order, then again in another."""
    while True:
        for index in rng.permutation(len(items)):
            yield items[index]


def _portraits(faces: Path | None) -> list[str]:
    if faces is None:
        return [DEFAULT_PORTRAIT]
    if not faces.is_dir():
        raise SyncLoraError(f"faces folder {faces}: no such folder; give one of portraits, or none for the embedded one")
    names = sorted(path.name for path in faces.iterdir() if path.suffix.lower() in PICTURE_ENDINGS and path.is_file())
    if not names:
        raise SyncLoraError(f"faces folder {faces}: no picture in it; put portraits there ({', '.join(PICTURE_ENDINGS)})")
    return names


@lru_cache(maxsize=64)
def _digest(path: Path | None) -> str:
    if path is None:
        return hashlib.sha256(default_picture().tobytes()).hexdigest()
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return "unreadable"


@lru_cache(maxsize=8)
def _puppet(path: Path | None, size: int) -> Puppet:
    portrait = load_portrait(path, size)
    puppet = Puppet.of(portrait)
    check_puppet(portrait, puppet)
    return puppet
