"""The first stage of jobs/train.py: a set's pairs to latents, on every GPU of the cluster, or every CPU where there is none.

    tally = encode_set(read_set(Path("out/curate")), recipe.encode, "tiny:ltx-video", Path("out/train"), console=Console())

Ray runs already. What travels is small: a pair as JSON to a worker, its row back; frames and latents stay where they are made.
"""

import json
import sys
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import ray
import ray.cloudpickle
import ray.data
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from synclora.attempts import Attempts
from synclora.backbone.find import find_backbone
from synclora.command import one_line
from synclora.curation.cores import claim_core
from synclora.errors import SyncLoraError
from synclora.train.clips import EncodeResources, EncodeSettings, clips_of
from synclora.train.curated import Sample, TrainSetError
from synclora.train.encoder import Encoder
from synclora.train.finder import Finder
from synclora.train.index import OUTCOMES, Effort, Encoded, EncodeTally, write_index
from synclora.train.latents import LatentStore

Item = dict[str, Any]
"""What passes between driver and worker: a pair and the number of its clip, later its row as JSON. `wrong` says why no pair can be encoded,
`stop` why the run must end."""

ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # type: ignore[no-untyped-call]  # workers need not find this file


@dataclass(frozen=True)
class Work:
    """What every worker is told."""

    settings: EncodeSettings
    resources: EncodeResources
    backbone: str
    revision: str | None
    folder: Path
    device: str
    run: str


class Encode:
    """The stage. An actor, because an autoencoder takes seconds to load."""

    def __init__(self, work: Work) -> None:
        self.wrong = ""
        torch.set_num_threads(1)
        cv2.setNumThreads(1)
        resources = work.resources
        if resources.pin and work.device == "cpu":
            claim_core()
        try:
            self.encoder = Encoder(
                find_backbone(work.backbone, work.revision),
                work.settings,
                LatentStore(work.folder),
                device=work.device,
                limits=resources.media,
                attempts=Attempts(work.folder / "attempts", work.run, resources.attempts),
            )
        except SyncLoraError as error:  # said with every item: Ray would make many lines of it
            self.wrong = one_line(error)
        except Exception as error:  # whatever a library has against the weights
            self.wrong = f"backbone {work.backbone}: {type(error).__name__}: {one_line(error)}"

    def __call__(self, item: Item) -> Item:
        """The clip's row."""
        if self.wrong:
            return {"row": "", "wrong": self.wrong, "stop": ""}
        try:
            encoded = self.encoder.encode(Sample.from_json(item["sample"]), item["window"])
        except OSError as error:
            return {"row": "", "wrong": "", "stop": one_line(error)}
        effort = asdict(encoded.effort) if encoded.effort else None
        return {"row": json.dumps([encoded.to_row(), encoded.outcome, effort]), "wrong": "", "stop": ""}


def encode(
    samples: Sequence[Sample],
    settings: EncodeSettings,
    backbone: str,
    out: Path,
    resources: EncodeResources,
    *,
    revision: str | None = None,
) -> Iterator[Encoded]:
    """The row of every clip, in the order of the samples, as they are encoded.

    Raises:
        SyncLoraError: the backbone or a bucket cannot be used.
        OSError: the output folder cannot be written (a full disk). What was finished stays.
    """
    found = find_backbone(backbone, revision)  # fetched or refused once, before every worker tries
    device = "cuda" if ray.cluster_resources().get("GPU") else "cpu"  # type: ignore[no-untyped-call]
    work = Work(settings, resources, backbone, revision, out / "latents", device, uuid.uuid4().hex)
    finder = Finder(found, settings, LatentStore(work.folder), device=device, limits=resources.media)
    clips = [(sample, window) for sample in samples for window in range(clips_of(sample, settings))]
    for number, clip in enumerate(clips):
        row = finder.find(*clip)
        if row is None:  # the first new one: from here on it is the workers' turn; without one, none is started
            yield from _by_workers(clips[number:], work)
            return
        yield row


def _by_workers(clips: list[tuple[Sample, int]], work: Work) -> Iterator[Encoded]:
    context = ray.data.DataContext.get_current().copy()
    context.execution_options.preserve_order = True
    context.enable_progress_bars = False  # our own counts outcomes
    context.print_on_execution_start = False
    with ray.data.DataContext.current(context):
        items = [{"sample": sample.to_json(), "window": window} for sample, window in clips]
        rows = ray.data.from_items(items, override_num_blocks=len(items)).map(
            Encode,  # type: ignore[arg-type]  # a class makes actors
            fn_constructor_args=(work,),
            compute=ray.data.ActorPoolStrategy(size=_actors(work, len(items))),
            num_cpus=work.resources.actor_cpus,
            num_gpus=work.resources.actor_gpus if work.device == "cuda" else None,
        )
    for item in rows.iter_rows():
        if item["wrong"]:
            raise TrainSetError(item["wrong"])
        if item["stop"]:
            raise OSError(item["stop"])
        row, outcome, effort = json.loads(item["row"])
        yield Encoded.from_row(row, outcome, Effort(**effort) if effort else None)


def encode_set(
    samples: Sequence[Sample],
    settings: EncodeSettings,
    backbone: str,
    out: Path,
    resources: EncodeResources | None = None,
    *,
    revision: str | None = None,
    console: Console | None = None,
) -> EncodeTally:
    """Encode what is new and write OUT/latents/index.parquet. One run at a time.

    Raises:
        SyncLoraError: the backbone or a bucket cannot be used, or no clip could be encoded.
        OSError: the output folder cannot be written (a full disk). What was finished stays, an older index too.
    """
    tally, store = EncodeTally(), LatentStore(out / "latents")
    total = sum(clips_of(sample, settings) for sample in samples)
    rows = encode(samples, settings, backbone, out, resources or EncodeResources(), revision=revision)
    with _watched(console or Console(quiet=True), total) as watch:
        write_index(store.index, tally.counting(watch(rows)))
    if not tally.usable:
        first = tally.first_dropped
        why = f"first {first.name}, {first.reason}: {first.detail}" if first else "the set is empty"
        raise TrainSetError(f"none of {total} clips could be encoded ({why})")
    return tally


def _actors(work: Work, clips: int) -> int:
    cluster, resources = ray.cluster_resources(), work.resources  # type: ignore[no-untyped-call]
    most = cluster["GPU"] / resources.actor_gpus if work.device == "cuda" else cluster.get("CPU", 1) / resources.actor_cpus
    return min(resources.actors or max(1, int(most)), clips)


@contextmanager
def _watched(console: Console, total: int) -> Iterator[Any]:
    """A progress line over rows as they pass; on a log instead of a terminal, one line for every tenth of the way."""
    columns = (TextColumn("encoding"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[outcomes]}"))
    shown = console.is_terminal and not console.quiet
    with Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console, disable=not shown) as progress:
        task = progress.add_task("encoding", total=total, outcomes="")

        def watch(rows: Iterable[Encoded]) -> Iterator[Encoded]:
            seen: Counter[str] = Counter()
            for number, row in enumerate(rows, 1):
                seen[row.outcome] += 1
                outcomes = " ".join(f"{seen[outcome]} {outcome}" for outcome in OUTCOMES)
                progress.update(task, completed=number, outcomes=outcomes)
                if not shown and number * 10 // total > (number - 1) * 10 // total:
                    console.print(f"encoded {number} of {total}: {outcomes}")
                yield row

        yield watch
