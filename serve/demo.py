"""One edit through the whole service on this machine, and a page that shows it. What `make demo` ends with.

    python -m serve.demo --set out/demo --adapter out/demo-train/adapter --out out/demo-edit
    python -m serve.demo --clip me.mp4 --first-frame me-with-a-beard.png --out out/mine

Without a clip of your own, the first pair of a curated set is taken: its source, and the first frame of its edited half.
"""

import argparse
import logging
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
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
from synclora.command import Parser, one_line
from synclora.errors import SyncLoraError
from synclora.media.decode import Decoder
from synclora.motion.landmarks import quiet
from synclora.report.contact import write_png
from synclora.report.edit import write_edit_page
from synclora.train.curated import read_set

STEPS = "4"  # the miniature is random: more steps show nothing more


def run(asked: argparse.Namespace, console: Console) -> None:
    """Serve, edit, show.

    Raises:
        SyncLoraError: one line for the user.
        OSError: the disk is full.
    """
    asked.out.mkdir(parents=True, exist_ok=True)
    source, first_frame = (asked.clip, asked.first_frame) if asked.clip else _of_set(asked.set, asked.out)
    library = {} if asked.adapter is None else {"adapters": str(asked.adapter.absolute().parent)}
    name = "none" if asked.adapter is None else asked.adapter.name
    video, settings = asked.out / "edited.mp4", {"data": str(asked.out / "service"), "backbone": asked.backbone, **library}
    with (
        serving(settings, console) as address,
        Client(address, patience_s=120) as client,
        console.status("editing over HTTP") as line,
    ):

        def show(edit: EditView) -> None:
            at = edit.progress
            line.update(f"editing over HTTP: {edit.state.value}{f', {at.stage} {at.step}/{at.steps}' if at else ''}")

        asked_for = {"adapter": name, "seed": asked.seed, "steps": asked.steps}
        result = client.edit(source, first_frame, video, consent=True, on_progress=show, **asked_for)
    page = asked.out / "edit.html"
    write_edit_page(
        page, result, source=source, first_frame=first_frame, edited=video, facts={"asked at": f"POST {address}/v1/edits"}
    )
    score = "nothing to compare" if result.report.score is None else f"{result.report.score:.2f}"
    console.print(f"edit of {source}: {result.frames} frames over HTTP, sync {score}; {page}")


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


def _of_set(folder: Path, out: Path) -> tuple[Path, Path]:
    """The first kept pair: its source, and its edit's first frame as a picture."""
    pair = read_set(folder.absolute())[0]
    with Decoder() as decoder:
        first = next(decoder.frames(pair.edited, analysis=False))
    write_png(out / "first_frame.png", first)
    return pair.source, out / "first_frame.png"


def parse(words: list[str]) -> argparse.Namespace:
    """The command line.

    Raises:
        SyncLoraError: what is wrong with it.
    """
    parser = Parser(prog="python -m serve.demo", description="One edit over HTTP, and a page that shows it.")
    parser.add_argument("--set", type=Path, metavar="DIR", help="a set that jobs/curate.py made")
    parser.add_argument("--clip", type=Path, metavar="VIDEO", help="instead of --set: a video of your own")
    parser.add_argument("--first-frame", type=Path, metavar="PICTURE", help="of --clip: its first frame, edited")
    parser.add_argument("--adapter", type=Path, metavar="DIR", help="as jobs/train.py leaves it (default: the bare model)")
    parser.add_argument("--backbone", default="tiny:ltx-video", metavar="NAME")
    parser.add_argument("--seed", default="0", metavar="N")
    parser.add_argument("--steps", default=STEPS, metavar="N")
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
