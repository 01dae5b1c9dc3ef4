"""What is shown to people: the page at /, its files under /page, and /docs. Nothing in them comes from, or asks, another machine.

FastAPI's own /docs loads scripts from elsewhere; this one is HTML, made of the same OpenAPI description at the first look at it.
"""

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.responses import HTMLResponse, Response
from jinja2 import Environment, FileSystemLoader, select_autoescape

from serve.desk import At
from serve.door import only_local
from serve.problems import not_found

HERE = Path(__file__).parent
PAGE = HERE / "page"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".json": "application/json",
    ".webmanifest": "application/manifest+json",
}
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; "
    "connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def _local(request: Request, desk: At) -> None:
    if desk.door.ring is None:
        only_local(request)


router = APIRouter(include_in_schema=False, dependencies=[Depends(_local)])
"""Open to all who reach a service with keys, as there is nothing in them; without keys, to this machine."""


@router.api_route("/", methods=["GET", "HEAD"])
def page(request: Request) -> Response:
    """Edit a video."""
    return static(request, PAGE / "index.html")


@router.api_route("/page/{name:path}", methods=["GET", "HEAD"])
def part(request: Request, name: str) -> Response:
    """A file of the page; one that is in its folder, whatever the name says."""
    known = {str(file.relative_to(PAGE)): file for file in PAGE.rglob("*") if file.suffix in TYPES and file.is_file()}
    if name not in known:
        raise not_found(f"no file {name[:80]!r} of the page")
    return static(request, known[name])


@router.api_route("/docs", methods=["GET", "HEAD"])
def docs(request: Request) -> Response:
    """What the service takes and gives."""
    html, policy = described(request.app)
    return HTMLResponse(html, headers={"content-security-policy": policy, "cache-control": "no-cache"})


def static(request: Request, file: Path) -> Response:
    """A file of the package, with an ETag of what is in it."""
    try:
        data = file.read_bytes()
    except FileNotFoundError as error:
        raise not_found(f"no file {file.name!r} of the page") from error
    etag = f'"{hashlib.sha256(data).hexdigest()[:20]}"'
    headers = {"etag": etag, "cache-control": "no-cache", "content-security-policy": PAGE_POLICY}
    if etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(data, headers=headers, media_type=TYPES[file.suffix])


def described(app: FastAPI) -> tuple[str, str]:
    """HTML of an application's description, and the policy that lets its own style in and nothing else."""
    schema = app.openapi()
    environment = Environment(loader=FileSystemLoader(HERE), autoescape=select_autoescape(), trim_blocks=True, lstrip_blocks=True)
    environment.filters["shape"] = shape
    style = (HERE / "docs.css").read_text(encoding="utf-8")
    html = environment.get_template("docs.html").render(api=schema, style=style, plain=lambda value: json.dumps(value, indent=1))
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return html, f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


def shape(schema: dict[str, Any] | None) -> str:
    """A JSON schema in a few words: `integer or null`, `list of EditView`."""
    if not schema:
        return "anything"
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    for several in ("anyOf", "oneOf", "allOf"):
        if several in schema:
            return " or ".join(dict.fromkeys(shape(one) for one in schema[several]))
    if "enum" in schema or "const" in schema:
        return " | ".join(json.dumps(one) for one in schema.get("enum", [schema.get("const")]))
    kind = str(schema.get("type", "anything"))
    if kind == "array":
        return f"list of {shape(schema.get('items'))}"
    if kind == "object" and isinstance(schema.get("additionalProperties"), dict):
        return f"map to {shape(schema['additionalProperties'])}"
    if schema.get("format") == "binary":
        return "file"
    limits = [f"{word} {schema[name]}" for name, word in BOUNDS.items() if name in schema]
    return " ".join([kind, *limits])


BOUNDS = {
    "minimum": "≥",
    "exclusiveMinimum": ">",
    "maximum": "≤",
    "exclusiveMaximum": "<",
    "minLength": "length ≥",
    "maxLength": "length ≤",
    "pattern": "like",
}
