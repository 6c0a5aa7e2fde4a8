"""Metrics and health over HTTP: three pages, for Prometheus and for whoever watches over processes.

    GET /metrics          what `metrics` has to tell
    GET /health/live      200 as long as the event loop answers
    GET /health/ready     200 when clients are served, else 503 and why not

A web framework and its server would cost a broker a sixth of its idle memory and half of its time to start, for three
pages without parameters; so this is the little of HTTP/1.1 that they need. Every connection carries one request.
"""

import asyncio
import contextlib
import json
import logging
import os
import socket
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import NamedTuple

from ottla_broker.errors import CannotStart
from ottla_broker.listeners import Address

logger = logging.getLogger(__name__)

MAX_REQUEST_BYTES = 8 * 1024
MAX_CONNECTIONS = 64
_TIMEOUT_S = 10.0

_TEXT = "text/plain; charset=utf-8"
_JSON = "application/json"


class Page(NamedTuple):
    """What is answered."""

    status: HTTPStatus
    content_type: str
    body: bytes


class AdminServer:
    """Answers on one address.

    `metrics` gets the Accept header and returns the body and its content type; `reasons` says why clients are not
    served, and nothing when they are.
    """

    def __init__(
        self, metrics: Callable[[str], Awaitable[tuple[bytes, str]]], reasons: Callable[[], list[str]]
    ) -> None:
        self._metrics = metrics
        self._reasons = reasons
        self._server: asyncio.Server | None = None
        self._open: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def start(self, address: Address) -> Address:
        """Listen; returns the address with the port that port 0 picked. Raises CannotStart."""
        try:
            self._server = await asyncio.start_server(
                self._serve, address.host, address.port, limit=MAX_REQUEST_BYTES, reuse_address=True
            )
        except OSError as error:
            reason = error.strerror if isinstance(error, socket.gaierror) else os.strerror(error.errno or 0)
            raise CannotStart(f"cannot listen on {address} for metrics and health: {reason}") from error
        return Address(address.host, self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Listen no more, and drop the connections that are open."""
        if self._server is not None:
            self._server.close()
        tasks = list(self._open)
        for writer in self._open.values():
            writer.transport.abort()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open[task] = writer
        try:
            # A client that is slow, or has gone, is let go of: there is nobody to tell.
            with contextlib.suppress(TimeoutError, ConnectionError, asyncio.IncompleteReadError):
                if len(self._open) <= MAX_CONNECTIONS:
                    async with asyncio.timeout(_TIMEOUT_S):
                        await self._exchange(reader, writer)
        finally:
            del self._open[task]
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with_body = True
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        except asyncio.LimitOverrunError:
            page = _error(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        else:
            line, *fields = head.rstrip().split("\r\n")
            with_body = not line.startswith("HEAD ")
            page = await self._answer(line, fields)
        status, content_type, body = page
        lines = [
            f"HTTP/1.1 {status.value} {status.phrase}",
            f"Content-Type: {content_type}",
            f"Content-Length: {len(body)}",
            "Cache-Control: no-store",
            "Connection: close",
        ]
        if status is HTTPStatus.METHOD_NOT_ALLOWED:
            lines.append("Allow: GET, HEAD")
        writer.write("\r\n".join((*lines, "", "")).encode() + (body if with_body else b""))
        await writer.drain()

    async def _answer(self, line: str, fields: list[str]) -> Page:
        words = line.split(" ")
        if len(words) != 3 or not words[2].startswith("HTTP/1."):
            return _error(HTTPStatus.BAD_REQUEST)
        method, target, _ = words
        path = target.partition("?")[0]
        if path not in ("/metrics", "/health/live", "/health/ready"):
            return _error(HTTPStatus.NOT_FOUND)
        if method not in ("GET", "HEAD"):
            return _error(HTTPStatus.METHOD_NOT_ALLOWED)
        try:
            return await self._page(path, fields)
        except Exception:
            logger.exception("%s could not be answered", path)
            return _error(HTTPStatus.INTERNAL_SERVER_ERROR)

    async def _page(self, path: str, fields: list[str]) -> Page:
        if path == "/metrics":
            body, content_type = await self._metrics(_field(fields, "accept"))
            return Page(HTTPStatus.OK, content_type, body)
        if path == "/health/live":
            return _health(HTTPStatus.OK, "live", [])
        reasons = self._reasons()
        if reasons:
            return _health(HTTPStatus.SERVICE_UNAVAILABLE, "not ready", reasons)
        return _health(HTTPStatus.OK, "ready", [])


def _field(fields: list[str], name: str) -> str:
    for field in fields:
        key, _, value = field.partition(":")
        if key.strip().lower() == name:
            return value.strip()
    return ""


def _health(status: HTTPStatus, state: str, reasons: list[str]) -> Page:
    said = {"status": state, "reasons": reasons} if reasons else {"status": state}
    return Page(status, _JSON, json.dumps(said).encode() + b"\n")


def _error(status: HTTPStatus) -> Page:
    return Page(status, _TEXT, f"{status.value} {status.phrase}\n".encode())
