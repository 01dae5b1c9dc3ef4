"""Train the embedded autoencoder: resumable, in a given time, on any number of cores.

    python -m synclora.embedded.autoencoder --portraits DIR --out DIR --minutes 60
    python -m synclora.embedded.autoencoder --portraits DIR --out DIR --minutes 60 --resume       # goes on from there

OUT/vae/ is the autoencoder in diffusers' layout, rewritten at every checkpoint; OUT/log.jsonl has a line per 50 steps; OUT/checkpoints/ is what
a run is taken up from. Interrupted with Ctrl-C or SIGTERM, it writes a checkpoint first.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from synclora.command import Parser, one_line
from synclora.embedded import runs
from synclora.embedded.autoencoder.loss import quality
from synclora.embedded.autoencoder.model import write_folder
from synclora.embedded.autoencoder.settings import RECIPE, AutoencoderSettings
from synclora.embedded.autoencoder.training import Trainer
from synclora.embedded.clips.cache import Index, build_cache
from synclora.embedded.clips.feed import Feed, fixed_batch
from synclora.embedded.runs import RunSettings
from synclora.errors import SyncLoraError
from synclora.outdir import Kind, open_output, write_whole

KIND = Kind("embedded-autoencoder", "synclora.embedded.autoencoder", ("checkpoints",))

_STATISTICS_CLIPS = 48
"""From which the latents' mean and deviation are taken."""


class Run(runs.Run):
    """One run's folder: what is written there, and when."""

    def __init__(self, trainer: Trainer, index: Index, out: Path, run: RunSettings) -> None:
        super().__init__(trainer, out, run, recipe_of(trainer.settings))
        self.trainer, settings = trainer, trainer.settings
        self._watched = fixed_batch(_one_each(index, "validation"), settings)
        items = index.of("train")
        self._typical = fixed_batch(items[:: max(1, len(items) // _STATISTICS_CLIPS)], settings)

    def leave(self) -> dict[str, float]:
        """The autoencoder as it would be shipped."""
        vae = self.trainer.averaged(self._typical.pixels_bcfyx)
        write_folder(vae, self.out / "vae")
        return {f"validation_{name}": value for name, value in quality(vae, self._watched).items()}


def recipe_of(settings: AutoencoderSettings) -> dict[str, Any]:
    """The settings as a checkpoint notes them."""
    return dict(settings.model_dump(mode="json"))


def prepare(index: Index, settings: AutoencoderSettings, out: Path, *, resume: bool) -> Trainer:
    """A trainer at its start, or where the newest intact checkpoint was written.

    Raises:
        SyncLoraError: there is a checkpoint and no `resume`, the reverse, or one of another recipe.
    """
    state = runs.newest_of(out, recipe_of(settings), resume=resume)
    trainer = Trainer(settings, Feed(index, settings))
    if state is not None:
        trainer.restore(state)
    elif settings.pca_start:
        trainer.begin(fixed_batch(index.of("train")[:: max(1, len(index.of("train")) // 32)], settings).pixels_bcfyx)
    return trainer


def _one_each(index: Index, split: Any) -> list[Any]:
    """A real item and a puppet of every person of one side."""
    chosen: dict[tuple[str, str], Any] = {}
    for item in index.of(split):
        chosen.setdefault((item.identity, item.kind), item)
    return list(chosen.values()) or list(index.of("train")[:1])


def main(argv: list[str]) -> int:
    """Exit status 0, or 2 with one line on stderr."""
    try:
        arguments = _parse(argv)
        settings = AutoencoderSettings.from_yaml(arguments.recipe)
        run = RunSettings(checkpoint_minutes=arguments.checkpoint_minutes)
        torch.set_num_threads(arguments.threads or torch.get_num_threads())
        with open_output(arguments.out, KIND) as out:
            tell: Callable[[str], None] = print if arguments.verbose else lambda _line: None
            index = build_cache(arguments.portraits, settings.clips, tell)
            write_whole(out / "left_out.txt", "".join(f"{line}\n" for line in index.left_out))
            work = Run(prepare(index, settings, out, resume=arguments.resume), index, out, run)
            with runs.stopping(work):
                work.train(arguments.minutes, arguments.steps)
    except (SyncLoraError, OSError) as error:
        print(f"synclora.embedded.autoencoder: {one_line(error)}", file=sys.stderr)
        return 2
    return 0


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = Parser(prog="python -m synclora.embedded.autoencoder", description="Train the embedded autoencoder.")
    runs.add_arguments(parser, RECIPE)
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
