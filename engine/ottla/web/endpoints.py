"""What Ottla itself answers over HTTP, and how the app's own pages are called."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

import msgspec
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from ottla.app import App
from ottla.errors import ConfigError, NotInTask, TopologyError, Unavailable
from ottla.outlet import Outlet, outlet
from ottla.serdes.requests import Pending, deferring_requests, with_answers
from ottla.state.store import Part
from ottla.tables import Table
from ottla.task.processor import TaskContext, current
from ottla.topic import Topic
from ottla.web.index import index_page
from ottla.web.pages import Handler, Page, Routed
from ottla.web.queries import (
    MAX_LIMIT,
    PartUnavailable,
    Place,
    Queries,
    TableQuery,
    check_past,
    decode_bound,
    encode_bound,
    knowing_its_past,
    value_at,
)
from ottla.web.text import from_text, shown

_FORWARDED = "ottla-forwarded"
_PASSED_ON = ("accept", "content-type", "origin")
"""What another worker is told of a request's headers."""
_DEFAULT_LIMIT = 100
_MAX_DIGITS = 18


class Endpoints:
    """The HTTP interface of a worker. `queries` returns None until the worker has one to give; pages send to `out`."""

    def __init__(
        self, app: App, registry: CollectorRegistry, queries: Callable[[], Queries | None], out: Outlet
    ) -> None:
        self._app = app
        self._registry = registry
        self._queries = queries
        self._out = out

    def starlette(self) -> Starlette:
        routes = [
            Route("/", self._index),
            Route("/health/live", self._live),
            Route("/health/ready", self._ready),
            Route("/metrics", self._metrics),
            Route("/status", self._status),
            Route("/pause", self._pause, methods=["POST"]),
            Route("/resume", self._pause, methods=["POST"]),
            Route("/tables", self._tables),
            Route("/tables/{table}", self._range),
            Route("/tables/{table}/parts/{partition:int}/value", self._part_value),
            Route("/tables/{table}/parts/{partition:int}/range", self._part_range),
            Route("/tables/{table}/parts/{partition:int}/history", self._part_history),
            Route("/tables/{table}/history/{key:path}", self._history),
            Route("/tables/{table}/keys/{key:path}", self._value),
        ]
        own = [Route(page.path, self._page(page), methods=list(page.methods)) for page in self._app.pages]
        handlers = {
            ConfigError: _refusal(400),
            TopologyError: _refusal(404),
            PartUnavailable: _refusal(503),
            NotInTask: _refusal(500),
            Unavailable: _refusal(503),
        }
        return Starlette(routes=[*own, *routes], exception_handlers=handlers)

    # -- the worker

    async def _index(self, request: Request) -> Response:  # noqa: ARG002
        return HTMLResponse(index_page(self._app, self._at_work().insight))

    async def _live(self, request: Request) -> Response:  # noqa: ARG002
        return PlainTextResponse("ok\n")

    async def _ready(self, request: Request) -> Response:  # noqa: ARG002
        queries = self._queries()
        reason = "starting" if queries is None else queries.insight.not_ready
        if reason is None:
            return PlainTextResponse("ok\n")
        return PlainTextResponse(f"{reason}\n", 503)

    async def _metrics(self, request: Request) -> Response:  # noqa: ARG002
        return Response(generate_latest(self._registry), media_type=CONTENT_TYPE_LATEST)

    async def _status(self, request: Request) -> Response:  # noqa: ARG002
        insight = self._at_work().insight
        return _json(
            {
                "app": self._app.id,
                "worker": insight.worker_id,
                "not_ready": insight.not_ready,
                "tasks": insight.tasks(),
                "workers": insight.workers(),
                "tables": {table.name: insight.parts(table.spec.name) for table in self._app.declared_tables},
            }
        )

    async def _pause(self, request: Request) -> Response:
        change = self._app.pause if request.url.path == "/pause" else self._app.resume
        sending = outlet.set(self._out)
        try:
            await change(*request.query_params.getlist("step"))
        finally:
            outlet.reset(sending)
        return PlainTextResponse("ok\n", 202)

    # -- tables

    async def _tables(self, request: Request) -> Response:  # noqa: ARG002
        queries = self._at_work()
        return _json(
            {
                "tables": [
                    {
                        "name": table.name,
                        "key": table.key_codec.name,
                        "value": table.value_codec.name,
                        "parts": queries.insight.partitions(table.spec.name),
                    }
                    for table in self._app.declared_tables
                ]
            }
        )

    async def _value(self, request: Request) -> Response:
        queries, table = self._at_work(), self._table(request)
        key = _key(table, request.path_params["key"])
        value = await TableQuery(queries, table).get(
            key, as_of=_time(request, "as_of"), stale=_is_set(request, "stale")
        )
        if value is None:
            return _json({"error": f"table {table.name!r} has no such key"}, 404)
        return _json({"key": shown(key), "value": shown(value)})

    async def _range(self, request: Request) -> Response:
        queries, table, asked = self._at_work(), self._table(request), request.query_params
        bounds = {name: _key(table, asked[name]) if name in asked else None for name in ("start", "end", "prefix")}
        found = await TableQuery(queries, table).range(
            bounds["start"],
            bounds["end"],
            prefix=bounds["prefix"],
            limit=_limit(asked),
            cursor=asked.get("cursor"),
            reverse=_is_set(request, "reverse"),
            stale=_is_set(request, "stale"),
        )
        items = [{"key": shown(key), "value": shown(value)} for key, value in found.items]
        return _json({"items": items, "cursor": found.cursor})

    async def _part_value(self, request: Request) -> Response:
        table, part = self._part(request)
        key = table.key_codec.decode(_bound(request, "at") or b"")
        as_of = _time(request, "as_of")
        check_past(table, as_of)
        return _json({"value": await with_answers(lambda: value_at(table, part, key, as_of))})

    async def _history(self, request: Request) -> Response:
        queries, table = self._at_work(), self._table(request)
        key = _key(table, request.path_params["key"])
        times = _time(request, "from"), _time(request, "to")
        newest_first, stale = _is_set(request, "reverse"), _is_set(request, "stale")
        found = await TableQuery(queries, table).history(key, *times, newest_first=newest_first, stale=stale)
        versions = [msgspec.structs.replace(each, value=shown(each.value)) for each in found]
        return _json({"key": shown(key), "versions": versions})

    async def _part_history(self, request: Request) -> Response:
        table, part = self._part(request)
        key = table.key_codec.decode(_bound(request, "at") or b"")
        times = _time(request, "from"), _time(request, "to")
        versioned = knowing_its_past(table)
        return _json({"versions": await with_answers(lambda: versioned.history_in(part, key, *times))})

    async def _part_range(self, request: Request) -> Response:
        table, part = self._part(request)
        start, end = _bound(request, "from"), _bound(request, "to")
        queries, limit = self._at_work(), _limit(request.query_params)
        reverse = _is_set(request, "reverse")
        found = await with_answers(lambda: queries.local_range(table, part, start, end, limit, reverse=reverse))
        return _json({"items": [{"key": each.key, "value": each.value, "at": encode_bound(each.at)} for each in found]})

    def _part(self, request: Request) -> tuple[Table[Any, Any], Part]:
        table, partition = self._table(request), request.path_params["partition"]
        part = self._at_work().insight.committed(table.spec, partition, stale=_is_set(request, "stale"))
        if part is None:
            raise HTTPException(421, f"part {partition} of table {table.name!r} is not here\n")
        return table, part

    def _table(self, request: Request) -> Table[Any, Any]:
        return self._app.declared_table(request.path_params["table"])

    def _at_work(self) -> Queries:
        if (queries := self._queries()) is None:
            raise PartUnavailable("the worker is starting")
        return queries

    # -- pages of the app

    def _page(self, page: Page) -> Callable[[Request], Any]:
        handler = page.handler

        async def answer(request: Request) -> Response:
            sending = outlet.set(self._out)
            try:
                if isinstance(handler, Routed):
                    return await self._routed(handler, request)
                return _response(await _call(handler, request))
            finally:
                outlet.reset(sending)

        return answer

    async def _routed(self, routed: Routed, request: Request) -> Response:
        queries, by = self._at_work(), routed.by
        text = routed.key_text(request)
        if text is None:
            raise ConfigError(f"the request lacks {routed.match_info or routed.query_param}, a key of {by.name!r}")
        place = queries.place_of(by, _key(by, text))
        while (context := queries.insight.context(place.task)) is not None:
            try:
                return await self._reading(context, routed.handler, request)
            except Pending as pending:
                # What the values need is asked for by a thread. The page has only read: it can be called anew.
                await asyncio.to_thread(pending.fetch)
        return await self._forward(queries, place, request)

    async def _reading(self, context: TaskContext, handler: Handler, request: Request) -> Response:
        entered = current.set(context)
        try:
            with deferring_requests():
                response = _response(await _call(handler, request))
        finally:
            current.reset(entered)
        if any(store.dirty_count for store in context.stores.values()) or context.outputs:
            raise NotInTask(f"page {request.url.path} wrote to a table or topic: pages only read; send to an agent")
        return response

    async def _forward(self, queries: Queries, place: Place, request: Request) -> Response:
        if _FORWARDED in request.headers:
            raise HTTPException(421, f"{place.words} is not here\n")
        headers = {name: request.headers[name] for name in _PASSED_ON if name in request.headers}
        reply = await queries.forward(
            place,
            request.method,
            _path(request),
            list(request.query_params.multi_items()),
            stale=False,
            body=await request.body(),
            headers={**headers, _FORWARDED: "1"},
        )
        kept = {name: value for name, value in reply.headers.items() if name.startswith("access-control-")}
        return Response(reply.content, reply.status_code, kept, media_type=reply.headers.get("content-type"))


