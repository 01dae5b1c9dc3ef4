"""The faces of one side of the split, as a folder that `jobs/curate.py --faces` animates.

    python -m synclora.embedded.faces --portraits DIR --split train --out DIR

A side's faces are the portraits' own pictures and, for training, the first frames of the videos that are trained on. Each is tried first: what
a puppet cannot animate (dark glasses, eyes half shut) is left out with a line. File names begin with the identity, so that a
manifest's `truth` says whose face a pair shows.
"""

import argparse
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from synclora.command import Parser, one_line
from synclora.embedded.clips.origin import pictures_of, videos_of
from synclora.embedded.clips.split import Split, split_of
from synclora.errors import MediaError, SyncLoraError
from synclora.media.decode import Decoder, Picture
from synclora.media.settings import MediaLimits
from synclora.outdir import Kind, open_output
from synclora.pairs.puppet.portrait import load_portrait
from synclora.pairs.puppet.probe import check_puppet
from synclora.pairs.puppet.render import Puppet
from synclora.report.contact import write_png

KIND = Kind("embedded-faces", "synclora.embedded.faces", ())

PUPPET_PX = 320
"""Side at which a face is tried and animated: the curation's own default."""

BETWEEN = "~"
"""Stands between identity and the rest of a file's name."""


@dataclass(frozen=True)
class Face:
    """One picture to animate.

    Attributes:
        identity: of whom.
        path: the picture.
    """

    identity: str
    path: Path


def identity_of(name: str) -> str:
    """Whose face a file of such a folder shows."""
    return name.partition(BETWEEN)[0]


def fill(portraits: Path, split: Split, out: Path, tell: Callable[[str], None] = print) -> list[Face]:
    """Copy the side's faces that can be animated; those that are there are taken as they are.

    Args:
        portraits: a folder with MANIFEST.json.
        split: which side.
        out: the folder, there already.
        tell: is told what is left out.

    Raises:
        SyncLoraError: no manifest, or no face of that side can be animated.
    """
    found = []
    for identity, name, write in _wanted(portraits, split):
        path = out / f"{identity}{BETWEEN}{name}"
        scratch = path.with_name(f".{path.name}")
        try:
            if not path.exists():
                write(scratch)
                _try(scratch)
                scratch.replace(path)
            found.append(Face(identity, path))
        except MediaError as error:
            tell(f"{name} of {identity}: left out: {error.detail}")
        finally:
            scratch.unlink(missing_ok=True)
    if not found:
        raise SyncLoraError(f"--portraits {portraits}: no face of the {split} side can be animated; give more pictures")
    return found


def faces_in(folder: Path, split: Split) -> list[Face]:
    """The faces that `fill` put there, in order.

    Raises:
        SyncLoraError: one of them is of another side.
    """
    names = [path for path in sorted(folder.iterdir()) if BETWEEN in path.name and not path.name.startswith(".")]
    faces = [Face(identity_of(path.name), path) for path in names]
    for face in faces:
        if split_of(face.identity) != split:
            raise SyncLoraError(f"{face.path}: of the {split_of(face.identity)} side, not the {split} one; use another folder")
    return faces


def _wanted(portraits: Path, split: Split) -> Iterator[tuple[str, str, Callable[[Path], object]]]:
    """Identity, file name and what writes it."""
    for path, identity in pictures_of(portraits):
        if split_of(identity) == split:
            yield identity, path.name, partial(shutil.copyfile, path)
    if split != "train":
        return
    for source in videos_of(portraits):
        if split_of(source.identity) == split:
            yield source.identity, f"{source.name.rsplit('-', 1)[0]}.png", partial(_write_first, source.origin.path)


def _write_first(video: Path, target: Path) -> None:
    write_png(target, first_frame(video))


def first_frame(video: Path) -> Picture:
    """Of a video, upright, in full size.

    Raises:
        MediaError: the video cannot be used.
    """
    with Decoder(MediaLimits(min_frames=1)) as decoder:
        return next(decoder.frames(video, analysis=False))


def _try(path: Path) -> None:
    portrait = load_portrait(path, PUPPET_PX)
    check_puppet(portrait, Puppet.of(portrait))


def main(argv: list[str]) -> int:
    """Exit status 0, or 2 with one line on stderr."""
    try:
        arguments = _parse(argv)
        with open_output(arguments.out, KIND) as out:
            faces = fill(arguments.portraits, arguments.split, out)
    except (SyncLoraError, OSError) as error:
        print(f"synclora.embedded.faces: {one_line(error)}", file=sys.stderr)
        return 2
    print(f"{len(faces)} pictures of {len({face.identity for face in faces})} people in {arguments.out}")
    return 0


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = Parser(prog="python -m synclora.embedded.faces", description="The faces of one side of the split, to be animated.")
    add = parser.add_argument
    add("--portraits", type=Path, required=True, metavar="DIR", help="folder with MANIFEST.json, clips/, pairs/, faces/")
    add("--split", default="train", choices=("train", "validation", "held_out"), help="which side (default: train)")
    add("--out", type=Path, required=True, metavar="DIR", help="for the pictures")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
