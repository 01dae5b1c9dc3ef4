"""The numbers of the embedded backbone: how well edits move as their sources do, with adapter and without, on clips never trained on.

    python -m synclora.embedded.measure --backbone DIR --adapter DIR --portraits DIR --out DIR
    python -m synclora.embedded.measure --backbone DIR --adapter A --adapter B --portraits DIR --out DIR --only real --clips 6 --seeds 2

Three sets, each clip under all conditions, scored by curation's scorer, with intervals over clips and seeds: evaluation/ has a file for each.
OUT gets numbers.json, numbers.md and contact.png, and keeps every video. One file per video says what it scored; a killed run goes on there.
Results of other weights, another number of steps or other clips are made again.
"""

import argparse
import hashlib
import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from synclora.backbone.find import find_backbone
from synclora.backbone.folder import weights_digest
from synclora.command import Parser, one_line
from synclora.edit.library import read_info
from synclora.edit.plan import Plan
from synclora.edit.settings import EditSettings
from synclora.embedded.evaluation.make import BARE, CODEC, FROZEN, SOURCE, Condition, Maker
from synclora.embedded.evaluation.report import write_all
from synclora.embedded.evaluation.result import Result
from synclora.embedded.evaluation.score import Score, score_of
from synclora.embedded.evaluation.sets import SETS, Clip, SetName, make_clips
from synclora.errors import MediaError, SyncLoraError
from synclora.media.decode import Decoder, Picture
from synclora.motion.landmarks import Landmarker, quiet
from synclora.motion.measure import STAMP, Measurement, measure
from synclora.motion.settings import LandmarkSettings
from synclora.outdir import Kind, open_output, write_whole

KIND = Kind("embedded-numbers", "synclora.embedded.measure", ("videos", "results"))

VERSION = 1
"""Raised when equal videos would score otherwise, or equal settings give other videos."""


class Bench:
    """Makes and scores videos, or takes what an earlier run left.

    Args:
        out: the run's folder.
        maker: makes them.
        landmarker: measures them.
        digests: of the weights of a condition, by name.
        tell: is told of every video.
    """

    def __init__(
        self,
        out: Path,
        maker: Maker,
        landmarker: Landmarker,
        digests: Mapping[str, str],
        tell: Callable[[str], None] = print,
    ) -> None:
        self._out, self._maker, self._landmarker, self._digests, self._tell = out, maker, landmarker, dict(digests), tell
        self._decoder = Decoder()
        self._source: tuple[Path, Measurement] | None = None

    def results(self, clip: Clip, conditions: Sequence[Condition], seeds: int) -> Iterator[Result]:
        """Of one clip; a clip that cannot be edited is told of and left out."""
        place = self._out / "videos" / clip.set / clip.name
        plan: Plan | None = None
        for condition in conditions:
            for seed in range(seeds if condition.sampled else 1):
                note = self._out / "results" / clip.set / clip.name / f"{condition.name}-{seed}.json"
                video, key = place / f"{condition.name}-{seed}.mp4", self._key(clip, condition)
                facts = _noted(note, key)
                if facts is None or not video.exists():
                    try:
                        plan = plan or self._plan(clip, place)
                        facts = self._made(clip, plan, condition, seed, video)
                    except MediaError as error:
                        self._tell(f"{clip.set}/{clip.name} {condition.name}: left out: {error}")
                        continue
                    note.parent.mkdir(parents=True, exist_ok=True)
                    write_whole(note, json.dumps({"key": key, **facts}, indent=1) + "\n")
                    self._tell(
                        f"{clip.set}/{clip.name} {condition.name}-{seed}: {facts['score']['mean']}, {facts['seconds']:.0f} s"
                    )
                score = Score.from_json(facts["score"])
                yield Result(clip, condition.name, seed, score, video, place / "reference.mp4", facts["seconds"])

    def close(self) -> None:
        """End the decoder."""
        self._decoder.close()

    def _plan(self, clip: Clip, place: Path) -> Plan:
        """The editor's plan, and with it the reference, written anew: it costs little, and another cut is another reference."""
        place.mkdir(parents=True, exist_ok=True)
        plan = self._maker.plan(clip)
        self._maker.reference(plan, place / "reference.mp4")
        self._source = None
        return plan

    def _made(self, clip: Clip, plan: Plan, condition: Condition, seed: int, video: Path) -> dict[str, Any]:
        begun = time.monotonic()
        self._maker.write(clip, plan, condition, seed, video)
        seconds = time.monotonic() - begun
        reference = video.with_name("reference.mp4")
        if self._source is None or self._source[0] != reference:
            self._source = reference, self._measured(reference)
        made = self._measured(video)
        score = score_of(self._source[1], made, stamp_of(plan.pictures[0]))
        return {"score": asdict(score), "seconds": round(seconds, 2)}

    def _measured(self, video: Path) -> Measurement:
        frames = self._decoder.frames(video)
        size = frames.info.width, frames.info.height
        with quiet():
            return measure(self._landmarker, frames, float(frames.info.fps), size=size, expected=frames.info.frames)

    def _key(self, clip: Clip, condition: Condition) -> str:
        """Of all that a result depends on."""
        content = [_digest(path) for path in (clip.source, clip.first, clip.edited) if path is not None]
        text = json.dumps([VERSION, content, self._digests[condition.name]])
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def stamp_of(picture: Picture) -> Picture:
    """A picture as small as edit strength is read from."""
    import cv2

    return cv2.resize(picture, (STAMP, STAMP), interpolation=cv2.INTER_AREA).astype("uint8")


