"""Around the whole application: headers that every answer has, and the answer to a surprise. It passes messages on as they come."""

from fastapi import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve.problems import failed

HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=()"),
)
POLICY = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")


class Shell:
    """Adds what every answer has, and the strictest policy to those that bring none of their own."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun = False

        async def passing(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                headers = list(message.get("headers", ()))
                more = HEADERS if any(name.lower() == POLICY[0] for name, _ in headers) else (*HEADERS, POLICY)
                message = {**message, "headers": [*headers, *more]}
            await send(message)

        try:
            await self.app(scope, receive, passing)
        except Exception as error:
            if begun:  # only a broken connection can say that the rest is missing
                raise
            await failed(Request(scope), error)(scope, receive, passing)
