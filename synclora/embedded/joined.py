"""Puppets and real pairs as one set: a table that names both, for `jobs/curate.py --input`.

    python jobs/curate.py --recipe jobs/recipes/curate-embedded.yaml --faces FACES --out SET       # puppets, made and judged
    python -m synclora.embedded.joined --portraits DIR --set SET --out TABLES                      # names them, and the real pairs
    python jobs/curate.py --recipe jobs/recipes/curate-embedded.yaml --input TABLES/metadata.jsonl --out SET

The second curation finds the puppets' measurements where the first left them, and measures only what is new. Real pairs are those of the
portraits' people who are trained on, good and bad (curation decides), two twins of each of their videos in another light (edits/twins.py), and
the same videos with edits drawn on every frame (edits/drawn.py).
What the puppets' scripts say of the truth is in the first curation's manifest, which the second replaces.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np

from synclora.command import Parser, one_line
from synclora.embedded.clips.origin import Source, videos_of
from synclora.embedded.clips.split import split_of
from synclora.embedded.edits.drawn import Brush, drawn_pictures
from synclora.embedded.edits.still import Sitter
from synclora.embedded.edits.twins import LOOKS
from synclora.errors import MediaError, SyncLoraError
from synclora.media.decode import Decoder
from synclora.media.encode import write_video
from synclora.media.settings import MediaLimits
from synclora.outdir import Kind, open_output, write_whole
from synclora.pairs.manifest import read_rows
from synclora.pairs.puppet.edits import EDITS

KIND = Kind("embedded-pairs", "synclora.embedded.joined", ("twins", "drawn"))

TWINS = 2
"""Of each real video."""

DRAWN = tuple(name for name in EDITS if name != "light")
"""What is drawn on real videos; light is what twins have."""

COLOURED = ("hair", "clothes", "hat", "glasses")
"""What is drawn in any colour too."""

DRAWN_EACH = {"source": (5, 2, 1), "edited": (1, 0, 1)}
"""Edits as in the catalogue, in any colour, and of paint: of each source video, and of each edited one, which moves much as its source does."""

DRAWN_FRAMES = 33, 81
"""Least and most."""


@dataclass(frozen=True)
class Named:
    """One row of the table."""

    source: Path
    edited: Path
    caption: str

    def line(self) -> str:
        """As both trainers name the columns."""
        row = {"video": str(self.edited), "reference_video": str(self.source), "caption": self.caption}
        return json.dumps(row, ensure_ascii=False)


def puppets(curated: Path) -> Iterator[Named]:
    """All pairs that a curation made and whose videos are there, the rejected ones too; not what it was given, in a second one.

    Raises:
        ManifestError: there is no curation.
    """
    for row in read_rows(curated / "manifest.parquet", ["source", "edited", "caption"]):
        source, edited = (curated.absolute() / row[half] for half in ("source", "edited"))
        if source.is_relative_to(curated.absolute()) and source.exists() and edited.exists():
            yield Named(source, edited, row["caption"])


def real_pairs(portraits: Path) -> Iterator[Named]:
    """The edits of everyone who is trained on.

    Raises:
        SyncLoraError: there is no manifest.
    """
    for source in _trained_on(portraits):
        path = source.origin.path.absolute()
        original = path.with_name("source.mp4")
        if not _is_source(portraits, source) and original.exists():
            yield Named(original, path, f"{path.stem} of {source.identity}")


def twins(portraits: Path, out: Path) -> Iterator[Named]:
    """Each source video of a training person beside itself in another light; written where it is not there yet."""
    looks = tuple(LOOKS)
    originals = (video for video in _trained_on(portraits) if _is_source(portraits, video))
    for number, source in enumerate(originals):
        for turn in range(TWINS):
            words = looks[(number + turn * len(looks) // TWINS) % len(looks)]
            path = out.absolute() / "twins" / f"{source.name}-{words.replace(' ', '_')}.mp4"
            if path.exists() or _twin(source.origin.path, words, path):
                yield Named(source.origin.path.absolute(), path, f"{source.identity} {words}")


def drawn(portraits: Path, out: Path) -> Iterator[Named]:
    """The videos of training people beside themselves with edits drawn on them; made where they are not there yet.

    A folder of its own for each video; what its note names is there.
    """
    for number, video in enumerate(_trained_on(portraits)):
        folder = out.absolute() / "drawn" / video.name
        note = folder / "edits.json"
        if not note.exists():
            folder.mkdir(parents=True, exist_ok=True)
            brushes = _brushes(number, *DRAWN_EACH["source" if _is_source(portraits, video) else "edited"])
            write_whole(note, json.dumps(_draw(video.origin.path, brushes, folder)))
        for file, words in json.loads(note.read_text()).items():
            yield Named(folder / "source.mp4", folder / file, words)


def _brushes(seed: int, catalogue: int, coloured: int, painted: int) -> list[Brush]:
    """So many of each, in turn from video to video."""
    named = [partial(Sitter.drawn, edit=DRAWN[(seed + turn * 3) % len(DRAWN)], seed=seed) for turn in range(catalogue)]
    free = [partial(Sitter.coloured, edit=COLOURED[(seed + turn) % len(COLOURED)], seed=seed + turn) for turn in range(coloured)]
    return [*named, *free, *(partial(Sitter.painted, seed=seed + turn) for turn in range(painted))]


def _draw(video: Path, brushes: Sequence[Brush], folder: Path) -> dict[str, str]:
    """The edits in words, by their files; none for a video that nothing can be drawn on."""
    try:
        with Decoder(MediaLimits(min_frames=1)) as decoder:
            frames = decoder.frames(video, analysis=False)
            source, edited = drawn_pictures(map(np.ascontiguousarray, islice(frames, DRAWN_FRAMES[1])), brushes)
            fps = frames.info.fps
    except MediaError:
        return {}
    if len(source) < DRAWN_FRAMES[0] or not edited:
        return {}
    write_video(folder / "source.mp4", source, fps)
    named = {f"{words.replace(' ', '_')}.mp4": words for words in edited}
    for file, words in named.items():
        write_video(folder / file, edited[words], fps)
    return named


def _trained_on(portraits: Path) -> Iterator[Source]:
    """The real videos of the people on the training side."""
    return (video for video in videos_of(portraits) if split_of(video.identity) == "train")


def _is_source(portraits: Path, video: Source) -> bool:
    """Whether it is a performance as filmed, and no edit of one."""
    path = video.origin.path
    return path.stem == "source" or path.absolute().relative_to(portraits.absolute()).parts[0] == "clips"


def _twin(video: Path, words: str, target: Path) -> bool:
    """Whether it could be written."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with Decoder(MediaLimits(min_frames=1)) as decoder:
            frames = decoder.frames(video, analysis=False)
            write_video(target, (LOOKS[words](np.ascontiguousarray(picture)) for picture in frames), frames.info.fps)
    except MediaError:
        return False
    return True


