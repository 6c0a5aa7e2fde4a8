"""Pages that programs of other origins may read: `web_cors_options=` of an app, `cors_options=` of a page.

Options go by origin, `"*"` being any; those of a page come before the app's. What a browser asks before a request that
is more than a plain one is answered for the methods that the page has (https://fetch.spec.whatwg.org/#http-cors-protocol).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response


class ResourceOptions(NamedTuple):
    """What an origin may do. `"*"` for headers is any of them; `allow_methods` are those of the page if not given;
    `max_age` is in seconds."""

    allow_credentials: bool = False
    expose_headers: str | Collection[str] | None = ()
    allow_headers: str | Collection[str] | None = ()
    max_age: int | None = None
    allow_methods: str | Collection[str] | None = None


class Cors:
    """Decides for one page."""

    def __init__(self, options: Mapping[str, ResourceOptions], methods: Collection[str]) -> None:
        self._options = options
        self._methods = methods

    def __bool__(self) -> bool:
        return bool(self._options)

    def allow(self, request: Request, response: Response) -> None:
        """Tells the browser whether the origin of a request may read what is answered."""
        origin = request.headers.get("origin", "")
        if not origin or (options := self._of(origin)) is None:
            return
        self._admit(origin, options, response)
        if exposed := options.expose_headers:
            response.headers["access-control-expose-headers"] = ", ".join(
                response.headers if exposed == "*" else _listed(exposed)
            )

    def preflight(self, request: Request) -> Response:
        """What a browser is told that asks whether it may send a request. 403 if it may not."""
        origin = request.headers.get("origin", "")
        method = request.headers.get("access-control-request-method", "")
        options = self._of(origin) if origin else None
        if options is None or method not in self._allowed_methods(options):
            return Response(f"{origin or 'no origin'}: {method or 'no method'} is not allowed", 403)
        asked = [name.strip() for name in request.headers.get("access-control-request-headers", "").split(",")]
        wanted = {name.lower() for name in asked if name}
        known = {name.lower() for name in _listed(options.allow_headers or ())}
        if options.allow_headers != "*" and not wanted <= known:
            return Response(f"{origin}: the header {min(wanted - known)} is not allowed", 403)
        response = Response()
        self._admit(origin, options, response)
        response.headers["access-control-allow-methods"] = method
        if wanted:
            response.headers["access-control-allow-headers"] = ", ".join(sorted(wanted))
        if options.max_age is not None:
            response.headers["access-control-max-age"] = str(options.max_age)
        return response

    def _of(self, origin: str) -> ResourceOptions | None:
        return self._options.get(origin, self._options.get("*"))

    def _allowed_methods(self, options: ResourceOptions) -> Collection[str]:
        allowed = options.allow_methods
        return self._methods if allowed is None or allowed == "*" else _listed(allowed)

    def _admit(self, origin: str, options: ResourceOptions, response: Response) -> None:
        response.headers["access-control-allow-origin"] = origin
        response.headers.add_vary_header("Origin")
        if options.allow_credentials:
            response.headers["access-control-allow-credentials"] = "true"


def _listed(given: str | Collection[str]) -> Collection[str]:
    return (given,) if isinstance(given, str) else given
