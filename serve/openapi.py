"""What `/docs` says beyond the types: the multipart body, which is parsed by hand, and what each status means."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel

from serve.form import KEY_FRAME
from serve.intake import MAX_KEY_FRAMES
from serve.schema import Failure
from synclora.edit.request import EditRequest

EVENTS = """Each event has `id`, `event` and `data`, which is the edit's whole JSON. `progress`: something changed. `end`: the last one.
Comments in between are signs of life. Send Last-Event-ID to go on after a break."""


def shows(model: type[BaseModel], text: str) -> dict[str, Any]:
    """An answer of this form."""
    return {"model": model, "description": text}


def failures(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Answers of /docs."""
    return {status: shows(Failure, WHY[status]) for status in sorted({401, 503, *statuses})}


WHY = {
    400: "A field or the body is malformed.",
    401: "No key, an unknown one, or a service without keys asked from elsewhere.",
    404: "There is no such thing, or it belongs to another key.",
    408: "The upload came too slowly.",
    409: "The Idempotency-Key was used for something else.",
    413: "Too many bytes.",
    415: "No multipart body, or a file of a kind that is not taken.",
    416: "The range is none or lies beyond the end.",
    422: "A file that cannot be used, an unknown adapter, no consent: `reason` says which.",
    429: "The queue is full, or the key's limit is reached; `Retry-After` says when to come again.",
    503: "The job table cannot be reached.",
    507: "The service's disk is full.",
}


def binary(kinds: tuple[str, ...]) -> dict[int | str, dict[str, Any]]:
    """Answers with a file, whole or in part."""
    content = {"content": {kind: {"schema": {"type": "string", "format": "binary"}} for kind in kinds}}
    whole, part = {**content, "description": "The whole file."}, {**content, "description": "The range that was asked for."}
    return {200: whole, 206: part, **failures(404, 416)}


def body_and_key() -> dict[str, Any]:
    """The multipart body and the header of a request for an edit, from the request's own rules."""
    rules = EditRequest.model_json_schema()["properties"]
    file = {"type": "string", "format": "binary"}
    texts = {name: {**rule, "description": DESCRIBED.get(name, rule.get("description", ""))} for name, rule in rules.items()}
    for name in ("source", "first_frame", "key_frames"):
        texts.pop(name)
    many = f"Another edited frame, with its number, counted from 0: key_frame_40. At most {MAX_KEY_FRAMES}."
    schema = {
        "type": "object",
        "required": ["source", "first_frame", "consent"],
        "properties": {
            "consent": {
                "type": "string",
                "enum": ["true"],
                "description": "The people shown agree to this edit. Stored with who and when.",
            },
            **texts,
            "source": {**file, "description": "The video: MP4, MOV, WebM, MKV, AVI or MPEG-TS."},
            "first_frame": {**file, "description": "Its first frame, edited: JPEG, PNG, WebP or BMP."},
        },
        "patternProperties": {f"^{KEY_FRAME.pattern}$": {**file, "description": many}},
        "additionalProperties": False,
    }
    key = {
        "name": "Idempotency-Key",
        "in": "header",
        "required": False,
        "schema": {"type": "string", "minLength": 1, "maxLength": 200},
        "description": "Printable ASCII. The same request sent again with it makes no second edit.",
    }
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}, "parameters": [key]}


DESCRIBED = {
    "prompt": "Empty or left out: the adapter's own caption.",
    "adapter": "One of /v1/adapters; `none` for the bare model, which does not see the source; left out: the service's default.",
    "seed": "The same seed gives the same edit.",
    "steps": "Sampling steps; left out: the service's own.",
    "guidance_text": "1 is off; another value costs one more call of the model a step.",
    "guidance_source": "Likewise, for the source.",
    "guidance_first_frame": "Likewise, for the first frame.",
    "size": "WIDTHxHEIGHT of the video that comes back; left out: the source's, or that of its edited part (`crop` of the result).",
    "min_sync": "Try another seed while the sync score is below.",
    "attempts": "At most so many seeds; needs `min_sync`.",
}


def describe(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI description, made once: FastAPI's, without its own form of errors, which is never sent, and with the key."""
    if app.openapi_schema is None:
        schema = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        for path, ways in schema["paths"].items():
            for way in ways.values():
                own = way["responses"].get("422", {})
                if "HTTPValidationError" in str(own):
                    del way["responses"]["422"]
                if path.startswith("/v1/") or path == "/metrics":
                    way["security"] = [{"key": []}, {}]
        for name in ("HTTPValidationError", "ValidationError"):
            schema["components"]["schemas"].pop(name, None)
        schema["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        app.openapi_schema = schema
    return app.openapi_schema
