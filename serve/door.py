"""What the HTTP side is given to work with, and who may come in.

With keys, `Authorization: Bearer KEY` says who asks. Without keys the service answers this machine alone: the connection must come from
loopback, not through a proxy that came from elsewhere, and from no other site's page in a local browser.
"""

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from fastapi import Request

from serve.files import FileStore
from serve.jobs import JobTable
from serve.keys import Key, KeyRing
from serve.problems import Refusal
from serve.settings import ServiceSettings
from synclora.edit.library import AdapterLibrary
from synclora.errors import Reason

REMEDY = "give the service keys (keys=FILE, `python -m serve.keys add NAME`)"
FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip")


def _nobody() -> None:
    pass


@dataclass(frozen=True)
class Door:
    """Everything that `create_api` needs.

    Attributes:
        ring: the keys; None when the service has none.
        wake: tells the dispatcher that there is work; best effort, may be called from any thread.
    """

    settings: ServiceSettings
    table: JobTable
    files: FileStore
    library: AdapterLibrary
    ring: KeyRing | None = None
    wake: Callable[[], None] = _nobody


@dataclass(frozen=True)
class Caller:
    """Who asks.

    Attributes:
        name: owner of what they make; "" on a service without keys.
        key: its limits; None without keys.
    """

    name: str
    key: Key | None = None

    @property
    def limits(self) -> dict[str, Any]:
        """As `JobTable.check` and `accept` take them."""
        return {"max_owner": self.key.max_queued, "per_minute": self.key.per_minute} if self.key else {}


def caller_of(request: Request, ring: KeyRing | None) -> Caller:
    """Who sent this request.

    Raises:
        Refusal: 401, nobody that we know.
    """
    if ring is None:
        only_local(request)
        return Caller("")
    key = ring.owner(request.headers.get("authorization"))
    if key is None:
        given = "no key" if "authorization" not in request.headers else "an unknown key"
        raise Refusal(Reason.UNAUTHORIZED, f"{given}; send the header `Authorization: Bearer KEY`")
    return Caller(key.name, key)


def only_local(request: Request) -> None:
    """Let in what comes from this machine, on behalf of this machine.

    A browser here may show anybody's page, which may send forms anywhere: its `Origin` and `Host` must be this machine's, too.

    Raises:
        Refusal: 401 with the remedy.
    """
    sent_by = request.client.host if request.client else "unknown"
    if not _loopback(sent_by):
        raise Refusal(Reason.UNAUTHORIZED, f"{sent_by} is not this machine and the service has no keys; {REMEDY}")
    for name in FORWARDED:
        if name in request.headers:
            raise Refusal(Reason.UNAUTHORIZED, f"this came through a proxy ({name}) and the service has no keys; {REMEDY}")
    for name, value in (("host", request.headers.get("host")), ("origin", request.headers.get("origin"))):
        if value is not None and not _names_loopback(value if name == "origin" else f"//{value}"):
            raise Refusal(Reason.UNAUTHORIZED, f"{name} {value[:80]!r} is not this machine and the service has no keys; {REMEDY}")
    if request.headers.get("sec-fetch-site") == "cross-site":
        raise Refusal(Reason.UNAUTHORIZED, f"another site's page sent this and the service has no keys; {REMEDY}")


def _names_loopback(address: str) -> bool:
    try:
        host = urlsplit(address).hostname
    except ValueError:
        return False
    return host is not None and (host == "localhost" or _loopback(host))


def _loopback(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback
