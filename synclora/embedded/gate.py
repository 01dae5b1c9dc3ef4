"""Is the autoencoder good enough to build on? Unseen clips through it and back, and every cue measured again.

    python -m synclora.embedded.gate --portraits DIR --vae OUT/vae --out DIR

The gate is open if, over all unseen clips, MediaPipe finds the face in 95 % of the reconstructed frames, and in every clip in which lids or
lips move enough to tell, their curve follows the source's with r >= .9. Gaze is reported beside its ceiling, the same picture merely made small
and large again. DIR gets gate.json and contact.png.
"""

import argparse
import json
import math
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from synclora.backbone.base import Codec
from synclora.backbone.kinds import LTXVideo
from synclora.command import Parser, one_line
from synclora.embedded.autoencoder.settings import RECIPE, AutoencoderSettings
from synclora.embedded.clips.cache import Index, Item, build_cache
from synclora.embedded.clips.crop import Square
from synclora.embedded.clips.feed import plain_window, to_pixels
from synclora.embedded.clips.split import Split
from synclora.errors import SyncLoraError
from synclora.motion.landmarks import Landmarker
from synclora.motion.measure import Measurement, measure
from synclora.motion.settings import LandmarkSettings
from synclora.motion.signals import smooth
from synclora.outdir import write_whole
from synclora.report.contact import contact_sheet, stack, write_png

Pictures = NDArray[np.uint8]

LIMITS = {"blink": 0.05, "speech": 0.08}
"""Deviation of the source's smoothed curve from which a cue is judged: below, perfect copies fall under .9 too."""

CUES = ("speech", "blink", "gaze")
MIN_R = 0.9
MIN_FACE = 0.95

MEASURED_PX = 384
"""Side that MediaPipe is shown: three times the picture's, for source, small picture and reconstruction alike."""


@dataclass(frozen=True)
class Row:
    """One clip.

    Attributes:
        name: of the item.
        split: validation or held_out.
        kind: real or puppet.
        frames: judged.
        face: share of reconstructed frames with a face.
        std: of the source's curve, by cue.
        r: reconstruction against source, by cue; NaN where the source stands still.
        ceiling: the picture made small and large again, against the source.
        psnr: decibels of the small picture.
    """

    name: str
    split: str
    kind: str
    frames: int
    face: float
    std: dict[str, float]
    r: dict[str, float]
    ceiling: dict[str, float]
    psnr: float

    def fails(self) -> list[str]:
        """The judged cues that do not follow."""
        return [cue for cue, least in LIMITS.items() if self.std[cue] >= least and not self.r[cue] >= MIN_R]


def open_codec(vae: Path) -> Codec:
    """The codec as the rest of the project loads it.

    Raises:
        BackboneError: the folder is none.
    """
    return LTXVideo(str(vae), vae.absolute().parent, random=False).codec(torch.float32, "cpu")


def reconstruct(codec: Codec, clip_tyxc: Pictures, window: int) -> Pictures:
    """Through the autoencoder and back, window by window, the last flush with the end."""
    made = np.empty_like(clip_tyxc)
    last = len(clip_tyxc) - window
    for start in sorted({*range(0, last, window), last}):
        pixels = to_pixels(clip_tyxc[start : start + window])[None]
        back = codec.decode(codec.encode(pixels))[0].permute(1, 2, 3, 0)
        made[start : start + window] = ((back + 1) * 127.5).round().clamp(0, 255).byte().numpy()
    return made


def judge(item: Item, codec: Codec, landmarker: Landmarker, settings: AutoencoderSettings) -> tuple[Row, Pictures, Pictures]:
    """One clip's row, its small pictures and their reconstruction."""
    pictures, fps = item.origin.pictures()
    square = judged_square(item, settings)
    small = np.stack([square.cut(picture, settings.clips.picture_px) for picture in pictures])
    made = reconstruct(codec, small, settings.frames)
    source = _measured(landmarker, (square.cut(picture, MEASURED_PX) for picture in pictures), fps)
    back, shrunk = (_measured(landmarker, (_enlarged(picture) for picture in clip), fps) for clip in (made, small))
    square_error = float(((made.astype(np.float32) - small) ** 2).mean())
    row = Row(
        name=item.name,
        split=item.split,
        kind=item.kind,
        frames=len(pictures),
        face=back.face_share,
        std={cue: _std(source, cue) for cue in CUES},
        r={cue: agreement(source, back, cue) for cue in CUES},
        ceiling={cue: agreement(source, shrunk, cue) for cue in CUES},
        psnr=10 * math.log10(255**2 / max(square_error, 1e-6)),
    )
    return row, small, made


def judged_square(item: Item, settings: AutoencoderSettings) -> Square:
    """The part of the whole picture that the plain window shows."""
    window, scale = plain_window(item, settings), item.square.side / settings.clips.cache_px
    left, top = round(item.square.left + window.left * scale), round(item.square.top + window.top * scale)
    side = round(window.side * scale)
    return Square(left, top, side, item.square.face * item.square.side / side)