async def _call(handler: Callable[..., Any], request: Request) -> Any:
    result = handler(request, **request.path_params)
    return await result if inspect.isawaitable(result) else result


def _response(result: Any) -> Response:
    match result:
        case Response():
            return result
        case None:
            return Response(status_code=204)
        case str():
            return HTMLResponse(result)
        case _:
            return _json(result)


def _json(value: Any, status: int = 200) -> Response:
    try:
        return Response(msgspec.json.encode(value), status, media_type="application/json")
    except TypeError as error:
        return JSONResponse({"error": f"the answer cannot be shown as JSON: {error}"}, 500)


def _refusal(status: int) -> Callable[[Request, Exception], Response]:
    return lambda _, error: JSONResponse({"error": str(error)}, status)


def _key(of: Table[Any, Any] | Topic[Any, Any], text: str) -> Any:
    what = "topic" if isinstance(of, Topic) else "table"
    return from_text(of.key_codec, text, f"a key of {what} {of.name!r}")


def _path(request: Request) -> str:
    """The path such that whoever decodes it has what this request has: `request.url.path` is decoded already."""
    # Dots that stand alone would be taken for the directory here or above.
    segments = request.scope["path"].split("/")
    return "/".join(each.replace(".", "%2E") if each in (".", "..") else quote(each, safe="") for each in segments)


def _is_set(request: Request, option: str) -> bool:
    return request.query_params.get(option, "").lower() in ("1", "true", "yes")


def _time(request: Request, name: str) -> int | None:
    text = request.query_params.get(name)
    if text is not None and not (text.isdecimal() and len(text) <= _MAX_DIGITS):
        raise ConfigError(f"{name}={text!r} must be a time in milliseconds since the epoch")
    return None if text is None else int(text)


def _limit(parameters: Mapping[str, str]) -> int:
    text = parameters.get("limit", str(_DEFAULT_LIMIT))
    if not text.isdecimal() or len(text) > _MAX_DIGITS or not 1 <= int(text) <= MAX_LIMIT:
        raise ConfigError(f"limit={text!r} must be from 1 to {MAX_LIMIT}")
    return int(text)


def _bound(request: Request, name: str) -> bytes | None:
    text = request.query_params.get(name)
    return None if text is None else decode_bound(text)
