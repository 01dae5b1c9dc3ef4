"""Pairs made by diffusion models, on their way to the judge: what jobs/curate.py does when its recipe has a `generate:`.

    python jobs/curate.py --recipe jobs/recipes/diffusion.yaml --plan                what it will take; loads nothing
    python jobs/curate.py --recipe jobs/recipes/diffusion.yaml --target-kept 512

Three models, each with its own actors on GPUs, all at work at once: a scene is portrayed, the portrait edited, the two animated, and between
two models a task looks whether going on makes sense. What travels is a `Take` as JSON; pictures and videos stay in OUT/generated.
"""

import os
import sys
import uuid
from collections.abc import Generator, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import ray
import ray.cloudpickle
import ray.data
from rich.console import Console

from jobs.judging import Item, judging, most_actors, rows_of
from jobs.places import fitting, needs_of, room_for
from jobs.streaming import Window, row_by_row, stream_of, streamed
from synclora.command import one_line
from synclora.curation.recipe import CurateRecipe
from synclora.curation.store import unread_pair_id
from synclora.curation.summary import Tally
from synclora.errors import Reason, SyncLoraError
from synclora.motion.verdict import Judgement, Verdict
from synclora.pairs.base import Pair, View
from synclora.pairs.diffusion.catalogue import BadRow, Catalogue, read_catalogue
from synclora.pairs.diffusion.checks import Checker
from synclora.pairs.diffusion.find import Found, look_up, look_up_for_plan
from synclora.pairs.diffusion.maker import Maker, already
from synclora.pairs.diffusion.model import OpenModel, open_model
from synclora.pairs.diffusion.scenes import scene
from synclora.pairs.diffusion.settings import GenerateSettings, Stage
from synclora.pairs.diffusion.store import EDITED, PICTURE, SOURCE, MadeStore
from synclora.pairs.diffusion.take import Take
from synclora.pairs.manifest import Row, manifest_row

for module in (__name__, "jobs.streaming", "jobs.judging"):
    ray.cloudpickle.register_pickle_by_value(sys.modules[module])  # type: ignore[no-untyped-call]  # workers need not find these files

CHECKED = (Stage.PORTRAIT, Stage.EDIT)


@dataclass(frozen=True)
class Studio:
    """What every worker is told.

    Attributes:
        settings: of the recipe.
        catalogue: of prompts.
        founds: the models, looked up.
        out: the output folder.
        run: of this run alone, for counting attempts.
        open_model: gives a model to make with.
    """

    settings: GenerateSettings
    catalogue: Catalogue
    founds: Mapping[Stage, Found]
    out: Path
    run: str
    open_model: OpenModel

    def take(self, number: int) -> Take:
        """A scene, with all that was made of it before."""
        return already(Take(scene(number, self.settings, self.catalogue), {}), self.settings, self.founds, self.out)


def studio(settings: GenerateSettings, out: Path, opening: OpenModel | None = None, *, plan: bool = False) -> Studio:
    """Prompts read and models looked up; nothing is loaded, nothing written.

    Args:
        settings: of the recipe.
        out: the output folder.
        opening: gives a model to make with, in the place of a diffusers pipeline.
        plan: only to plan with: a hub that does not answer leaves a model's size open.

    Raises:
        SyncLoraError: one line on what cannot be used.
    """
    catalogue = read_catalogue(settings.prompts)
    catalogue.chosen(settings.kinds)
    founds = {stage: (look_up_for_plan if plan else look_up)(stage, settings.stage(stage)) for stage in Stage}
    return Studio(settings, catalogue, founds, out, uuid.uuid4().hex, opening or open_model)


class Make:
    """A model's stage. An actor, because weights take minutes to load."""

    def __init__(self, work: Studio, stage: Stage) -> None:
        asked, sees = bool(work.settings.stage(stage).pool.gpus), _sees_card()
        device = "cuda" if asked and sees else "cpu"
        self.note = (
            f"{stage.value}: torch sees no GPU on {os.uname().nodename} and computes on its CPU" if asked and not sees else ""
        )
        self.maker = Maker(
            stage, work.settings, work.founds[stage], work.out, work.run, device=device, open_model=work.open_model
        )
        with suppress(Exception):  # the first scene tries again, and says what is wrong
            self.maker.load()  # now, not with the first scene: all models load at once

    def __call__(self, batch: pa.Table) -> pa.Table:
        """The takes, each a stage further, or dropped."""
        items = batch.to_pylist()
        takes = [Take.from_json(item["take"]) for item in items]
        stop, wrong = (next((item[name] for item in items if item[name]), "") for name in ("stop", "wrong"))
        if not stop and not wrong:
            try:
                takes = self.maker.make(takes)
                takes[0] = replace(takes[0], notes=(*takes[0].notes, *filter(None, [self.note])))
            except SyncLoraError as error:
                wrong = one_line(error)
            except OSError as error:
                stop = one_line(error)
        return pa.Table.from_pylist([{"take": take.to_json(), "stop": stop, "wrong": wrong} for take in takes])


class Check:
    """Whether a picture is worth going on with. A task: any node's spare CPU does it."""

    def __init__(self, stage: Stage, settings: GenerateSettings, out: Path) -> None:
        self.stage, self.settings, self.out = stage, settings, out

    def __call__(self, item: Item) -> Item:
        """The take, perhaps dropped."""
        if item["stop"] or item["wrong"]:
            return item
        try:
            take = Checker(self.stage, self.settings, self.out).check(Take.from_json(item["take"]))
        except OSError as error:
            return item | {"stop": one_line(error)}
        return item | {"take": take.to_json()}


