"""One edit of one file on one machine.

python -m synclora.edit source.mp4 first.png --out edited.mp4                                     # the embedded model: 128x128 around the face
python -m synclora.edit source.mp4 first.png --out edited.mp4 --backbone Lightricks/LTX-Video-0.9.5 --adapter out/train/adapter --seed 1
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar
from rich.table import Table

from synclora.backbone.folder import EMBEDDED
from synclora.command import Parser, one_line
from synclora.edit.progress import Progress
from synclora.errors import SyncLoraError
from synclora.report.words import RANDOM_WEIGHTS

if TYPE_CHECKING:
    from synclora.edit.result import EditResult

K = TypeVar("K")
V = TypeVar("V")


def parse(argv: list[str]) -> argparse.Namespace:
    """The command line.

    Raises:
        SyncLoraError: what argparse has against it, on one line.
    """
    parser = Parser(prog="python -m synclora.edit", description="Edit a portrait video by its edited first frame.")
    add = parser.add_argument
    add("source", type=Path, metavar="SOURCE", help="the video")
    add("first_frame", type=Path, metavar="FIRST_FRAME", help="its first frame, edited: PNG, JPEG, WebP or BMP")
    add("--out", type=Path, required=True, metavar="FILE", help="the edited video, an MP4")
    add(
        "--adapter",
        metavar="NAME",
        help="of --library, a folder or .safetensors file, or none for the bare model (default: what comes with the backbone, else none)",
    )
    add("--library", type=Path, metavar="DIR", help="folder of adapters")
    add(
        "--backbone",
        default=EMBEDDED,
        metavar="NAME",
        help=f"hub id, folder in diffusers' layout, tiny:ltx-video (random weights), or {EMBEDDED} (default), which comes with this package",
    )
    add("--prompt", metavar="TEXT", help="default: the adapter's own caption")
    add("--seed", type=int, default=0, metavar="N", help="the same seed gives the same video")
    add("--steps", type=int, metavar="N", help="of sampling (default: 30)")
    add(
        "--key-frame",
        action="append",
        default=[],
        metavar="N=FILE",
        help="one more edited frame, by its number from 0; repeatable",
    )
    add("--guidance", action="append", default=[], metavar="WHAT=X", help="text, source or first_frame; 1 is off; repeatable")
    add("--size", metavar="WxH", help="of the edited video (default: the source's, or its edited part's)")
    add("--min-sync", type=float, metavar="R", help="try another seed while the sync score is below")
    add("--attempts", type=int, default=1, metavar="K", help="with --min-sync: at most so many seeds")
    add("--settings", type=Path, metavar="FILE", help="YAML of the editor's settings (synclora/edit/settings.py)")
    add("--device", metavar="NAME", help="cpu, cuda (default: the GPU where there is one)")
    add("--report", type=Path, metavar="FILE", help="all that is known of the edit, as JSON")
    return parser.parse_args(argv)


def main(argv: list[str]) -> int:
    """Exit status 0 when the video was written; with one line on stderr, 2 when it could not be and 130 after Ctrl-C."""
    console = Console(highlight=False)
    try:
        arguments = parse(argv)
        result = run(arguments, console)
        if arguments.report:
            from synclora.outdir import write_whole

            write_whole(arguments.report, result.model_dump_json(indent=1) + "\n")
        console.print(summary(result, arguments.out))
        if result.random_base:
            console.print(RANDOM_WEIGHTS, style="bold yellow")
    except (SyncLoraError, OSError) as error:
        return _ended(one_line(error), 2)
    except KeyboardInterrupt:
        return _ended("interrupted; no video was written", 130)
    return 0


def run(arguments: argparse.Namespace, console: Console) -> "EditResult":
    """Make the edit under a progress line."""
    with console.status("loading"):
        from synclora.edit.edit import edit
        from synclora.edit.settings import EditSettings
        from synclora.motion.landmarks import quiet
    settings = EditSettings.from_yaml(arguments.settings) if arguments.settings else None
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"), TimeElapsedColumn())
    with Bar(*columns, console=console, transient=True) as bar, quiet():  # MediaPipe's threads log whenever they like
        task = bar.add_task("loading", total=None)

        def show(now: Progress) -> None:
            words = f"{now.stage}, window {now.window + 1} of {now.windows}" if now.windows > 1 else now.stage
            words += f", attempt {now.attempt}" if now.attempt > 1 else ""
            bar.update(task, description=words, completed=now.step, total=now.steps or None)

        return edit(
            arguments.source,
            arguments.first_frame,
            out=arguments.out,
            prompt=arguments.prompt,
            adapter=arguments.adapter,
            seed=arguments.seed,
            steps=arguments.steps,
            key_frames=_pairs(arguments.key_frame, "--key-frame", int, str),
            size=arguments.size,
            min_sync=arguments.min_sync,
            attempts=arguments.attempts,
            guidance=_pairs(arguments.guidance, "--guidance", _guided, float),
            backbone=arguments.backbone,
            library=arguments.library,
            settings=settings,
            device=arguments.device,
            on_progress=show,
        )


def summary(result: "EditResult", out: Path) -> Table:
    """The closing table."""
    report = result.report
    table = Table(title=f"{out}", title_justify="left", show_header=False)
    score = "none" if report.score is None else f"{report.score:.3f}  ({_or_dash(report.low)} to {_or_dash(report.high)})"
    table.add_row("sync score", score)
    for cue, value in report.cues.items():
        table.add_row(f"  {cue}", "no evidence" if value is None else f"{value:.3f}")
    table.add_row("verdict", report.verdict + (f": {report.reason}" if report.reason else ""))
    if report.detail:
        table.add_row("", report.detail)
    table.add_row("edit strength", _or_dash(result.edit_strength, 4))
    table.add_row("first frame", f"{_or_dash(result.first_frame_distance, 4)} from the one given; fit: {_fit(result)}")
    table.add_row(
        "video", f"{result.width}x{result.height}, {result.frames} frames, {result.fps} fps, sound {_yes(result.has_audio)}"
    )
    if crop := result.crop:
        table.add_row("part", f"{crop.width}x{crop.height} of the source, from {crop.left}, {crop.top}")
    if result.seams:
        table.add_row("seams", ", ".join(f"frame {seam.frame}: {seam.picture:.2f}" for seam in result.seams))
    table.add_row("made with", f"{result.backbone}, adapter {result.adapter}, seed {result.seed}, {result.steps} steps")
    table.add_row("took", f"{sum(result.took_seconds.values()):.1f} s, {len(result.attempts)} attempt(s)")
    return table


def _fit(result: "EditResult") -> str:
    fit = result.fit
    if fit.kind != "aligned":
        return fit.kind
    shift = f"{fit.shift_x_px:+.0f}, {fit.shift_y_px:+.0f} px"
    faces = f"faces {_or_dash(fit.misalignment_before)} apart, then {_or_dash(fit.misalignment_after)}"
    return f"aligned, scale {fit.scale:.2f}, turn {fit.turn_degrees:.0f}°, shift {shift} ({faces})"


def _or_dash(value: float | None, digits: int = 2) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _yes(value: bool) -> str:
    return "the source's" if value else "none"


def _guided(text: str) -> str:
    if text not in ("text", "source", "first_frame"):
        raise ValueError(text)
    return text


def _pairs(texts: list[str], option: str, key: Callable[[str], K], value: Callable[[str], V]) -> dict[K, V]:
    """Of NAME=VALUE."""
    found = {}
    for text in texts:
        name, _equals, rest = text.partition("=")
        try:
            found[key(name)] = value(rest)
        except ValueError as error:
            raise SyncLoraError(f"{option} {text}: not understood; see --help") from error
    return found


def _ended(why: str, status: int) -> int:
    print(f"synclora.edit: {why}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
