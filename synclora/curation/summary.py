"""What a person sees of a run: progress while it lasts, a table when it ends."""

import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from synclora.errors import Reason
from synclora.motion.verdict import Verdict
from synclora.pairs.diffusion.settings import Goal, Stage
from synclora.pairs.manifest import Row


class Tally:
    """Counts of a run. `inputs` always equals kept + rejected + quarantined, because both are counted where rows are written."""

    def __init__(self) -> None:
        self.verdicts: Counter[str] = Counter()
        self.reasons: Counter[tuple[str, str]] = Counter()
        self.scores: dict[str, float] = {}
        self.frames = 0
        self.ended = ""
        self.spent_s = 0.0
        self.notes: dict[str, None] = {}
        self._ceilings: dict[str, float] = {}
        self._begun, self._ended = math.inf, 0.0

    @property
    def inputs(self) -> int:
        """Rows counted."""
        return sum(self.verdicts.values())

    def counting(self, rows: Iterable[Row]) -> Iterator[Row]:
        """Pass rows through, counting them; remembers the score of the kept ones."""
        for row in rows:
            self._count(row)
            if row["verdict"] == Verdict.KEPT:
                self.scores[row["pair_id"]] = row["sync"]
            yield row

    def recounting(self, rows: Iterable[Row]) -> Iterator[Row]:
        """Count rows from the start again."""
        self.verdicts.clear()
        self.reasons.clear()
        for row in rows:
            self._count(row)
            yield row

    def measured(self, worker: str, frames: int, begun: float, ended: float, ceiling: float) -> None:
        """Note what a worker did for one pair. The clock runs from the first measured pair's begin to the last one's end."""
        if not frames:
            return
        self._begun, self._ended = min(self._begun, begun), max(self._ended, ended)
        self.frames += frames
        if ceiling:
            self._ceilings[worker] = ceiling

    def made(self, spent_s: float, notes: str) -> None:
        """Note what making a pair took: seconds of GPU, and what a user should read once, a line each."""
        self.spent_s += spent_s
        self.notes |= dict.fromkeys(filter(None, notes.split("\n")))

    def until(self, goal: Goal, rows: Iterable[Row]) -> Iterator[Row]:
        """Rows up to the one that ends the run: as many are kept as were asked for, or the GPU time is spent."""
        kept = scenes = 0
        for row in rows:
            yield row
            kept += row["verdict"] == Verdict.KEPT
            scenes += row["reason"] != Reason.BAD_ROW
            so_far = f"{kept} kept of {scenes} scenes"
            if goal.target_kept and kept == goal.target_kept:
                self.ended = f"target reached: {so_far}"
                return
            if goal.gpu_hours and self.spent_s >= goal.gpu_hours * 3600:
                self.ended = f"{goal.gpu_hours:g} GPU-hours spent: {so_far}" + _short_of(goal, kept)
                return
        self.ended = f"all scenes tried: {kept} kept of {scenes}" + _short_of(goal, kept)

    def facts(self) -> dict[str, str]:
        """Lines for the report and the closing table."""
        facts = {"Inputs": f"{self.inputs} = " + " + ".join(f"{self.verdicts[verdict]} {verdict.value}" for verdict in Verdict)}
        if self.ended:
            facts["Ended"] = self.ended
            facts["Made"] = f"{_time(self.spent_s)} in this run" if self.spent_s else "nothing: all was made before"
        if self.frames:
            rate = self.frames / max(1e-9, self._ended - self._begun)
            ceiling = sum(self._ceilings.values())
            facts["Measured"] = f"{self.frames} frames, {rate:.0f} per second"
            if ceiling:
                facts["Ceiling"] = (
                    f"{rate / ceiling:.0%} of {ceiling:.0f} per second, MediaPipe alone on these workers and frames"
                )
        else:
            facts["Measured"] = "nothing: every video was measured before"
        return facts

    def _count(self, row: Row) -> None:
        self.verdicts[row["verdict"]] += 1
        if row["reason"]:
            self.reasons[row["verdict"], row["reason"]] += 1


