"""The HTTP side, without Ray: `create_api(Door(...))` is an application for uvicorn, or for Serve's proxy.

    door = Door(settings, JobTable(settings.database_url), FileStore(settings.files_root), settings.library)
    uvicorn.run(create_api(door), host="127.0.0.1", port=8000)

Whatever asks the table or the files runs in threads: endpoints are plain functions, and the two coroutines (the upload, the event stream) hand
such work over. The one middleware (`shell.py`) adds headers to what passes and holds nothing back.
"""

import contextlib
import functools
from collections.abc import AsyncIterator

from fastapi import FastAPI

from serve import artefacts, edits, pages, problems, service
from serve.desk import Desk, look
from serve.door import Door
from serve.events import Watch
from serve.incoming import Incoming
from serve.intake import Intake
from serve.metrics import Metrics
from serve.openapi import describe
from serve.probe import Probe
from serve.shell import Shell

__all__ = ["Door", "create_api"]

VERSION = "1.0"
ABOUT = """A source video and its edited first frame in, the edited video out, with its sync score. Every error is
{"error": {"reason", "detail"}}. With keys, send the header `Authorization: Bearer KEY`; without, the service answers its own machine alone."""


def create_api(door: Door) -> FastAPI:
    """The application. Its probes' children end with its lifespan, or with the process."""
    watch = Watch(functools.partial(look, door), door.settings.poll_s)
    incoming, probe, metrics = Incoming(door.settings.data / "incoming"), Probe(door.settings), Metrics(door.table, watch)
    desk = Desk(door, Intake(door, incoming.folder, probe), watch, metrics)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        probe.close()
        incoming.close()

    app = FastAPI(
        title="Sync-LoRA edits",
        version=VERSION,
        description=ABOUT,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        generate_unique_id_function=lambda route: route.name,
    )
    app.state.desk = desk
    app.openapi = functools.partial(describe, app)  # type: ignore[method-assign]
    problems.install(app)
    app.add_middleware(Shell)
    for router in (edits.router, artefacts.router, service.router, pages.router):
        app.include_router(router)
    return app