def agreement(source: Measurement, other: Measurement, cue: str) -> float:
    """Correlation of two smoothed curves over the frames in which both were seen; NaN where one stands still."""
    seen = source.signals[cue].seen & other.signals[cue].seen
    a, b = (smooth(half.signals[cue].values)[seen] for half in (source, other))
    if len(a) < 9 or min(a.std(), b.std()) < 1e-6:
        return math.nan
    return float(np.corrcoef(a, b)[0, 1])


def verdict(rows: Sequence[Row]) -> tuple[bool, list[str]]:
    """Whether the gate is open, and what holds it shut."""
    face = sum(row.face * row.frames for row in rows) / max(1, sum(row.frames for row in rows))
    findings = [f"a face in {face:.1%} of frames, less than {MIN_FACE:.0%}"] if not face >= MIN_FACE else []
    findings += [f"{row.name}: {cue} r {row.r[cue]:.2f} < {MIN_R}" for row in rows for cue in row.fails()]
    return not findings, findings


def unseen(index: Index, splits: Iterable[Split]) -> list[Item]:
    """Every real clip of these sides that is a source, and two puppets of each person."""
    chosen: list[Item] = []
    for split in splits:
        real = [
            item for item in index.of(split, "real") if "clips" in item.origin.path.parts or item.origin.path.stem == "source"
        ]
        count: dict[str, int] = {}
        for item in (*real, *index.of(split, "puppet")):
            count[item.identity] = count.get(item.identity, 0) + 1
            if item.kind == "real" or count[item.identity] <= 2:
                chosen.append(item)
    return chosen


def _measured(landmarker: Landmarker, pictures: Iterable[Pictures], fps: float) -> Measurement:
    return measure(landmarker, pictures, fps, size=(MEASURED_PX, MEASURED_PX))


def _enlarged(picture: Pictures) -> Pictures:
    return np.asarray(cv2.resize(picture, (MEASURED_PX, MEASURED_PX), interpolation=cv2.INTER_CUBIC), np.uint8)


def _std(measurement: Measurement, cue: str) -> float:
    signal = measurement.signals[cue]
    return float(smooth(signal.values)[signal.seen].std()) if signal.seen.any() else 0.0


def table_of(rows: Sequence[Row]) -> Table:
    """For the console: r, in brackets its ceiling, marked where it is judged."""
    table = Table(title="cue r after the autoencoder (ceiling of the picture's size); * is judged, at .9", title_justify="left")
    for head in ("clip", "split", "face", *CUES, "dB"):
        table.add_column(head)
    for row in rows:
        cells = []
        for cue in CUES:
            judged = "*" if row.std[cue] >= LIMITS.get(cue, math.inf) else ""
            cells.append(f"{row.r[cue]:.2f}{judged} ({row.ceiling[cue]:.2f})")
        table.add_row(row.name.rsplit("-", 1)[0], row.split, f"{row.face:.2f}", *cells, f"{row.psnr:.1f}")
    return table


def main(argv: list[str]) -> int:
    """Exit status 0 if the gate is open, 1 if it is shut, 2 with one line on stderr if it could not be tried."""
    try:
        arguments = _parse(argv)
        settings = AutoencoderSettings.from_yaml(arguments.recipe)
        codec = open_codec(arguments.vae)
        items = unseen(build_cache(arguments.portraits, settings.clips), arguments.split or ("validation", "held_out"))
        arguments.out.mkdir(parents=True, exist_ok=True)
        rows, sheets = [], []
        with Landmarker(LandmarkSettings(pose_step_s=0.5)) as landmarker:
            for item in items:
                row, small, made = judge(item, codec, landmarker, settings)
                rows.append(row)
                sheets.append(
                    contact_sheet(f"{item.name}, {row.psnr:.1f} dB", {"source": small, "decoded": made}, item.fps, columns=8)
                )
    except (SyncLoraError, OSError) as error:
        print(f"synclora.embedded.gate: {one_line(error)}", file=sys.stderr)
        return 2
    is_open, findings = verdict(rows)
    facts = {"open": is_open, "findings": findings, "clips": [asdict(row) for row in rows]}
    write_whole(arguments.out / "gate.json", json.dumps(facts, indent=1) + "\n")
    write_png(arguments.out / "contact.png", stack(sheets))
    console = Console(width=120, highlight=False)
    console.print(table_of(rows))
    console.print("gate: open" if is_open else "gate: shut\n  " + "\n  ".join(findings))
    return 0 if is_open else 1


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = Parser(prog="python -m synclora.embedded.gate", description="Judge the embedded autoencoder on unseen clips.")
    add = parser.add_argument
    add("--portraits", type=Path, required=True, metavar="DIR", help="folder with MANIFEST.json, clips/, pairs/, faces/")
    add("--vae", type=Path, required=True, metavar="DIR", help="the autoencoder's folder, named vae")
    add("--out", type=Path, required=True, metavar="DIR", help="for gate.json and contact.png")
    add("--recipe", type=Path, default=RECIPE, metavar="FILE", help="YAML of its settings")
    add("--split", action="append", choices=("validation", "held_out"), help="only this side; repeatable (default: both)")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