def main(argv: list[str]) -> int:
    """Exit status 0, or 2 with one line on stderr."""
    try:
        arguments = _parse(argv)
        with open_output(arguments.out, KIND) as out:
            kinds = {
                "puppets": list(puppets(arguments.set)),
                "real pairs": list(real_pairs(arguments.portraits)),
                "twins of real videos": list(twins(arguments.portraits, out)),
                "edits drawn on real videos": list(drawn(arguments.portraits, out)),
            }
            rows = [row for named in kinds.values() for row in named]
            write_whole(out / "metadata.jsonl", "".join(f"{row.line()}\n" for row in rows))
    except (SyncLoraError, OSError) as error:
        print(f"synclora.embedded.joined: {one_line(error)}", file=sys.stderr)
        return 2
    print(f"{arguments.out / 'metadata.jsonl'}: " + ", ".join(f"{len(named)} {kind}" for kind, named in kinds.items()))
    return 0


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = Parser(prog="python -m synclora.embedded.joined", description="Puppets and real pairs in one table.")
    add = parser.add_argument
    add("--portraits", type=Path, required=True, metavar="DIR", help="folder with MANIFEST.json, clips/, pairs/, faces/")
    add("--set", type=Path, required=True, metavar="DIR", help="what jobs/curate.py made of puppets")
    add("--out", type=Path, required=True, metavar="DIR", help="for metadata.jsonl and the twins")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
