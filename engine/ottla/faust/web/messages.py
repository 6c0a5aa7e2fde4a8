"""Requests and responses of pages: starlette's, with aiohttp's names for what an app of Faust's asks of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import orjson
from starlette.datastructures import FormData, QueryParams
from starlette.requests import Request as StarletteRequest
from starlette.responses import Response as StarletteResponse

from ottla.faust.models.record import Record


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

    @property
    def query_string(self) -> str:
        return self._request.url.query

    @property
    def path(self) -> str:
        return self._request.url.path

    async def read(self) -> bytes:
        return await self._request.body()

    async def text(self) -> str:
        return (await self._request.body()).decode()

    async def json(self) -> Any:
        return orjson.loads(await self._request.body())

    async def post(self) -> FormData:
        """The fields of a form."""
        return await self._request.form()


class Response(StarletteResponse):
    """A response. `status` is aiohttp's name for its status code."""

    @property
    def status(self) -> int:
        return self.status_code

    @property
    def content_type(self) -> str:
        return self.headers.get("content-type", "").partition(";")[0]


class MakesResponses:
    """What a handler makes its responses with: `return web.json({...})`."""

    def text(
        self,
        value: str,
        *,
        content_type: str | None = None,
        status: int = 200,
        reason: str | None = None,  # noqa: ARG002 - HTTP has no use for it
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        return Response(value, status, dict(headers or {}), media_type=content_type or "text/plain")

    def html(
        self,
        value: str,
        *,
        content_type: str | None = None,
        status: int = 200,
        reason: str | None = None,  # noqa: ARG002
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        return Response(value, status, dict(headers or {}), media_type=content_type or "text/html")

    def json(
        self,
        value: Any,
        *,
        content_type: str | None = None,
        status: int = 200,
        reason: str | None = None,  # noqa: ARG002
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """The value as JSON: models, too."""
        body = msgspec.json.encode(value, enc_hook=_plain)
        return Response(body, status, dict(headers or {}), media_type=content_type or "application/json")

    def bytes(
        self,
        value: bytes,
        *,
        content_type: str | None = None,
        status: int = 200,
        reason: str | None = None,  # noqa: ARG002
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        return Response(value, status, dict(headers or {}), media_type=content_type or "application/octet-stream")

    def notfound(self, reason: str = "Not Found", **details: Any) -> Response:
        return self.error(404, reason, **details)

    def error(self, status: int, reason: str, headers: Mapping[str, str] | None = None, **details: Any) -> Response:
        """An error, as JSON with its reason."""
        return self.json({"error": reason, **details}, status=status, headers=headers)


def _plain(value: Any) -> Any:
    if isinstance(value, Record):
        return value.to_representation()
    raise NotImplementedError(f"{type(value).__name__} cannot be written as JSON")
