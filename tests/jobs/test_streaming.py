"""Rows one by one through stages of unequal speed: in order, each once, never more begun than allowed, and over at once when that is wanted."""

import os
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import ray
import ray.data

from jobs.streaming import Window, row_by_row, stream_of, streamed

pytestmark = [pytest.mark.slow, pytest.mark.timeout(200)]


@pytest.fixture
def through(driver: str, tmp_path: Path):
    """through(rows, ahead, batches, waits): a stream through pools of one or two actors; the first notes what it begins."""

    def begin(row: dict[str, Any]) -> dict[str, Any]:
        (tmp_path / f"{row['number']}").touch()
        return row

    def pool(wait: float):
        def work(batch: pa.Table) -> pa.Table:
            begun = time.time()
            time.sleep(wait)
            done = [f"{row['done']}{batch.num_rows}:{os.getpid()}:{begun}:{time.time()} " for row in batch.to_pylist()]
            return batch.set_column(1, "done", pa.array(done))

        class Pool:
            def __call__(self, batch: pa.Table) -> pa.Table:
                return work(batch)

        return Pool

    def make(rows: int, ahead: int, batches: list[int], waits: list[float]) -> tuple[ray.data.Dataset, Window]:
        with row_by_row():
            stream = stream_of(lambda: ({"number": number, "done": ""} for number in range(rows))).map(begin, num_cpus=0.1)
            for batch, wait in zip(batches, waits, strict=True):
                stream = stream.map_batches(
                    pool(wait),
                    batch_size=batch,
                    batch_format="pyarrow",
                    num_cpus=0.25,
                    compute=ray.data.ActorPoolStrategy(min_size=1, max_size=2, max_tasks_in_flight_per_actor=2),
                )
        return stream, Window(ahead)

    return make


def test_each_once_in_order_and_no_further_than_allowed(through, tmp_path):
    """With batches that do not fit into each other, and as few rows begun as they need."""
    stream, window = through(12, 1 + 1 + 2 + 0, [2, 3, 1], [0.1, 0.1, 0.2])
    seen, calls = [], []
    with streamed(stream, window) as items:
        for item in items:
            begun = len(list(tmp_path.iterdir()))
            assert begun <= len(seen) + 1 + window.ahead + 1
            seen.append(item["number"])
            calls.append([word.split(":") for word in item["done"].split()])
    assert seen == list(range(12))
    assert all([size for size, *_ in call] == ["2", "3", "1"] for call in calls)
    assert window.ahead <= window.most <= window.ahead + 1  # as far as allowed: no pool was kept from work without need


def test_all_pools_are_at_work_at_once_and_share_what_came_in_a_batch(through):
    """As many rows as that takes: on a busy machine a pool's second actor comes late."""
    stream, window = through(300, 12, [2, 3, 1], [0.5, 0.5, 0.3])  # long against Ray's own .3 s a call on a busy machine
    calls: list[list[list[str]]] = []
    with streamed(stream, window) as items:
        for item in items:
            calls.append([word.split(":") for word in item["done"].split()])
            if _at_once(calls) and len({call[2][1] for call in calls}) == 2:
                return  # single rows of the second pool's batches went to both actors of the third
    raise AssertionError(calls)


def _at_once(calls: list[list[list[str]]]) -> bool:
    times = [{(float(call[pool][2]), float(call[pool][3])) for call in calls} for pool in range(3)]
    moments = [begun for pool in times for begun, _ in pool]
    return any(all(any(begun <= now < ended for begun, ended in pool) for pool in times) for now in moments)


def test_an_endless_set_begins_at_once_and_ends_when_left(through, tmp_path, capfd):
    begun = time.process_time()
    stream, window = through(10_000_000, 6, [1, 1], [0.0, 0.2])
    assert time.process_time() - begun < 1
    with streamed(stream, window) as items:
        assert [next(items)["number"] for _ in range(3)] == [0, 1, 2]
        workers = {int(word.split(":")[1]) for word in next(items)["done"].split()}
        left = time.monotonic()
    assert time.monotonic() - left < 60  # and not a month
    assert len(list(tmp_path.iterdir())) <= 4 + 6 + 1
    while any(Path(f"/proc/{worker}").exists() and _alive(worker) for worker in workers):
        assert time.monotonic() - left < 90
        time.sleep(0.05)
    assert capfd.readouterr().err == ""


def _alive(worker: int) -> bool:
    try:
        return "MapWorker" in Path(f"/proc/{worker}/cmdline").read_text()
    except OSError:
        return False
