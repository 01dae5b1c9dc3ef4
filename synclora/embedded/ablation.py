"""The paper's ablation of cues, for real: six adapters, trained alike on sets that differ in the filter alone, and what each does to every cue.

    python -m synclora.embedded.ablation --backbone DIR --portraits DIR --out DIR --until sets     # which pairs each set has
    python -m synclora.embedded.ablation --backbone DIR --portraits DIR --out DIR                  # trains, measures

Stages, each taken up where a killed run left it: faces, pool (jobs/curate.py, measured once), sets (evaluation/ablation_sets.py), train
(jobs/train.py, six times), measure (measure.py). OUT gets plan.md, ablation.json and ablation.md. The recipe says how many pairs are bad on
purpose, and why.
"""

import argparse
import hashlib
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field

from synclora.backbone.find import find_backbone
from synclora.backbone.folder import weights_digest
from synclora.command import Parser, one_line
from synclora.curation.outdir import CURATION
from synclora.curation.recipe import CurateRecipe
from synclora.embedded.evaluation.ablation_sets import ALL, VARIANTS, SetPlan, kept_ids, plan_sets, write_set
from synclora.embedded.evaluation.make import BARE
from synclora.embedded.evaluation.report import HEADS, SYNC, cell, units_of
from synclora.embedded.evaluation.result import Result
from synclora.embedded.evaluation.sets import SetName
from synclora.embedded.evaluation.stats import difference, spread
from synclora.embedded.faces import fill
from synclora.embedded.measure import Asked, run
from synclora.errors import SyncLoraError
from synclora.outdir import Kind, differences, open_output, read_marker, write_whole
from synclora.settings import Settings
from synclora.train.recipe import TrainRecipe

KIND = Kind("embedded-ablation", "synclora.embedded.ablation", ())

ROOT = Path(__file__).resolve().parents[2]
RECIPE = ROOT / "jobs" / "recipes" / "ablation-embedded.yaml"

STAGES = ("faces", "pool", "sets", "train", "measure")


class AblationRecipe(Settings):
    """Everything that decides it."""

    curate: CurateRecipe = CurateRecipe()
    """Of the pool; its verdict is the filter with all cues."""
    train: TrainRecipe = TrainRecipe()
    """Of all six adapters."""
    pairs_per_set: int = Field(default=0, ge=0)
    """0: as many as the smallest set has."""
    clips: int = Field(default=8, ge=1)
    """Measured, of each set of clips."""
    seeds: int = Field(default=1, ge=1)
    sets: tuple[SetName, ...] = ("seen",)
    sampling_steps: int | None = Field(default=None, ge=1)
    """None: the editor's default."""


class Ablation:
    """One run's folder, stage by stage.

    Args:
        recipe: of the run.
        backbone: in the place of the recipe's; None for that.
        portraits: the folder of faces and videos.
        out: the run's folder.
        tell: is told what is done.
    """

    def __init__(
        self, recipe: AblationRecipe, backbone: str | None, portraits: Path, out: Path, tell: Callable[[str], None] = print
    ) -> None:
        self.recipe, self.portraits, self.out, self._tell = recipe, portraits, out.absolute(), tell
        self.backbone = backbone or recipe.train.backbone

    def until(self, last: str) -> None:
        """All stages up to one.

        Raises:
            SyncLoraError: a stage failed; its own words stand above.
        """
        for stage in STAGES[: STAGES.index(last) + 1]:
            self._tell(f"ablation: {stage}")
            getattr(self, f"_{stage}")()

    def plan(self) -> SetPlan:
        """Which pairs every set has."""
        return plan_sets(self.out / "pool", self.recipe.curate.verdict, self.recipe.pairs_per_set)

    def _faces(self) -> None:
        done = self.out / "faces.json"
        if not done.exists():
            (self.out / "faces").mkdir(exist_ok=True)
            found = fill(self.portraits, "train", self.out / "faces", self._tell)
            write_whole(done, json.dumps([face.path.name for face in found]) + "\n")

    def _pool(self) -> None:
        pool, recipe = self.out / "pool", self.recipe.curate
        made = (read_marker(pool, CURATION) or {}).get("recipe")
        if made is None:
            _job("curate", "--recipe", self._written("curate", recipe), "--faces", self.out / "faces", "--out", pool)
            return
        wanted = recipe.model_dump(mode="json")["puppet"]
        if changed := differences(made["puppet"] | {"faces": None}, wanted | {"faces": None}):
            raise SyncLoraError(
                f"--out {self.out}: its pool was made by another recipe ({'; '.join(changed)}); choose a new folder"
            )

    def _sets(self) -> None:
        plan = self.plan()
        write_whole(self.out / "plan.md", plan.table() + "\n")
        self._tell(plan.table())
        for name in VARIANTS:
            if kept_ids(self.out / "sets" / name) != set(plan.chosen[name]):
                write_set(plan, name, self.out / "sets" / name, self.recipe.curate)

    def _train(self) -> None:
        plan, recipe = self.plan(), self._written("train", self.recipe.train)
        weights = weights_digest(find_backbone(self.backbone).folder)
        for name in VARIANTS:
            made_of = json.dumps([weights, self.recipe.train.fingerprint(), plan.chosen[name]])
            done, key = self._adapter(name).parent.with_suffix(".json"), hashlib.sha256(made_of.encode()).hexdigest()[:16]
            if not (done.exists() and json.loads(done.read_text(encoding="utf-8")) == key):
                self._tell(f"ablation: train {name}")
                words = ("--set", self.out / "sets" / name, "--out", self._adapter(name).parent, "--recipe", recipe)
                _job("train", *words, "--backbone", self.backbone)
                write_whole(done, json.dumps(key) + "\n")

    def _measure(self) -> None:
        asked = Asked(
            backbone=self.backbone,
            adapters=tuple(map(self._adapter, VARIANTS)),
            portraits=self.portraits,
            out=self.out / "numbers",
            clips=self.recipe.clips,
            seeds=self.recipe.seeds,
            sets=self.recipe.sets,
            steps=self.recipe.sampling_steps,
        )
        results = run(asked, self._tell)
        found = figures(results)
        facts = {"recipe": self.recipe.model_dump(mode="json"), "backbone": self.backbone, "plan": self.plan().facts(), **found}
        write_whole(self.out / "ablation.json", json.dumps(facts, indent=1, default=str) + "\n")
        write_whole(self.out / "ablation.md", markdown(results, self.plan(), self.recipe))

    def _adapter(self, name: str) -> Path:
        return self.out / "adapters" / name / "adapter"

    def _written(self, name: str, recipe: Settings) -> Path:
        """A recipe as the job reads it; one that was changed under a run that is there is refused by the job itself."""
        path = self.out / f"{name}.yaml"
        write_whole(path, yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False))
        return path