class Takes:
    """Items that hold a take: what the judge makes of them."""

    def __init__(self, recipe: CurateRecipe, out: Path) -> None:
        assert recipe.generate
        self.words, self.token, self.store = recipe.generate.caption == "instruction", recipe.caption, MadeStore(out)

    def pair(self, item: Item) -> Pair:
        """The two halves of its video; of a dropped one, the pictures that there are."""
        take = Take.from_json(item["take"])
        caption = take.scene.in_words if self.words else self.token
        if Stage.VIDEO in take.made:
            folder = self.store.folder(Stage.VIDEO, take.made[Stage.VIDEO])
            return take.pair(caption, folder / SOURCE, folder / EDITED)
        pictures = [self.store.folder(stage, take.made[stage]) / PICTURE if stage in take.made else None for stage in CHECKED]
        return take.pair(caption, *pictures)

    def effort(self, item: Item) -> Item:
        """Seconds of GPU, and what a user should read once."""
        take = Take.from_json(item["take"])
        return {"spent_s": take.spent_s, "notes": "\n".join(take.notes)}


def generated(work: Studio, numbers: range, stages: tuple[Stage, ...]) -> ray.data.Dataset:
    """Takes up to their videos: a portrait, a look at it, its edit, a look at both, their animation. Every scene is one row, dropped or not.

    Args:
        work: what to make, with what.
        numbers: of the scenes.
        stages: those of which something is missing; the others' models are not started.
    """

    def scenes() -> Iterator[Item]:
        for number in numbers:
            yield {"take": work.take(number).to_json(), "stop": "", "wrong": ""}

    takes = stream_of(scenes)
    for stage in Stage:
        if stage in stages:
            pool = work.settings.stage(stage).pool
            takes = takes.map_batches(
                Make,
                fn_constructor_args=(work, stage),
                batch_size=pool.batch,
                batch_format="pyarrow",
                # two calls: one at work, one waiting at the actor while its answer travels; more would keep others from sharing them
                compute=ray.data.ActorPoolStrategy(
                    min_size=pool.min_actors, max_size=pool.max_actors, max_tasks_in_flight_per_actor=2
                ),
                **needs_of(pool),
            )
        if stage in CHECKED:
            takes = takes.map(Check(stage, work.settings, work.out), num_cpus=work.settings.checks.cpus)
    return takes


def generate(recipe: CurateRecipe, work: Studio, tally: Tally, console: Console) -> Generator[Row, None, None]:
    """A row of the manifest for every bad row of the prompts and for every scene, in the order of their numbers. May be left early: what was in
    flight stays in the store.

    Raises:
        OSError: the output folder cannot be written (a full disk).
        SyncLoraError: a model cannot be loaded, or makes something else than was asked; or this machine alone is too small.
    """
    yield from (_bad(row, recipe) for row in work.catalogue.bad)
    with console.status("looking up what was made before"):
        found, stages = _missing(work)
    scenes = work.settings.goal.scenes
    parts = [range(found), range(found, scenes)] if work.settings.goal.target_kept and stages else [range(scenes)]
    for numbers in filter(len, parts):  # what is made already may suffice: then no GPU is asked for
        yield from _part(recipe, work, numbers, () if numbers.stop == found else stages, tally, console)


def _part(
    recipe: CurateRecipe, work: Studio, numbers: range, stages: tuple[Stage, ...], tally: Tally, console: Console
) -> Iterator[Row]:
    settings, resources = fitting(work.settings, stages, recipe.resources, console)
    work, recipe = replace(work, settings=settings), recipe.model_copy(update={"resources": resources})
    pools = [settings.stage(stage).pool for stage in stages]
    room_for(pools, settings.checks, resources, console)
    with row_by_row():
        rows = judging(
            generated(work, numbers, stages), recipe, work.out, Takes(recipe, work.out), actors=(1, most_actors(recipe))
        )
    usual = 4 * sum(pool.max_actors * pool.batch for pool in pools) or 8 * most_actors(recipe)
    window = Window(max(settings.goal.ahead or usual, 1 + sum(pool.batch - 1 for pool in pools)))
    with streamed(rows, window) as items:
        yield from rows_of(items, tally)


def _missing(work: Studio) -> tuple[int, tuple[Stage, ...]]:
    """How many scenes, from the first on, need no model; and of which stages some scene lacks what was made."""
    first, lacking = work.settings.goal.scenes, set[Stage]()
    for number in range(first):
        take = work.take(number)
        lacks = set() if take.dropped else {stage for stage in Stage if stage not in take.made}
        first = min(first, number) if lacks else first
        lacking |= lacks
        if len(lacking) == len(Stage):
            break
    return first, tuple(stage for stage in Stage if stage in lacking)


def _bad(row: BadRow, recipe: CurateRecipe) -> Row:
    pair = Pair(row.name, View(""), View(""), problem=Reason.BAD_ROW, detail=row.detail)
    judgement = Judgement.unmeasured(Verdict.QUARANTINED, Reason.BAD_ROW, row.detail)
    return manifest_row(unread_pair_id(pair), pair, judgement, None, recipe.result_fingerprint())


def _sees_card() -> bool:
    import torch

    return torch.cuda.is_available()
