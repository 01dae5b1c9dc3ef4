"""The last stage of every curation, wherever its pairs come from: a pair's two videos to its row of the manifest.

    for row in rows_of(judging(pairs, recipe, out, Pairs(), actors=(4, 4)).iter_rows(), tally):
        ...

What travels is small: a pair as JSON in, its row as Arrow bytes out; frames stay where they are made.
"""

import json
import os
import sys
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import ray
import ray.cloudpickle
import ray.data

from synclora.command import one_line
from synclora.curation.recipe import CurateRecipe
from synclora.curation.summary import Tally
from synclora.curation.worker import PairWorker
from synclora.errors import Reason, SyncLoraError
from synclora.pairs.base import Pair, View
from synclora.pairs.manifest import SCHEMA, Row

Item = dict[str, Any]
"""What passes between stages: a pair or a take as JSON, later a row as Arrow bytes. `stop` says why the whole run must end though nothing is
wrong with what was asked (a full disk), `wrong` that it cannot be done as asked (a model that does not load)."""

ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # type: ignore[no-untyped-call]  # workers need not find this file


class Reader(Protocol):
    """What an item says."""

    def pair(self, item: Item) -> Pair:
        """Its pair."""
        ...

    def effort(self, item: Item) -> Item:
        """What making it took, for the tally: `spent_s` and `notes`."""
        ...


class Pairs:
    """Items that hold a pair."""

    def pair(self, item: Item) -> Pair:
        """As it was written."""
        fields = json.loads(item["pair"])
        halves = {half: View(**fields[half]) for half in ("source", "edited")}
        return Pair(**fields | halves | {"problem": Reason(fields["problem"]) if fields["problem"] else None})

    def effort(self, item: Item) -> Item:
        """Nothing that would be counted."""
        return {"spent_s": 0.0, "notes": ""}


class Judge:
    """Measures and judges. An actor, because MediaPipe's graphs take seconds to build and 500 MB to hold."""

    def __init__(self, recipe: CurateRecipe, out: Path, run: str, reader: Reader) -> None:
        self.worker, self.reader = PairWorker(recipe, out, run), reader

    def __call__(self, item: Item) -> Item:
        """The pair's row, with what its making and measuring cost."""
        if item["stop"] or item["wrong"]:
            return {"stop": item["stop"], "wrong": item["wrong"]}
        try:
            result = self.worker.judge(self.reader.pair(item))
        except OSError as error:
            return {"stop": one_line(error), "wrong": ""}
        row = pa.RecordBatch.from_pylist([result.row], SCHEMA).serialize().to_pybytes()
        cost = {"frames": result.frames, "begun": result.begun, "ended": result.ended, "ceiling": result.ceiling}
        worker = f"{os.uname().nodename} {os.getpid()}"
        return {"row": row, "stop": "", "wrong": "", "worker": worker, **cost, **self.reader.effort(item)}


def judging(
    items: ray.data.Dataset, recipe: CurateRecipe, out: Path, reader: Reader, *, actors: tuple[int, int]
) -> ray.data.Dataset:
    """The items' rows, by so many actors at least and at most."""
    resources = recipe.resources
    return items.map(
        Judge,  # type: ignore[arg-type]  # a class makes actors
        fn_constructor_args=(recipe, out, uuid.uuid4().hex, reader),
        compute=ray.data.ActorPoolStrategy(min_size=actors[0], max_size=actors[1]),
        num_cpus=resources.actor_cpus,
        num_gpus=resources.actor_gpus or None,
        memory=resources.actor_memory_mb * 2**20,
    )


def most_actors(recipe: CurateRecipe) -> int:
    """How many judges the cluster has room for, unless the recipe says."""
    return recipe.resources.actors or max(1, int(ray.cluster_resources().get("CPU", 1)))  # type: ignore[no-untyped-call]


def rows_of(items: Iterable[Item], tally: Tally) -> Iterator[Row]:
    """Rows of the manifest as they come; what they cost goes to the tally.

    Raises:
        OSError: the output folder cannot be written (a full disk).
        SyncLoraError: a stage cannot work as asked.
    """
    for item in items:
        if item["wrong"]:
            raise SyncLoraError(item["wrong"])
        if item["stop"]:
            raise OSError(item["stop"])
        tally.measured(*(item[name] for name in ("worker", "frames", "begun", "ended", "ceiling")))
        tally.made(item["spent_s"], item["notes"])
        yield pa.ipc.read_record_batch(pa.py_buffer(item["row"]), SCHEMA).to_pylist()[0]