def _time(seconds: float) -> str:
    return f"{seconds / 3600:.2f} GPU-hours" if seconds >= 360 else f"{seconds:.1f} GPU-seconds"


def _short_of(goal: Goal, kept: int) -> str:
    return f", {goal.target_kept} were wanted" if kept < goal.target_kept else ""


def closing_table(tally: Tally, out: Path, more: Mapping[str, str]) -> Table:
    """Items by verdict and reason, the rate, more facts, and where to look."""
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for verdict in Verdict:
        table.add_row(verdict.value, str(tally.verdicts[verdict]), style="bold")
        for (of, reason), count in sorted(tally.reasons.items(), key=lambda item: (-item[1], item[0])):
            if of == verdict:
                table.add_row(f"  {reason}", str(count))
    for name, fact in {**tally.facts(), **more}.items():
        table.add_row(name.lower(), fact)
    table.add_row("report", str(out / "report.html"))
    return table


Watch = Callable[[Iterable[Row]], Iterator[Row]]


@contextmanager
def watched(console: Console, total: int) -> Iterator[Watch]:
    """A progress line over rows as they pass; on a log instead of a terminal, one line for every tenth of the way."""
    columns = (TextColumn("judging"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[verdicts]}"))
    with Progress(
        *columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console, disable=not console.is_terminal
    ) as progress:
        task = progress.add_task("judging", total=total, verdicts="")

        def watch(rows: Iterable[Row]) -> Iterator[Row]:
            seen: Counter[str] = Counter()
            for number, row in enumerate(rows, 1):
                seen[row["verdict"]] += 1
                verdicts = " ".join(f"{seen[verdict]} {verdict.value}" for verdict in Verdict)
                progress.update(task, completed=number, verdicts=verdicts)
                if not console.is_terminal and number * 10 // total > (number - 1) * 10 // total:
                    console.print(f"judged {number} of {total}: {verdicts}")
                yield row

        yield watch


@contextmanager
def watched_scenes(console: Console, goal: Goal, tally: Tally) -> Iterator[Watch]:
    """A progress line over the rows of scenes: how many, how many are kept, how many were dropped by which stage. On a log, a line for every
    tenth of the way to the goal. Notes are told once each."""
    columns = (TextColumn("generating"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[counts]}"))
    total = goal.target_kept or goal.scenes
    with Progress(*columns, TimeElapsedColumn(), console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("generating", total=total, counts="")

        def watch(rows: Iterable[Row]) -> Iterator[Row]:
            counts, tenth, told = _Counts(), 0, 0
            for row in rows:
                counts.add(row)
                done = counts.kept if goal.target_kept else counts.scenes
                progress.update(task, completed=done, counts=str(counts))
                for note in list(tally.notes)[told:]:
                    console.print(note)
                told = len(tally.notes)
                if not console.is_terminal and done * 10 // total > tenth:
                    tenth = done * 10 // total
                    console.print(f"generated {counts}")
                yield row

        yield watch


class _Counts:
    """Scenes by where they ended."""

    def __init__(self) -> None:
        self.scenes = self.kept = 0
        self._dropped: Counter[str] = Counter()

    def add(self, row: Row) -> None:
        if row["reason"] == Reason.BAD_ROW:
            return
        self.scenes += 1
        self.kept += row["verdict"] == Verdict.KEPT
        if row["verdict"] != Verdict.KEPT:
            self._dropped[json.loads(row["truth"])["at"] or "verdict"] += 1

    def __str__(self) -> str:
        dropped = " ".join(f"{self._dropped[step]} by {step}" for step in (*Stage, "verdict") if self._dropped[step])
        return f"{self.scenes} scene{'s' * (self.scenes != 1)}: {self.kept} kept" + (f", dropped {dropped}" if dropped else "")
