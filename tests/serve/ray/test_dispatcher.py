"""The dispatcher on a real table, with editors that do as they are told."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from ray.exceptions import ActorDiedError

from serve.dispatcher import Dispatcher
from serve.jobs import JobTable, State
from serve.settings import ServiceSettings
from tests.serve.conftest import new_job


class Editors:
    """A deployment's handle: what was called with which adapter, and calls that end when they are told how."""

    def __init__(self) -> None:
        self.called: list[tuple[str, str]] = []
        self.ends: dict[str, asyncio.Future[None]] = {}
        self.adapter = ""

    @property
    def run(self) -> "Editors":
        return self

    def options(self, multiplexed_model_id: str) -> "Editors":
        other = Editors()
        other.called, other.ends, other.adapter = self.called, self.ends, multiplexed_model_id
        return other

    def remote(self, job: str) -> Awaitable[None]:
        self.called.append((job, self.adapter))
        self.ends[job] = asyncio.get_running_loop().create_future()
        return self.ends[job]


def dispatch(settings: ServiceSettings, script: Callable[[Dispatcher, Editors], Awaitable[None]]) -> Editors:
    """Run a dispatcher while the script goes on."""

    async def run() -> Editors:
        editors = Editors()
        dispatcher = Dispatcher(settings.model_dump_json(), editors)  # type: ignore[arg-type]
        try:
            await script(dispatcher, editors)
            await dispatcher.check_health()
        finally:
            for loop in dispatcher._loops:
                loop.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await loop
        return editors

    return asyncio.run(run())


async def until(look: Callable[[], bool], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not look():
        assert time.monotonic() < end
        await asyncio.sleep(0.01)


def accepted(table: JobTable, count: int, **values: object) -> list[str]:
    return [table.accept(new_job(**values), max_queued=1000)[0].id for _ in range(count)]  # type: ignore[arg-type]


def test_the_oldest_are_handed_out_twice_as_many_as_editors(tmp_path: Path) -> None:
    settings = ServiceSettings(data=tmp_path, max_replicas=2)
    table = JobTable(settings.database_url)
    ids = accepted(table, 10)

    async def script(dispatcher: Dispatcher, editors: Editors) -> None:
        await until(lambda: len(editors.called) == 4)
        await asyncio.sleep(1.2)  # it looks every second
        assert [id for id, _ in editors.called] == ids[:4]
        table.start(ids[0], "one", 60)
        editors.ends[ids[0]].set_result(None)
        await until(lambda: len(editors.called) == 5)
        assert editors.called[4][0] == ids[4]

    dispatch(settings, script)


def test_a_job_goes_where_its_adapter_is(tmp_path: Path) -> None:
    settings = ServiceSettings(data=tmp_path, default_adapter="may")
    table = JobTable(settings.database_url)
    ids = [accepted(table, 1, adapter=name)[0] for name in (None, "none", "june")]

    async def script(dispatcher: Dispatcher, editors: Editors) -> None:
        await until(lambda: len(editors.called) == 3)

    assert dispatch(settings, script).called == list(zip(ids, ("may", "", "june"), strict=True))


def test_it_wakes_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serve.dispatcher.IDLE_S", 600.0)  # it does not look by itself
    settings = ServiceSettings(data=tmp_path)
    table = JobTable(settings.database_url)

    async def script(dispatcher: Dispatcher, editors: Editors) -> None:
        await asyncio.sleep(0.3)
        accepted(table, 1)
        await dispatcher.wake()
        await until(lambda: len(editors.called) == 1)

    dispatch(settings, script)


def test_the_job_of_a_dead_editor_is_handed_out_again_at_once(tmp_path: Path) -> None:
    settings = ServiceSettings(data=tmp_path)
    table = JobTable(settings.database_url)
    (id,) = accepted(table, 1)

    async def script(dispatcher: Dispatcher, editors: Editors) -> None:
        await until(lambda: len(editors.called) == 1)
        table.start(id, "one", 600)
        editors.ends[id].set_exception(ActorDiedError())
        await until(lambda: len(editors.called) == 2, 1.0)
        taken = table.start(id, "two", 600)
        assert taken is not None
        assert taken[0].start == 2

    dispatch(settings, script)


def test_a_lease_that_ran_out_is_handed_out_again_once_though_the_call_hangs(tmp_path: Path) -> None:
    settings = ServiceSettings(data=tmp_path)
    table = JobTable(settings.database_url)
    (id,) = accepted(table, 1)

    async def script(dispatcher: Dispatcher, editors: Editors) -> None:
        await until(lambda: len(editors.called) == 1)
        table.start(id, "frozen", 0.1)
        await until(lambda: len(editors.called) == 2, 3.0)
        await asyncio.sleep(1.5)
        assert len(editors.called) == 2

    dispatch(settings, script)


def test_a_database_that_comes_late_is_waited_for(tmp_path: Path) -> None:
    (tmp_path / "jobs.sqlite").mkdir()  # as good as unreachable
    settings = ServiceSettings(data=tmp_path)

    async def script(dispatcher: Dispatcher, editors: Editors) -> None:
        await asyncio.sleep(0.3)
        (tmp_path / "jobs.sqlite").rmdir()
        accepted(JobTable(settings.database_url), 1)
        await until(lambda: len(editors.called) == 1, 10.0)

    dispatch(settings, script)


def test_it_keeps_house(tmp_path: Path) -> None:
    settings = ServiceSettings(data=tmp_path)
    table = JobTable(settings.database_url)
    (id,) = accepted(table, 1, deadline_s=0.0)

    async def script(dispatcher: Dispatcher, editors: Editors) -> None:
        await until(lambda: table.many([id])[id].state is State.FAILED)

    dispatch(settings, script)
    job = table.get(id)
    assert job is not None
    assert job.error is not None
    assert job.error[0] == "deadline"