def figures(results: Sequence[Result]) -> dict[str, Any]:
    """Every variant's cues, and their difference from the set with all cues, by set of clips."""
    found: dict[str, Any] = {}
    for name in dict.fromkeys(one.clip.set for one in results):
        rows: dict[str, Any] = {}
        for variant in (*VARIANTS, BARE):
            ours, first = (_of(results, name, one) for one in (variant, ALL))
            rows[variant] = {
                figure: {
                    "value": _plain(spread(units_of(ours, figure).values())),
                    "over_all_cues": _plain(difference(units_of(ours, figure), units_of(first, figure))),
                }
                for figure in SYNC
            }
        found[name] = rows
    return {"sets": found}


def markdown(results: Sequence[Result], plan: SetPlan, recipe: AblationRecipe) -> str:
    """The 6 x 4 table, of every set of clips, and the pairs that the sets have."""
    puppet = recipe.curate.puppet
    spoilt = f"{puppet.bad_share:.0%} of {puppet.pairs} pairs were spoilt on purpose, one cue each: {', '.join(puppet.defects)}"
    lines = [f"{spoilt}. Each set: {plan.size} pairs; each adapter: {recipe.train.steps} steps of {recipe.train.batch}.", ""]
    for name in dict.fromkeys(one.clip.set for one in results):
        lines += [f"### Cues of edits, adapters by their set ({name})", ""]
        lines += ["| set | " + " | ".join(HEADS.get(figure, figure) for figure in SYNC) + " |", "|" + "---|" * (len(SYNC) + 1)]
        for variant in (*VARIANTS, BARE):
            ours = _of(results, name, variant)
            cells = [cell(spread(units_of(ours, figure).values()), interval=True) for figure in SYNC]
            lines.append(f"| {variant} | " + " | ".join(cells) + " |")
        lines.append("")
    return "\n".join([*lines, "### Pairs of the sets, of those that their filter lets in", "", plan.table(), ""])


def _of(results: Sequence[Result], name: str, condition: str) -> list[Result]:
    return [one for one in results if one.clip.set == name and one.condition == condition]


def _plain(value: Any) -> dict[str, Any] | None:
    return None if value is None else asdict(value)


def _job(name: str, *words: object) -> None:
    """Run one of the jobs, its words on our own console.

    Raises:
        SyncLoraError: it failed, or this is no checkout.
    """
    script = ROOT / "jobs" / f"{name}.py"
    if not script.exists():
        raise SyncLoraError(f"{script}: no such file; the ablation runs in a checkout, beside jobs/")
    status = subprocess.run([sys.executable, str(script), *map(str, words)], cwd=ROOT, check=False).returncode
    if status:
        raise SyncLoraError(f"jobs/{name}.py ended with {status}; the same command goes on when its cause is gone")


def main(argv: list[str]) -> int:
    """Exit status 0, or 2 with one line on stderr, or 130 after Ctrl-C."""
    try:
        arguments = _parse(argv)
        recipe = AblationRecipe.from_yaml(arguments.recipe)
        with open_output(arguments.out, KIND) as out:
            Ablation(recipe, arguments.backbone, arguments.portraits, out).until(arguments.until)
    except (SyncLoraError, OSError) as error:
        print(f"synclora.embedded.ablation: {one_line(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("synclora.embedded.ablation: interrupted; the same command goes on", file=sys.stderr)
        return 130
    return 0


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = Parser(prog="python -m synclora.embedded.ablation", description="The paper's ablation of cues.")
    add = parser.add_argument
    add("--backbone", metavar="NAME", help="folder in diffusers' layout (default: the recipe's)")
    add("--portraits", type=Path, required=True, metavar="DIR", help="folder with MANIFEST.json, clips/, pairs/, faces/")
    add("--out", type=Path, required=True, metavar="DIR", help="the run's folder")
    add("--recipe", type=Path, default=RECIPE, metavar="FILE", help="settings (default: jobs/recipes/ablation-embedded.yaml)")
    add("--until", default=STAGES[-1], choices=STAGES, help="the last stage to do (default: measure)")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
