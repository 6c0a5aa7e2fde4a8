"""Pages of Faust apps: what their handlers are given, `web` and `request`, and classes of handlers (`View`)."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import orjson
from starlette.datastructures import QueryParams
from starlette.exceptions import HTTPException
from starlette.requests import Request as StarletteRequest
from starlette.responses import HTMLResponse, PlainTextResponse, Response

from ottla.faust.models.record import Record

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


class Request:
    """A request, with aiohttp's names for what starlette's has."""

    def __init__(self, request: StarletteRequest) -> None:
        self._request = request

    def __getattr__(self, name: str) -> Any:
        return getattr(self._request, name)

    @property
    def match_info(self) -> Mapping[str, Any]:
        """What the path has in braces."""
        return self._request.path_params

    @property
    def query(self) -> QueryParams:
        return self._request.query_params

    async def read(self) -> bytes:
        return await self._request.body()

    async def text(self) -> str:
        return (await self._request.body()).decode()

    async def json(self) -> Any:
        return orjson.loads(await self._request.body())


class Web:
    """What a handler makes its responses with: `return web.json({...})`."""

    def json(self, value: Any, *, status: int = 200, headers: Mapping[str, str] | None = None, **_: Any) -> Response:
        body = msgspec.json.encode(value, enc_hook=_plain)
        return Response(body, status, dict(headers or {}), media_type="application/json")

    def text(self, value: str, *, status: int = 200, headers: Mapping[str, str] | None = None, **_: Any) -> Response:
        return PlainTextResponse(value, status, dict(headers or {}))

    def html(self, value: str, *, status: int = 200, headers: Mapping[str, str] | None = None, **_: Any) -> Response:
        return HTMLResponse(value, status, dict(headers or {}))

    def bytes(
        self,
        value: bytes,
        *,
        content_type: str = "application/octet-stream",
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        **_: Any,
    ) -> Response:
        return Response(value, status, dict(headers or {}), media_type=content_type)

    def notfound(self, reason: str = "Not Found", **_: Any) -> Response:
        return self._error(404, reason)

    def error(self, status: int, reason: str, **_: Any) -> Response:
        return self._error(status, reason)

    def _error(self, status: int, reason: str) -> Response:
        return self.json({"error": reason}, status=status)


class View(Web):
    """A class of handlers, `get`, `post` and so on, each of a request and of what the path has in braces."""

    def __init__(self, app: Any) -> None:
        self.app = app


def handler(app: Any, page: Any) -> tuple[Callable[..., Any], tuple[str, ...]]:
    """What answers a page of a Faust app, for Ottla, and the methods that it answers."""
    if isinstance(page, type):
        app.functions += filter(inspect.isfunction, vars(page).values())
        view = page(app)
        methods = tuple(method for method in METHODS if hasattr(view, method.lower()))

        async def answer(request: StarletteRequest, **found: Any) -> Any:
            given = Request(request)
            return await _told(app, given, view, getattr(view, request.method.lower()), given, **found)

        return answer, methods
    app.functions.append(page)
    web = View(app)

    @functools.wraps(page)
    async def call(request: StarletteRequest, **found: Any) -> Any:
        given = Request(request)
        return await _told(app, given, web, page, web, given, **found)

    return call, METHODS


async def _told(
    app: Any, request: Request, view: View, function: Callable[..., Any], *arguments: Any, **found: Any
) -> Any:
    """Calls the function of a page, and tells the app's sensors."""
    return await app.sensors.of_request(app, request, view, lambda: _call(function, *arguments, **found))


async def _call(function: Callable[..., Any], *arguments: Any, **found: Any) -> Any:
    try:
        result = function(*arguments, **found)
        return await result if inspect.isawaitable(result) else result
    except KeyError as error:
        raise HTTPException(404, f"{error} is not there") from error


def _plain(value: Any) -> Any:
    if isinstance(value, Record):
        return value.to_representation()
    raise NotImplementedError(f"{type(value).__name__} cannot be written as JSON")
