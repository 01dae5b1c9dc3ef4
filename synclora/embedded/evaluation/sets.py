"""The clips that the final numbers are taken on: three sets, none of them seen by any training of this project.

    for clip in make_clips(portraits, out, count=8): print(clip.set, clip.name, clip.edit)

seen      puppets of training faces, on performances that no training saw
unseen    puppets of held-out faces, likewise
real      held-out videos; their first frames edited by people's models where there are such edits, else by the puppet's catalogue

A performance is a function of its seed. Training draws seeds below 2^31 (`PuppetPairs`, the autoencoder's cache; what a known-bad pair
performs instead begins a few millions above), the sets here begin at 2^32: no draw, of whatever set, can meet them. Faces and videos go by
`clips/split.py`, and a clip of a wrong side is refused.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np

from synclora.embedded.clips.origin import videos_of
from synclora.embedded.clips.split import split_of
from synclora.embedded.edits.still import drawn_on
from synclora.embedded.faces import Face, fill
from synclora.errors import MediaError, SyncLoraError
from synclora.media.decode import Decoder
from synclora.media.encode import write_video
from synclora.outdir import write_whole
from synclora.pairs.base import Pair, View
from synclora.pairs.puppet.edits import EDITS
from synclora.pairs.puppet.settings import PuppetSettings
from synclora.pairs.puppet.source import PuppetPairs
from synclora.report.contact import write_png

SetName = Literal["seen", "unseen", "real"]
SETS: tuple[SetName, ...] = ("seen", "unseen", "real")

FIRST_SEED: dict[str, int] = {"seen": 2**32, "unseen": 2**32 + 2**20}
"""Of the performances; see above."""

LONGEST = 81
"""Frames of a real clip: METHOD's clips, and a minute's work on two cores."""

_BEST = ("SyncLoRA", "Ours")
"""Of several edits of one kind, the one whose first frame is taken; they share it, or nearly."""


@dataclass(frozen=True)
class Clip:
    """A source and its edited first frame.

    Attributes:
        set: where it belongs.
        name: unique in its set.
        unit: what is drawn anew for intervals: the performance. Several edits of one video are no independent witnesses.
        identity: of whom.
        edit: in words.
        source: the video.
        first: the edited first frame.
        edited: the true edited half, of puppets; else None.
    """

    set: SetName
    name: str
    unit: str
    identity: str
    edit: str
    source: Path
    first: Path
    edited: Path | None


def make_clips(portraits: Path, out: Path, count: int, sets: Sequence[SetName] = SETS) -> Iterator[Clip]:
    """The clips of some sets, made under `out` where they are not there yet.

    Args:
        portraits: a folder with MANIFEST.json.
        out: for their files.
        count: clips of each set.
        sets: which ones.

    Raises:
        SyncLoraError: there is no manifest, or nothing to show in a set.
    """
    for name in sets:
        clips = list(islice(_real(portraits, out) if name == "real" else _puppets(portraits, out, name), count))
        if not clips:
            raise SyncLoraError(f"--portraits {portraits}: no clip for the set {name}; give a folder with held-out people")
        for clip in clips:
            check_side(clip)
        yield from clips


def check_side(clip: Clip) -> None:
    """Whether the clip may be in its set.

    Raises:
        SyncLoraError: a person of another side.
    """
    allowed = "train" if clip.set == "seen" else "held_out"
    if (side := split_of(clip.identity)) != allowed:
        raise SyncLoraError(f"{clip.set}/{clip.name}: {clip.identity} is of the {side} side; only {allowed} may be measured here")


def _puppets(portraits: Path, out: Path, name: SetName) -> Iterator[Clip]:
    folder = out / "faces" / name
    folder.mkdir(parents=True, exist_ok=True)
    faces = fill(portraits, "train" if name == "seen" else "held_out", folder, lambda _line: None)
    source = PuppetPairs(PuppetSettings(faces=folder))
    for number, face in enumerate(_in_turn(faces)):
        if number >= 10_000:
            return
        edit = tuple(EDITS)[number % len(EDITS)]
        clip = _puppet(source, face, edit, FIRST_SEED[name] + number, out, name)
        if clip is not None:
            yield clip


def _in_turn(faces: Sequence[Face]) -> Iterator[Face]:
    """People in turn, in an order of chance; of a person one picture after the other."""
    people: dict[str, list[Face]] = {}
    for face in faces:
        people.setdefault(face.identity, []).append(face)
    order = np.random.default_rng(0).permutation(sorted(people))
    turn = 0
    while True:
        for identity in order:
            yield people[identity][turn % len(people[identity])]
        turn += 1


def _puppet(source: PuppetPairs, face: Face, edit: str, seed: int, out: Path, name: SetName) -> Clip | None:
    """None for a face that cannot be animated."""
    choice = EDITS[edit].choose(np.random.default_rng([seed, 1]))
    plan = {"seed": seed, "portrait": face.path.name, "edit": edit, "choice": choice, "defect": None}
    pair = Pair(f"{face.identity}-{edit}", View(""), View(""), truth=json.dumps(plan))
    pair = source.materialise(pair, out / "puppets")
    if pair.problem is not None:
        return None
    folder = Path(pair.source.path).parent
    if not (folder / "first.png").exists():
        with Decoder() as decoder:
            write_png(folder / "first.png", next(decoder.frames(folder / "edited.mp4", analysis=False)))
    label = f"{seed - FIRST_SEED[name]:02d}-{face.identity}-{edit}"
    words = EDITS[edit].caption(choice)
    return Clip(name, label, label, face.identity, words, folder / "source.mp4", folder / "first.png", folder / "edited.mp4")


def _real(portraits: Path, out: Path) -> Iterator[Clip]:
    """Edits of every held-out video in turn: one of each video, then another of each."""
    videos: dict[str, list[Path]] = {}
    for source in videos_of(portraits):
        if split_of(source.identity) == "held_out":
            videos.setdefault(source.identity, []).append(source.origin.path)
    streams = [_edits_of(identity, paths, number, out) for number, (identity, paths) in enumerate(videos.items())]
    while streams:
        for stream in tuple(streams):
            clip = next(stream, None)
            if clip is None:
                streams.remove(stream)
            else:
                yield clip


def _edits_of(identity: str, paths: Sequence[Path], number: int, out: Path) -> Iterator[Clip]:
    """A video with the first frames of its real edits, one of each kind, then with the catalogue's."""
    original = next((path for path in paths if path.stem == "source"), paths[0])
    folder = out / "real" / identity
    source = _shortened(original, folder)
    kinds: dict[str, Path] = {}
    for path in paths:
        kind, _, method = path.stem.partition("_")
        if path != original and (kind not in kinds or method in _BEST):
            kinds[kind] = path
    for kind, path in kinds.items():
        first = folder / f"{kind}.png"
        if not first.exists():
            with Decoder() as decoder:
                write_png(first, next(decoder.frames(path, analysis=False)))
        yield Clip("real", f"{identity}-{kind}", identity, identity, f"{kind} ({path.name})", source, first, None)
    names = tuple(EDITS)
    for turn in range(len(names)):
        edit, seed = names[(turn + 3 * number) % len(names)], FIRST_SEED["unseen"] + 2**20 + turn
        clip = _drawn(identity, source, edit, seed, folder)
        if clip is not None:
            yield clip


def _drawn(identity: str, source: Path, edit: str, seed: int, folder: Path) -> Clip | None:
    first, words = folder / f"{edit}.png", folder / f"{edit}.json"
    try:
        if not (first.exists() and words.exists()):
            with Decoder() as decoder:
                picture, caption = drawn_on(next(decoder.frames(source, analysis=False)), edit, seed)
            write_png(first, picture)
            write_whole(words, json.dumps(caption))
    except MediaError:  # a face that the catalogue cannot draw on
        return None
    return Clip("real", f"{identity}-{edit}", identity, identity, json.loads(words.read_text("utf-8")), source, first, None)


def _shortened(video: Path, folder: Path) -> Path:
    """Its first frames, 8k + 1 of them, as the windows of training are."""
    target = folder / "source.mp4"
    if not target.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with Decoder() as decoder:
            frames = decoder.frames(video, analysis=False)
            count = min(LONGEST, (frames.info.frames - 1) // 8 * 8 + 1)
            write_video(target, islice(frames, count), frames.info.fps, crf=12)
    return target


def facts_of(clip: Clip) -> dict[str, str | None]:
    """The clip as it is noted beside its results."""
    return {name: None if value is None else str(value) for name, value in asdict(clip).items()}