def digests_of(backbone: str, adapters: Mapping[str, Path], steps: int | None, settings: EditSettings) -> dict[str, str]:
    """What each condition's videos depend on besides the clip."""
    base = find_backbone(backbone)
    weights, how = weights_digest(base.folder), f"{steps} {settings.fingerprint()}"
    bounds = next((read_info(path.absolute(), name).model_dump() for name, path in adapters.items()), {})  # of the first, for all
    cut = json.dumps({name: bounds.get(name) for name in ("width", "height", "frames", "face_share", "given_frames", "caption")})
    made = dict.fromkeys((BARE, FROZEN, SOURCE, CODEC), f"{weights} {how} {cut}")
    made |= {name: f"{weights} {how} {cut} {_digest_of_adapter(path)}" for name, path in adapters.items()}
    return made


def _digest_of_adapter(path: Path) -> str:
    files = sorted(path.glob("*.safetensors")) if path.is_dir() else [path]
    return " ".join(_digest(file) for file in files)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def _noted(note: Path, key: str) -> dict[str, Any] | None:
    try:
        facts = json.loads(note.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return facts if isinstance(facts, dict) and facts.get("key") == key else None


def conditions_of(adapters: Iterable[str]) -> list[Condition]:
    """In the tables' order."""
    return [Condition(name) for name in (*adapters, BARE, FROZEN, SOURCE, CODEC)]


def named(paths: Sequence[Path]) -> dict[str, Path]:
    """Adapters by the name of their folder; of a training run's `adapter`, by the run's.

    Raises:
        SyncLoraError: two of one name, or one that a condition has.
    """
    found: dict[str, Path] = {}
    for path in paths:
        folder = path.absolute()
        name = folder.parent.name if folder.name == "adapter" else folder.name.removesuffix(".safetensors")
        if name in found or name in (BARE, FROZEN, SOURCE, CODEC):
            raise SyncLoraError(f"--adapter {path}: the name {name} is taken; rename its folder")
        found[name] = path
    return found


@dataclass(frozen=True)
class Asked:
    """What is to be measured.

    Attributes:
        backbone: as the editor takes it.
        adapters: folders.
        portraits: with MANIFEST.json.
        out: the run's folder.
        clips: of each set.
        seeds: edits of each clip.
        sets: which ones.
        steps: of sampling; None for the editor's default.
    """

    backbone: str
    adapters: tuple[Path, ...]
    portraits: Path
    out: Path
    clips: int = 8
    seeds: int = 2
    sets: tuple[SetName, ...] = SETS
    steps: int | None = None


def run(asked: Asked, tell: Callable[[str], None] = print) -> list[Result]:
    """Measure, and write what was found.

    Raises:
        SyncLoraError: one line for the user.
        OSError: the disk is full; what was measured stays.
    """
    adapters, settings = named(asked.adapters), EditSettings()
    conditions = conditions_of(adapters)
    digests = digests_of(asked.backbone, adapters, asked.steps, settings)
    results: list[Result] = []
    with open_output(asked.out, KIND) as out, Landmarker(LandmarkSettings()) as landmarker:
        with Maker(asked.backbone, adapters, asked.steps, settings) as maker:
            bench = Bench(out, maker, landmarker, digests, tell)
            for clip in make_clips(asked.portraits, out, asked.clips, asked.sets):
                results += bench.results(clip, conditions, asked.seeds)
            bench.close()
        facts = {"weights": weights_digest(find_backbone(asked.backbone).folder)}
        facts |= {"steps": str(asked.steps or settings.steps), "seeds": str(asked.seeds)}
        write_all(out, results, list(adapters), facts)
    return results


def main(argv: list[str]) -> int:
    """Exit status 0, or 2 with one line on stderr, or 130 after Ctrl-C."""
    try:
        arguments = _parse(argv)
        torch.set_num_threads(arguments.threads or torch.get_num_threads())
        run(
            Asked(
                backbone=arguments.backbone,
                adapters=tuple(arguments.adapter),
                portraits=arguments.portraits,
                out=arguments.out,
                clips=arguments.clips,
                seeds=arguments.seeds,
                sets=tuple(arguments.only or SETS),
                steps=arguments.steps,
            )
        )
    except (SyncLoraError, OSError) as error:
        print(f"synclora.embedded.measure: {one_line(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("synclora.embedded.measure: interrupted; the same command goes on", file=sys.stderr)
        return 130
    print((arguments.out / "numbers.md").read_text(encoding="utf-8"))
    return 0


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = Parser(prog="python -m synclora.embedded.measure", description="The numbers of the embedded backbone.")
    add = parser.add_argument
    add("--backbone", default="embedded", metavar="NAME", help="folder in diffusers' layout (default: embedded)")
    add("--adapter", type=Path, action="append", default=[], metavar="DIR", help="an adapter's folder; repeatable")
    add("--portraits", type=Path, required=True, metavar="DIR", help="folder with MANIFEST.json, clips/, pairs/, faces/")
    add("--out", type=Path, required=True, metavar="DIR", help="for numbers.json, numbers.md, contact.png and the videos")
    add("--seeds", type=int, default=2, metavar="N", help="edits of each clip (default: 2)")
    add("--clips", type=int, default=8, metavar="N", help="of each set (default: 8)")
    add("--only", action="append", choices=SETS, help="this set alone; repeatable")
    add("--steps", type=int, metavar="N", help="of sampling (default: the editor's)")
    add("--threads", type=int, default=0, metavar="N", help="of torch (default: its own choice)")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
