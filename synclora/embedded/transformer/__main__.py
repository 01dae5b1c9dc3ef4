"""Train the embedded transformer, image-to-video, on an autoencoder's latents: resumable, in a given time, on any number of cores.

    python -m synclora.embedded.transformer --portraits DIR --vae AE/vae --out OUT --minutes 60
    python -m synclora.embedded.transformer --portraits DIR --vae AE/vae --out OUT --minutes 60 --resume       # goes on from there

OUT/{vae,transformer,caption.safetensors,model.json} is a whole backbone, rewritten at every checkpoint: `find_backbone(OUT)` opens it. OUT/vae
is the autoencoder given, with its latents' normalisation set for this transformer. OUT/log.jsonl has a line per 50 steps, OUT/contact.png what
the newest weights make of first frames, OUT/checkpoints/ what a run is taken up from. Interrupted with Ctrl-C or SIGTERM, it writes one first.
"""

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from synclora.backbone.base import Codec
from synclora.command import Parser, one_line
from synclora.embedded import runs
from synclora.embedded.autoencoder.model import write_folder
from synclora.embedded.clips.cache import Index, build_cache
from synclora.embedded.clips.feed import fixed_batch
from synclora.embedded.gate import open_codec
from synclora.embedded.transformer.latents import BLOCK, build_latents, digest_of, digest_of_folder
from synclora.embedded.transformer.scale import scaled
from synclora.embedded.transformer.settings import TRANSFORMER_RECIPE, TransformerRunSettings, TransformerSettings
from synclora.embedded.transformer.training import TransformerTrainer
from synclora.embedded.transformer.watch import Watch
from synclora.errors import SyncLoraError
from synclora.outdir import Kind, open_output, write_whole
from synclora.report.contact import write_png
from synclora.train.tensorfile import write_tensors

KIND = Kind("embedded-transformer", "synclora.embedded.transformer", ("checkpoints",))

_FILES = 2
"""Of the transformer's weights."""


@dataclass(frozen=True)
class Origins:
    """What a transformer is trained on.

    Attributes:
        clips: digest of the encoded clips.
        vae: digest of the autoencoder given.
        count: of encoded clips; may grow from one run to the next.
    """

    clips: str
    vae: str
    count: int


class Run(runs.Run):
    """One run's folder: what is written there, and when."""

    def __init__(
        self, trainer: TransformerTrainer, watch: Watch, out: Path, run: TransformerRunSettings, origins: Origins
    ) -> None:
        super().__init__(trainer, out, run, recipe_of(trainer.settings, origins))
        self.trainer, self._watch, self._origins = trainer, watch, origins

    def leave(self) -> dict[str, float]:
        """The backbone as it would be shipped."""
        transformer, caption = self.trainer.averaged(), self.trainer.caption
        write_folder(transformer, self.out / "transformer", files=_FILES)
        tensors = {"embeds": caption.embeds_bld.half(), "mask": caption.mask_bl.half()}
        write_tensors(self.out / "caption.safetensors", tensors, {})
        write_whole(self.out / "model.json", json.dumps(self._facts(), indent=1) + "\n")
        facts, sheet = self._watch.look(transformer)
        if sheet is not None:
            write_png(self.out / "contact.png", sheet)
        return facts

    def _facts(self) -> dict[str, Any]:
        settings = self.trainer.settings
        side = settings.clips.picture_px
        return {
            "trained": {"width": side, "height": side, "frames": settings.frames, "face_share": settings.clips.face_share},
            "made_by": {
                "steps": self.trainer.steps,
                "seed": settings.seed,
                "recipe": settings.fingerprint(),
                "latents": self._origins.clips,
                "clips": self._origins.count,
                "autoencoder": self._origins.vae,
            },
        }


def recipe_of(settings: TransformerSettings, origins: Origins) -> dict[str, Any]:
    """What a checkpoint notes: the settings, and what was trained on. The number of clips is left out, so that it may grow."""
    return {**settings.model_dump(mode="json"), "latents": origins.clips}


def prepare(
    index: Index,
    vae_folder: Path,
    settings: TransformerSettings,
    out: Path,
    count: int,
    *,
    resume: bool,
    tell: Callable[[str], None] = print,
    block: int = BLOCK,
) -> tuple[TransformerTrainer, Codec, Origins]:
    """A trainer at its start, or where the newest intact checkpoint was written; the codec it is for, OUT/vae; and what it is trained on.

    Raises:
        SyncLoraError: there is a checkpoint and no `resume`, the reverse, one of another recipe, or no autoencoder that fits.
    """
    codec = open_codec(vae_folder)
    if codec.stride_t != 4 or settings.clips.picture_px % codec.stride_s:
        raise SyncLoraError(
            f"--vae {vae_folder}: strides {codec.stride_t}x{codec.stride_s} do not fit {settings.frames} frames of "
            f"{settings.clips.picture_px} px; give an autoencoder of synclora.embedded.autoencoder"
        )
    origins = Origins(digest_of(index, vae_folder, settings), digest_of_folder(vae_folder), count)
    state = runs.newest_of(out, recipe_of(settings, origins), resume=resume)
    store = build_latents(index, vae_folder, codec.vae, settings, count, tell, block=block)
    if state is None or not (out / "vae").is_dir():
        scale, items = settings.scale, index.of("train")
        raw_bnc = store.batch(range(min(store.count, scale.statistics_clips))).raw_bnc
        probed = fixed_batch(items[:: max(1, len(items) // scale.probed_clips)][: scale.probed_clips], settings.feed())
        write_folder(scaled(codec.vae, raw_bnc, probed, scale, settings.seed), out / "vae")
    codec = open_codec(out / "vae")
    trainer = TransformerTrainer(settings, store, codec)
    if state is not None:
        trainer.restore(state)
    return trainer, codec, origins


def main(argv: list[str]) -> int:
    """Exit status 0, or 2 with one line on stderr."""
    try:
        arguments = _parse(argv)
        settings = TransformerSettings.from_yaml(arguments.recipe)
        run = TransformerRunSettings(checkpoint_minutes=arguments.checkpoint_minutes)
        torch.set_num_threads(arguments.threads or torch.get_num_threads())
        with open_output(arguments.out, KIND) as out:
            tell: Callable[[str], None] = print if arguments.verbose else lambda _line: None
            index = build_cache(arguments.portraits, settings.clips, tell)
            trainer, codec, origins = prepare(
                index, arguments.vae, settings, out, arguments.clips, resume=arguments.resume, tell=tell
            )
            work = Run(trainer, Watch(index, trainer, codec, run), out, run, origins)
            with runs.stopping(work):
                work.train(arguments.minutes, arguments.steps)
    except (SyncLoraError, OSError) as error:
        print(f"synclora.embedded.transformer: {one_line(error)}", file=sys.stderr)
        return 2
    return 0


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = Parser(prog="python -m synclora.embedded.transformer", description="Train the embedded transformer, image-to-video.")
    runs.add_arguments(parser, TRANSFORMER_RECIPE)
    add = parser.add_argument
    add("--vae", type=Path, required=True, metavar="DIR", help="the autoencoder's folder, named vae")
    add("--clips", type=int, default=6000, metavar="N", help="encoded clips to train on; a resumed run may be given more (6000)")
    arguments = parser.parse_args(argv)
    if arguments.clips < 1:
        parser.error(f"--clips {arguments.clips}: give 1 or more")
    return arguments


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
