"""HTTP basic authentication (RFC 7617) before all that a worker serves, but for its health."""

from __future__ import annotations

import base64
import hmac

from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

_FREE = ("/health/live", "/health/ready")
_CHALLENGE = {"WWW-Authenticate": 'Basic realm="ottla", charset="UTF-8"'}


def authorization(credentials: str) -> str:
    """The header by which a client says who it is."""
    return "Basic " + base64.b64encode(credentials.encode()).decode()


class BasicAuth:
    """Lets requests through to `app` that have these credentials. Supervisors ask for the health without any."""

    def __init__(self, app: ASGIApp, credentials: str) -> None:
        self._app = app
        self._expected = authorization(credentials).encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] not in _FREE:
            given = Request(scope).headers.get("authorization", "")
            if not hmac.compare_digest(given.encode("latin-1", "replace"), self._expected):
                await PlainTextResponse("a user and password are asked for\n", 401, _CHALLENGE)(scope, receive, send)
                return
        await self._app(scope, receive, send)
