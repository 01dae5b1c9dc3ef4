"""One edit through the whole service on this machine, with an adapter and without it, and a page that shows both. What `make demo` ends with.

    python -m serve.demo --set out/demo --out out/demo-edit
    python -m serve.demo --set out/demo --backbone tiny:ltx-video --adapter out/demo-train/adapter --out out/demo-edit
    python -m serve.demo --clip me.mp4 --first-frame me-with-a-beard.png --out out/mine

Without a clip of your own, the first pair of a curated set is taken: its source, and the first frame of its edited half. Without a backbone, the
embedded one and the adapter that is shipped with it.
"""

import argparse
import json
import logging
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_AUTH_MODE", "disabled")  # a private cluster that lives as long as this process
os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")

import ray
from ray import serve
from rich.console import Console

from serve.app import app
from serve.client import Client
from serve.schema import EditView
from synclora.backbone.folder import EMBEDDED, adapters_of
from synclora.command import Parser, one_line
from synclora.edit.library import usual_adapter
from synclora.edit.request import NO_ADAPTER
from synclora.errors import SyncLoraError
from synclora.media.decode import Decoder
from synclora.motion.landmarks import quiet
from synclora.pairs.manifest import read_rows
from synclora.pairs.puppet.source import DEFAULT_PORTRAIT
from synclora.report.contact import write_png
from synclora.report.edit import write_edits_page
from synclora.report.tracks import Entry
from synclora.report.words import number
from synclora.train.curated import read_set

STEPS = {EMBEDDED: "12", "tiny:ltx-video": "4"}
"""Of sampling: the embedded model's edits stay under a minute on two cores; the miniature is random, more steps show nothing more."""

LEAD = (
    "Without the adapter the model animates the edited frame as it likes. The adapter was trained to make it move as the source does: "
    "blinks, glances, syllables and turns on the same frames. How far it does here, the figures and the curves say."
)
LEAD_RANDOM = "The miniature knows no faces: both edits are noise, made by the same code, over the same service, as real ones."
LEAD_BARE = "The model without an adapter animates the edited frame as it likes. How far it follows the source, the figures and the curves say."
SHIPPED_NOTE = "The adapter is the one that comes with the model; the short training of a demo makes none that shows."


@dataclass(frozen=True)
class Clip:
    """What is edited.

    Attributes:
        source: the performance.
        first_frame: its first frame, edited.
        note: what is to know of it.
        face: the portrait that a puppet was made of; "" for anything else.
    """

    source: Path
    first_frame: Path
    note: str = ""
    face: str = ""


def run(asked: argparse.Namespace, console: Console) -> None:
    """Serve, edit, show.

    Raises:
        SyncLoraError: one line for the user.
        OSError: the disk is full.
    """
    asked.out.mkdir(parents=True, exist_ok=True)
    clip = Clip(asked.clip, asked.first_frame) if asked.clip else of_set(asked.set, asked.out)
    adapter = asked.adapter or shipped(asked.backbone)
    settings = {"data": str(asked.out / "service"), "backbone": asked.backbone, "max_replicas": "1"}
    settings |= {} if adapter is None else {"adapters": str(adapter.absolute().parent)}
    names = {"the bare model": NO_ADAPTER} if adapter is None else {"with the adapter": adapter.name, "without it": NO_ADAPTER}
    fields = {"seed": asked.seed, "steps": asked.steps or STEPS.get(asked.backbone)}
    with serving(settings, console) as address, Client(address, patience_s=120) as client:
        entries = [edited(client, label, name, clip, asked.out, fields, console) for label, name in names.items()]
    note = " ".join(
        filter(None, (clip.note, seen_before(clip, asked.backbone), "" if asked.adapter or not adapter else SHIPPED_NOTE))
    )
    page = show(entries, clip, asked.out, note, f"POST {address}/v1/edits")
    for entry in entries:
        console.print(f"{entry.label}: {entry.result.frames} frames over HTTP, sync {number(entry.result.report.score)}")
    console.print(f"edits of {clip.source}: {page}")


def show(entries: list[Entry], clip: Clip, out: Path, note: str, asked_at: str) -> Path:
    """Write the page.

    Args:
        entries: the edits, the one with the adapter first.
        clip: what was edited.
        out: folder of the page.
        note: what is to know of clip and model.
        asked_at: address of the service.

    Raises:
        MediaError: a picture or video cannot be read.
        OSError: the page cannot be written.
    """
    page = out / "edit.html"
    write_edits_page(
        page,
        entries,
        source=clip.source,
        first_frame=clip.first_frame,
        title="One edit, with and without the adapter" if len(entries) > 1 else "One edit by the bare model",
        lead=lead_of(entries),
        note=note,
        facts={"asked at": asked_at},
    )
    return page


