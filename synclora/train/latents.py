"""Latents on disk, under ids made of content.

    OUT/latents/ab/ab12….safetensors      one clip of a pair: `source` and `edited`, (c, f, y, x), and what they were made of
    OUT/latents/index.parquet             what became of every clip of the set (index.py)

    store = LatentStore(out / "latents")
    latents = store.load(row.id)

Ids are made in finder.py, latents in encoder.py. Captions are no part of either: they are joined from the set when it is trained on.
"""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from synclora.incontext.positions import Grid
from synclora.train.curated import TrainSetError
from synclora.train.tensorfile import write_tensors


@dataclass(frozen=True)
class Facts:
    """What a file of latents says of itself.

    Attributes:
        grid: the cells of either half.
        fps: exact frames per second.
        made_of: all of the file's metadata.
    """

    grid: Grid
    fps: Fraction
    made_of: dict[str, str]


@dataclass(frozen=True)
class Latents:
    """One clip of a pair, normalised as the transformer takes it.

    Attributes:
        source_cfyx: latents of the source.
        edited_cfyx: latents of the edited half, of the same shape.
        facts: the cells of either, their rate, and what they were made of.
    """

    source_cfyx: Tensor
    edited_cfyx: Tensor
    facts: Facts


class LatentStore:
    """The folder of latents. Safe for many writers: equal content under equal names, each written whole.

    Attributes:
        folder: where the latents lie.
        index: the file of the run's index.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.index = folder / "index.parquet"

    def path(self, identity: str) -> Path:
        """Where the latents of an id lie."""
        return self.folder / identity[:2] / f"{identity}.safetensors"

    def get(self, identity: str) -> Facts | None:
        """The facts of latents that are whole, or None: not there, cut off, or no latents. Reads the header only."""
        try:
            with safe_open(self.path(identity), "pt") as file:  # refuses a file that is shorter than its header says
                return _facts(file)
        except (OSError, SafetensorError, KeyError, ValueError):
            return None

    def put(self, identity: str, source_cfyx: Tensor, edited_cfyx: Tensor, facts: Facts) -> None:
        """Keep a clip's latents.

        Raises:
            OSError: the disk is full; nothing half-written stays.
        """
        grid = facts.grid
        about = facts.made_of | {"fps": str(facts.fps), "frames": str(grid.video_frames)}
        about |= {"width": str(grid.width * grid.stride_s), "height": str(grid.height * grid.stride_s)}
        about |= {"stride_t": str(grid.stride_t), "stride_s": str(grid.stride_s)}
        path = self.path(identity)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_tensors(path, {"source": source_cfyx, "edited": edited_cfyx}, about)

    def load(self, identity: str) -> Latents:
        """The latents of an id, on the CPU.

        Raises:
            TrainSetError: they are not there, or damaged.
        """
        path = self.path(identity)
        try:
            with safe_open(path, "pt") as file:
                facts = _facts(file)
                return Latents(file.get_tensor("source"), file.get_tensor("edited"), facts)
        except (OSError, SafetensorError, KeyError, ValueError) as error:
            why = "no such file" if isinstance(error, FileNotFoundError) else " ".join(str(error).split())
            raise TrainSetError(f"latents {path}: {why}; encode the set again") from error


def _facts(file: Any) -> Facts:
    about = file.metadata() or {}
    width, height, frames, stride_t, stride_s = (
        int(about[name]) for name in ("width", "height", "frames", "stride_t", "stride_s")
    )
    fps = Fraction(about["fps"])
    grid = Grid.of_video(frames, height, width, float(fps), stride_t, stride_s)
    shapes = [file.get_slice(half).get_shape() for half in ("source", "edited")]
    if shapes[0] != shapes[1] or shapes[0][1:] != [grid.frames, grid.height, grid.width]:
        raise ValueError(f"shapes {shapes} are not those of {width}x{height}, {frames} frames")
    return Facts(grid, fps, about)
