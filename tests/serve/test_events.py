"""Watching, without HTTP: the look is a function here, so that it can fail and be counted."""

import dataclasses
import threading
from collections.abc import Sequence

import anyio
import pytest

from serve.events import Seen, Watch, event_id, said, stream
from serve.job import Job, State

JOB = Job("0" * 26, "", State.QUEUED, {}, {}, 1.0, 2.0, None, None, 0, None, None, None, None)


def at(step: int) -> Seen:
    return Seen(dataclasses.replace(JOB, state=State.RUNNING, progress={"stage": "sampling", "step": step, "steps": 9}))


class Table:
    """What is looked at."""

    def __init__(self, now: Seen) -> None:
        self.now, self.looks, self.away = now, 0, False
        self.thread: int | None = None

    def look(self, ids: Sequence[str]) -> dict[str, Seen]:
        self.looks += 1
        self.thread = threading.get_ident()
        if self.away:
            raise ConnectionError("away")
        return {id: self.now for id in ids if self.now.job is not None}


async def gather(watch: Watch, first: Seen, found: list[Seen | None], keep_alive_s: float = 5.0, stream_s: float = 5.0) -> None:
    async for seen in watch.follow(JOB.id, first, keep_alive_s, stream_s):  # one by one: others look at it meanwhile
        found.append(seen)  # noqa: PERF401


def test_changes_come_once_and_the_look_is_in_a_thread():
    async def main() -> None:
        table, found = Table(at(1)), list[Seen | None]()
        watch = Watch(table.look, 0.01)
        async with anyio.create_task_group() as group:
            group.start_soon(gather, watch, at(1), found)
            for told, now in enumerate((at(2), at(3), Seen(None)), 1):
                while len(found) < told:
                    await anyio.sleep(0.01)
                table.now = now
        assert found == [at(1), at(2), at(3), Seen(None)]
        assert table.thread != threading.get_ident()
        assert watch.watchers == 0
        looks = table.looks
        await anyio.sleep(0.1)
        assert table.looks <= looks + 1  # nobody watches, nothing is asked

    anyio.run(main)


def test_an_ended_job_needs_no_look():
    async def main() -> None:
        table, found = Table(Seen(None)), list[Seen | None]()
        await gather(Watch(table.look, 0.01), Seen(None), found)
        assert (found, table.looks) == ([Seen(None)], 0)

    anyio.run(main)


def test_a_table_that_is_away_keeps_its_watchers():
    async def main() -> None:
        table, found = Table(at(1)), list[Seen | None]()
        table.away = True
        watch = Watch(table.look, 0.01)
        async with anyio.create_task_group() as group:
            group.start_soon(gather, watch, at(1), found, 0.05)
            while None not in found:
                await anyio.sleep(0.01)
            table.away, table.now = False, Seen(None)
        assert found[-1] == Seen(None)

    anyio.run(main)


def test_a_stream_has_an_end_of_its_own_so_that_a_door_can_go():
    async def main() -> None:
        table, found = Table(at(1)), list[Seen | None]()
        with anyio.fail_after(20):
            await gather(Watch(table.look, 0.01), at(1), found, stream_s=0.1)
        assert found[0] == at(1)
        assert not any(seen.ended for seen in found if seen)

    anyio.run(main)


def test_what_was_read_before_a_look_is_not_told_again_as_news():
    """A job read at step 5, while the last look saw it at step 4: the watcher must not go back."""

    async def main() -> None:
        table, found = Table(at(4)), list[Seen | None]()
        watch = Watch(table.look, 0.2)
        async with anyio.create_task_group() as group:
            group.start_soon(gather, watch, at(4), [])
            await anyio.sleep(0.05)
            table.now = at(5)
            group.start_soon(gather, watch, at(5), found)
            await anyio.sleep(0.4)
            table.now = Seen(None)
        assert found == [at(5), Seen(None)]

    anyio.run(main)


@pytest.mark.parametrize("last_id", [None, "garbage", event_id(said(at(1)))])
def test_events_on_the_wire(last_id):
    async def main() -> bytes:
        async def changes():
            for seen in (at(1), None, at(2), Seen(None)):
                yield seen

        return b"".join([piece async for piece in stream(changes(), last_id)])

    blocks = anyio.run(main).decode().split("\n\n")
    kinds = [block.split("\n")[0] for block in blocks if block]
    first = [] if last_id == event_id(said(at(1))) else ["event: progress"]
    assert kinds == ["retry: 1000", *first, ": still here", "event: progress", "event: end"]
    assert event_id(said(at(1))) != event_id(said(at(2)))
