"""The addresses that are about the service: /v1/adapters, /healthz, /readyz, /metrics."""

import functools
from collections.abc import Callable
from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response

from serve.desk import At, Who
from serve.metrics import CONTENT_TYPE
from serve.openapi import failures, shows
from serve.schema import AdapterList, AdapterView, Health
from synclora.edit.request import NO_ADAPTER

router = APIRouter()

READY = "0" * 26
"""The id of no job: whether the store answers at all."""

METRICS = {"content": {"text/plain": {"schema": {"type": "string"}}}, "description": "Counts."}


@router.get(
    "/v1/adapters",
    tags=["adapters"],
    summary="Adapters to choose of",
    responses={200: shows(AdapterList, "All of them."), **failures()},
)
def adapters(desk: At, who: Who) -> JSONResponse:
    """Those that this key may use. `none` is the bare model."""
    names: list[dict[str, Any]] = [{"name": NO_ADAPTER}]
    names += [info.model_dump(mode="json", exclude={"path"}) for info in desk.door.library.all()]
    allowed = [one for one in names if who.key is None or who.key.may_use(one["name"])]
    shown = [AdapterView(**one, default=one["name"] == desk.door.settings.usual_adapter).model_dump() for one in allowed]
    return JSONResponse({"adapters": shown})


@router.get(
    "/healthz",
    tags=["service"],
    summary="Does the process answer",
    responses={200: shows(Health, "It does.")},
)
async def healthz() -> JSONResponse:
    """Needs no key."""
    return JSONResponse({"status": "ok"})


@router.get(
    "/readyz",
    tags=["service"],
    summary="Can it take edits",
    responses={200: shows(Health, "It can."), 503: shows(Health, "Which part cannot.")},
)
def readyz(desk: At) -> JSONResponse:
    """Asks the table and the files. Needs no key."""
    found = {"table": _tried(desk.door.table.counts), "files": _tried(functools.partial(desk.door.files.names, READY))}
    ready = set(found.values()) == {"ok"}
    return JSONResponse({"status": "ok" if ready else "not ready", **found}, 200 if ready else 503)


@router.get(
    "/metrics", tags=["service"], summary="For Prometheus", response_class=Response, responses={200: METRICS, **failures()}
)
def metrics(desk: At, who: Who) -> Response:
    """Text format. Guarded as the rest: needs a key."""
    return Response(desk.metrics.text(), media_type=CONTENT_TYPE)


def _tried(ask: Callable[[], object]) -> str:
    try:
        ask()
    except Exception as error:
        return f"failed: {type(error).__name__}"
    return "ok"
