"""Train the embedded autoencoder: resumable, in a given time, on any number of cores.

    python -m synclora.embedded.autoencoder --portraits DIR --out DIR --minutes 60
    python -m synclora.embedded.autoencoder --portraits DIR --out DIR --minutes 60 --resume       # goes on from there

OUT/vae/ is the autoencoder in diffusers' layout, rewritten at every checkpoint; OUT/log.jsonl has a line per 50 steps; OUT/checkpoints/ is what
a run is taken up from. Interrupted with Ctrl-C or SIGTERM, it writes a checkpoint first.
"""

import argparse
import json
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from synclora.command import Parser, one_line
from synclora.embedded.cache import Index, build_cache
from synclora.embedded.clips import Feed, fixed_batch
from synclora.embedded.loss import quality
from synclora.embedded.model import write_folder
from synclora.embedded.settings import RECIPE, AutoencoderSettings, RunSettings
from synclora.embedded.training import Trainer
from synclora.errors import SyncLoraError
from synclora.outdir import Kind, open_output, write_whole
from synclora.train import checkpoint

KIND = Kind("embedded-autoencoder", "synclora.embedded.autoencoder", ("checkpoints",))

_STATISTICS_CLIPS = 48
"""From which the latents' mean and deviation are taken."""


class Run:
    """One run's folder: what is written there, and when."""

    def __init__(self, trainer: Trainer, index: Index, out: Path, run: RunSettings) -> None:
        self.trainer, self.out, self.run = trainer, out, run
        settings = trainer.settings
        self._watched = fixed_batch(_one_each(index, "validation"), settings)
        items = index.of("train")
        self._typical = fixed_batch(items[:: max(1, len(items) // _STATISTICS_CLIPS)], settings)
        self._stop = False
        self._saved = trainer.steps if trainer.steps else -1

    def stop(self, *_signal: object) -> None:
        """End after the step under way."""
        self._stop = True

    def train(self, minutes: float, steps: int | None = None) -> None:
        """Train until the time is over, or so many steps are done in all."""
        if not self.trainer.steps:
            self.save()  # what the start is worth
        begun = saved = time.monotonic()
        sums: dict[str, float] = {}
        counted, since = 0, begun
        while not self._stop and time.monotonic() - begun < 60 * minutes and (steps is None or self.trainer.steps < steps):
            for name, value in self.trainer.step().items():
                sums[name] = sums.get(name, 0.0) + value
            counted += 1
            now = time.monotonic()
            if self.trainer.steps % self.run.log_steps == 0:
                mean = {name: round(total / counted, 5) for name, total in sums.items()}
                self._log({**mean, "seconds_per_step": round((now - since) / counted, 3)})
                sums, counted, since = {}, 0, now
            if now - saved >= 60 * self.run.checkpoint_minutes:
                self.save()
                saved = time.monotonic()
        self.save()

    def save(self) -> None:
        """A checkpoint, and the autoencoder as it would be shipped; nothing if they are there."""
        if self._saved == self.trainer.steps:
            return
        self._saved = self.trainer.steps
        checkpoint.save(self.out / "checkpoints", self.trainer.state(), recipe_of(self.trainer.settings))
        checkpoint.sweep(self.out / "checkpoints", self.run.keep)
        vae = self.trainer.averaged(self._typical.pixels_bcfyx)
        write_folder(vae, self.out / "vae")
        self._log({f"validation_{name}": round(value, 4) for name, value in quality(vae, self._watched).items()})

    def _log(self, facts: dict[str, Any]) -> None:
        line = json.dumps({"step": self.trainer.steps, "time": round(time.time()), **facts})
        with (self.out / "log.jsonl").open("a", encoding="utf-8") as file:
            file.write(line + "\n")
        print(line, flush=True)


def recipe_of(settings: AutoencoderSettings) -> dict[str, Any]:
    """The settings as a checkpoint notes them."""
    return dict(settings.model_dump(mode="json"))


def prepare(index: Index, settings: AutoencoderSettings, out: Path, *, resume: bool) -> Trainer:
    """A trainer at its start, or where the newest intact checkpoint was written.

    Raises:
        SyncLoraError: there is a checkpoint and no `resume`, the reverse, or one of another recipe.
    """
    found, _passed = checkpoint.newest(out / "checkpoints")
    if resume != (found is not None):
        remedy = "add --resume to go on, or choose a new folder" if found else "leave --resume out"
        raise SyncLoraError(f"--out {out}: {'holds' if found else 'holds no'} checkpoint{'s' if found else ''}; {remedy}")
    trainer = Trainer(settings, Feed(index, settings))
    if found is None:
        if settings.pca_start:
            trainer.begin(fixed_batch(index.of("train")[:: max(1, len(index.of("train")) // 32)], settings).pixels_bcfyx)
        return trainer
    if found.recipe != recipe_of(settings):
        raise SyncLoraError(f"--out {out}: its checkpoint is of another recipe; give the same settings or a new folder")
    trainer.restore(found.load())
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
            with suppress(ValueError):  # not in the main thread
                signal.signal(signal.SIGTERM, work.stop)
                signal.signal(signal.SIGINT, work.stop)
            work.train(arguments.minutes, arguments.steps)
    except (SyncLoraError, OSError) as error:
        print(f"synclora.embedded.autoencoder: {one_line(error)}", file=sys.stderr)
        return 2
    return 0


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = Parser(prog="python -m synclora.embedded.autoencoder", description="Train the embedded autoencoder.")
    add = parser.add_argument
    add("--portraits", type=Path, required=True, metavar="DIR", help="folder with MANIFEST.json, clips/, pairs/, faces/")
    add("--out", type=Path, required=True, metavar="DIR", help="the run's folder")
    add("--minutes", type=float, required=True, metavar="M", help="of training, from now")
    add("--resume", action="store_true", help="go on from the newest checkpoint in --out")
    add(
        "--recipe",
        type=Path,
        default=RECIPE,
        metavar="FILE",
        help="YAML of the settings (default: the one of the shipped weights)",
    )
    add("--steps", type=int, metavar="N", help="stop when so many steps are done in all, if the time is not over before")
    add("--checkpoint-minutes", type=float, default=10.0, metavar="M", help="between two checkpoints (default: 10)")
    add(
        "--threads",
        type=int,
        default=0,
        metavar="N",
        help="of torch (default: its own choice); a resumed run equals one trace only at one number",
    )
    add("--verbose", action="store_true", help="say what is cut")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
