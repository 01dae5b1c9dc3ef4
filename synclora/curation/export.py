"""The kept pairs, ready for training.

OUT/kept/source/ID.mp4, OUT/kept/edited/ID.mp4      same size, same number of frames, constant rate, upright
OUT/metadata.jsonl                                  one line per pair, with the column names of both trainers

A video that already is what training needs is linked or copied, byte for byte; halves of a side-by-side video, turned, uneven, longer or
otherwise encoded ones are written anew from the same frames that were judged, the edited half in the source's size.
"""

import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from synclora.errors import MediaError
from synclora.media.decode import Decoder, Picture
from synclora.media.encode import write_video
from synclora.media.probe import VideoInfo
from synclora.outdir import write_whole
from synclora.pairs.base import Half, View
from synclora.pairs.manifest import Row

_HALVES = ("source", "edited")
_VIEWS = ("source", "source_half", "edited", "edited_half")
NEEDED = ("pair_id", "verdict", "caption", *_VIEWS, "frames", "fps", "width", "height", "sync")
"""Columns of the manifest that exporting reads."""


def kept_paths(out: Path, pair_id: str) -> dict[str, Path]:
    """Where the halves of a kept pair lie."""
    return {half: out / "kept" / half / f"{pair_id}.mp4" for half in _HALVES}


def export_pair(row: Row, out: Path, decoder: Decoder) -> None:
    """Put one kept pair's videos in place; what is there already stays.

    Raises:
        MediaError: a video that was judged can no longer be read.
        OSError: the disk is full; nothing half-written stays.
    """
    for half, target in kept_paths(out, row["pair_id"]).items():
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            view = View(str(out / row[half]), _half(row[f"{half}_half"]))
            _export(view, target, row["frames"], (row["width"], row["height"]), decoder)


def _export(view: View, target: Path, frames: int, size: tuple[int, int], decoder: Decoder) -> None:
    info = decoder.probe(view)
    if view.half == "whole" and info.frames == frames and (info.width, info.height) == size and _ready(info):
        _place(Path(view.path).resolve(), target)
        return
    pictures = (_sized(picture, size) for picture in islice(decoder.frames(view, analysis=False), frames))
    with Decoder(decoder.limits) as sound:
        write_video(target, pictures, info.fps, audio_from=view.path if info.has_audio else None, decoder=sound)


def _ready(info: VideoInfo) -> bool:
    """Whether every trainer's reader takes the file as it is and sees the frames that were judged."""
    plain = info.container == "mov" and info.codec == "h264" and info.pix_fmt in ("yuv420p", "yuvj420p")
    return plain and not info.variable_rate and info.rotation == 0 and info.width % 2 == info.height % 2 == 0


def _place(video: Path, target: Path) -> None:
    """Link a video that the run made itself; copy a user's, who may write over it in place one day."""
    scratch = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        ours = video.is_relative_to(target.parents[2].resolve() / "generated")
        if not (ours and _linked(video, scratch)):
            shutil.copyfile(video, scratch)
        scratch.replace(target)
    finally:
        scratch.unlink(missing_ok=True)


def _linked(video: Path, target: Path) -> bool:
    try:
        os.link(video, target)
    except OSError:  # a file system without links
        return False
    return True


def _sized(picture: Picture, size: tuple[int, int]) -> Picture:
    if picture.shape[1::-1] == size:
        return picture
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA).astype(np.uint8)


def write_metadata(out: Path, rows: Iterable[Row], lost: Mapping[str, str]) -> None:
    """Write `metadata.jsonl` for the kept among these rows and remove videos of pairs that are kept no more.

    Columns: `video`, `reference_video`, `caption` as in the authors' data set, `media_path`, `reference_path` as the LTX trainers name the
    same two; paths are relative to the file. Pairs whose videos could not be exported are left out.
    """
    lines, names = [], set()
    for row in rows:
        if row["verdict"] != "kept" or row["pair_id"] in lost:
            continue
        paths = {half: path.relative_to(out).as_posix() for half, path in kept_paths(out, row["pair_id"]).items()}
        names.add(f"{row['pair_id']}.mp4")
        line = {"video": paths["edited"], "reference_video": paths["source"], "caption": row["caption"]}
        line |= {"media_path": paths["edited"], "reference_path": paths["source"], "pair_id": row["pair_id"]}
        line |= {"frames": row["frames"], "fps": row["fps"], "sync": row["sync"]}
        lines.append(json.dumps(line, ensure_ascii=False))
    write_whole(out / "metadata.jsonl", "".join(f"{line}\n" for line in lines))
    for path in _videos(out):
        if path.name not in names:
            path.unlink()


def export_all(rows: Iterable[Row], out: Path, decoder: Decoder) -> dict[str, str]:
    """Export every kept row one after the other; returns what could not be exported and why, by pair id."""
    lost = {}
    for row in rows:
        if row["verdict"] == "kept":
            try:
                export_pair(row, out, decoder)
            except MediaError as error:
                lost[row["pair_id"]] = str(error)
    return lost


def _videos(out: Path) -> Iterator[Path]:
    for half in _HALVES:
        yield from (out / "kept" / half).glob("*.mp4")


def _half(name: str) -> Half:
    return "left" if name == "left" else "right" if name == "right" else "whole"
