"""A set as a stream through Ray Data: rows one by one, never more than so many begun, ended early and cleanly.

    with streamed(stream_of(scenes).map(...), Window(ahead=16)) as items:
        for item in items:            # in order; leaving the block ends actors and tasks at once

Ray Data holds a stage back when its outputs fill the object store. Rows that carry an id and a few words never do: a stage that is quick
would run through the whole set before a slow one has done its tenth. So the rows begun are counted, and those that came out.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import ray
import ray.data
from ray.data._internal.execution.backpressure_policy import (  # the one place where what a stage may begin is decided
    ENABLED_BACKPRESSURE_POLICIES,
    ENABLED_BACKPRESSURE_POLICIES_CONFIG_KEY,
    BackpressurePolicy,
)
from ray.data._internal.execution.operators.input_data_buffer import InputDataBuffer
from ray.data.block import BlockMetadata
from ray.data.datasource import Datasource, ReadTask
from ray.exceptions import RayError

from synclora.command import one_line
from synclora.errors import SyncLoraError

Item = dict[str, Any]

_ROW_BYTES = 2048  # of a row in a queue, roughly: how many are fetched from the source at a time depends on it, and nothing else


@dataclass
class Window:
    """How far the rows begun may be ahead of those that came out, in order.

    Attributes:
        ahead: rows begun at once, the oldest unfinished one included; one more where all stages stand still, which Ray Data does not suffer. A
            stage that works in batches waits for a whole one: at least 1 and, for each stage, its batch less 1.
        finished: rows that came out.
        most: rows that were begun at once, at the most.
    """

    ahead: int
    finished: int = 0
    most: int = 0


class _Rows(Datasource):
    """One task that yields rows as they are asked for."""

    def __init__(self, rows: Callable[[], Iterable[Item]]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._rows = rows

    def estimate_inmemory_data_size(self) -> None:
        """Not known, and of no use."""

    def get_read_tasks(self, parallelism: int, per_task_row_limit: int | None = None, data_context: Any = None) -> list[ReadTask]:
        """One, however many rows there are: starting costs the same for ten as for ten million."""
        rows = self._rows

        def blocks() -> Iterator[pa.Table]:
            for row in rows():
                yield pa.Table.from_pylist([row])

        return [ReadTask(blocks, BlockMetadata(num_rows=None, size_bytes=None, input_files=None, exec_stats=None))]


def stream_of(rows: Callable[[], Iterable[Item]]) -> ray.data.Dataset:
    """A dataset of the rows, each its own block; they are made in one task that takes no core, and only as far as they are needed.

    Args:
        rows: gives the rows from the first on, the same each time: it runs again when its machine dies.
    """
    stream: ray.data.Dataset = ray.data.read_datasource(_Rows(rows), override_num_blocks=1, num_cpus=0)
    return stream


@contextmanager
def row_by_row() -> Iterator[None]:
    """Datasets made in this block hand on single rows, in order: what one actor made in a batch, the next stage's actors share."""
    context = ray.data.DataContext.get_current().copy()
    context.execution_options.preserve_order = True
    context.target_max_block_size = 1  # byte: the smallest block is a row
    context._max_num_blocks_in_streaming_gen_buffer = 4  # rows that the source makes before anyone asks
    with ray.data.DataContext.current(context):
        yield


@contextmanager
def streamed(dataset: ray.data.Dataset, window: Window) -> Iterator[Iterator[Item]]:
    """The dataset's rows in order. Leaving the block, by whatever way, ends its tasks and kills its actors.

    Args:
        dataset: from `stream_of`, made `row_by_row`; one row out for each row in.
        window: counts what begins and what comes out.
    """
    policies = [*ENABLED_BACKPRESSURE_POLICIES, _policy(window)]
    dataset.context.set_config(ENABLED_BACKPRESSURE_POLICIES_CONFIG_KEY, policies)
    bundles, _, executor = dataset._execute_to_iterator()  # iter_rows() holds the newest row back until the next one comes

    def items() -> Iterator[Item]:
        for bundle in bundles:
            for block in bundle.block_refs:
                for item in ray.get(block).to_pylist():
                    window.finished += 1
                    yield item

    try:
        yield items()
    except RayError as error:  # workers that end again and again before they begin, an owner that is gone
        raise SyncLoraError(f"Ray gave up: {one_line(error)[:300]}; what was finished stays, run again to go on") from error
    finally:
        if executor:
            executor.shutdown(force=True)


def _policy(window: Window) -> type[BackpressurePolicy]:
    """The window as Ray Data asks for it. Ray makes the object itself, in the driver's process: the window comes by closure."""

    class Ahead(BackpressurePolicy):
        def __init__(self, context: Any, topology: Any, manager: Any) -> None:
            super().__init__(context, topology, manager)
            reads = [op for op in topology if any(isinstance(up, InputDataBuffer) for up in op.input_dependencies)]
            self._source = reads[0]
            self._first = next(op for op in topology if self._source in op.input_dependencies)

        def can_add_input(self, op: Any) -> bool:
            if op is not self._first:
                return True
            begun = int(op.metrics.num_row_inputs_received) - window.finished
            window.most = max(window.most, begun)
            return begun < window.ahead

        def max_task_output_bytes_to_read(self, op: Any) -> int | None:
            if op is not self._source:
                return None
            given = int(self._source.metrics.row_outputs_taken) - window.finished
            return max(0, window.ahead - given) * _ROW_BYTES

    return Ahead