def edited(
    client: Client, label: str, adapter: str, clip: Clip, out: Path, fields: dict[str, str | None], console: Console
) -> Entry:
    """One edit over HTTP, its video in `out`.

    Raises:
        SyncLoraError: the service refused it, or it failed.
    """
    video = out / ("edited.mp4" if adapter != NO_ADAPTER else "edited-bare.mp4")
    with console.status(words := f"editing over HTTP, {label}") as line:

        def show(edit: EditView) -> None:
            at = edit.progress
            line.update(f"{words}: {edit.state.value}{f', {at.stage} {at.step}/{at.steps}' if at else ''}")

        result = client.edit(clip.source, clip.first_frame, video, consent=True, on_progress=show, adapter=adapter, **fields)
    return Entry(label, result, video)


@contextmanager
def serving(arguments: dict[str, str], console: Console) -> Iterator[str]:
    """The service on a free port of this machine, and its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with console.status("starting the service"), quiet():
        ray.init(address="local", include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR, num_cpus=2)
        serve.start(http_options={"host": "127.0.0.1", "port": port}, logging_config={"log_level": "ERROR"})
        serve.run(app(arguments), name="sync-lora")
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        with quiet():
            ray.shutdown()


def of_set(folder: Path, out: Path) -> Clip:
    """The first kept pair: its source, and its edit's first frame as a picture."""
    pair = read_set(folder.absolute())[0]
    with Decoder() as decoder:
        first = next(decoder.frames(pair.edited, analysis=False))
    write_png(out / "first_frame.png", first)
    rows = read_rows(folder / "manifest.parquet", ["pair_id", "truth"])
    truth = next((row["truth"] for row in rows if row["pair_id"] == pair.pair_id), "") or "{}"
    face = str(json.loads(truth).get("portrait", ""))
    note = f"The clip is {pair.name}, the first pair that was kept in {folder}"
    note += ": one portrait, animated by a script." if face else "."
    return Clip(pair.source, out / "first_frame.png", note, face)


def shipped(backbone: str) -> Path | None:
    """The adapter that comes with a backbone."""
    folder = adapters_of(backbone)
    name = usual_adapter(folder)
    return None if folder is None or name == NO_ADAPTER else folder / name


def lead_of(entries: list[Entry]) -> str:
    """What to look for, true whatever came out."""
    if entries[0].result.random_base:
        return LEAD_RANDOM
    return LEAD if len(entries) > 1 else LEAD_BARE


def seen_before(clip: Clip, backbone: str) -> str:
    """What the model has seen of the clip before."""
    if backbone != EMBEDDED or clip.face != DEFAULT_PORTRAIT:
        return ""
    return "The embedded model and its adapter have seen this face in training, in other performances."


def parse(words: list[str]) -> argparse.Namespace:
    """The command line.

    Raises:
        SyncLoraError: what is wrong with it.
    """
    parser = Parser(
        prog="python -m serve.demo", description="One edit over HTTP, with and without an adapter, and a page of both."
    )
    parser.add_argument("--set", type=Path, metavar="DIR", help="a set that jobs/curate.py made")
    parser.add_argument("--clip", type=Path, metavar="VIDEO", help="instead of --set: a video of your own")
    parser.add_argument("--first-frame", type=Path, metavar="PICTURE", help="of --clip: its first frame, edited")
    parser.add_argument("--backbone", default=EMBEDDED, metavar="NAME", help=f"default: {EMBEDDED}")
    parser.add_argument(
        "--adapter", type=Path, metavar="DIR", help="as jobs/train.py leaves it (default: the backbone's own, if any)"
    )
    parser.add_argument("--seed", default="0", metavar="N")
    parser.add_argument("--steps", metavar="N", help="of sampling (default: 12 for the embedded model, 4 for the miniature)")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    asked = parser.parse_args(words)
    if (asked.clip is None) == (asked.set is None) or (asked.clip is None) != (asked.first_frame is None):
        raise SyncLoraError("give either --set, or --clip with --first-frame; see --help")
    return asked


def main(words: list[str] | None = None) -> int:
    """The exit status."""
    console = Console(highlight=False)
    try:
        run(parse(sys.argv[1:] if words is None else words), console)
    except (SyncLoraError, OSError) as error:
        print(f"demo: {one_line(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("demo: interrupted", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
