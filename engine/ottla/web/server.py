"""The HTTP server of a worker, on the worker's event loop.

/                             the app: topology, workers, tasks, tables
/health/live  /health/ready   for supervisors and load balancers
/metrics                      for Prometheus
/status                       tasks with their lag, workers with their addresses, who has which part of which table
/pause  /resume               the app, on all its workers, or a part of it: ?step=NAME
/tables  /tables/NAME  ...    queries (`endpoints.py`)
what the app declares with @app.page
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

import uvicorn
from starlette.types import ASGIApp

from ottla.app import App
from ottla.errors import ConfigError
from ottla.web.auth import BasicAuth
from ottla.web.endpoints import Endpoints
from ottla.web.queries import Queries
from ottla.worker.worker import Worker

_CLOSE_TIMEOUT_S = 3


class Listener:
    """A socket that listens, before anything is served on it: so the worker's address is known when it reports.

    `listen` is `HOST:PORT`, or a port alone, for this machine only; port 0 is any that is free. Raises `ConfigError`
    for what cannot be listened on.
    """

    def __init__(self, listen: str) -> None:
        host, _, port = listen.rpartition(":")
        host = host or "127.0.0.1"
        if not port.isdecimal() or int(port) > 65535:
            raise ConfigError(
                f"web={listen!r} must be HOST:PORT, such as 0.0.0.0:6066, or a port of this machine alone"
            )
        host = host.strip("[]")
        try:
            self.socket = socket.create_server(
                (host, int(port)), family=socket.AF_INET6 if ":" in host else socket.AF_INET
            )
        except OSError as error:
            raise ConfigError(f"web={listen!r} cannot be listened on: {error.strerror or error}") from error
        name = socket.gethostname() if host in ("0.0.0.0", "::") else host
        self.address = f"[{name}]:{self.port}" if ":" in name else f"{name}:{self.port}"
        """What others reach it by."""

    @property
    def port(self) -> int:
        return int(self.socket.getsockname()[1])

    def close(self) -> None:
        self.socket.close()


class Unsignalled(uvicorn.Server):
    """A server within a program that ends by itself."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leaves the signals to the worker."""
        yield


class WebServer:
    """Serves an app and its worker: `async with WebServer(...)`."""

    def __init__(self, app: App, worker: Worker, listener: Listener) -> None:
        self._app = app
        self._worker = worker
        self._queries: Queries | None = None
        self._credentials = app.config.web_auth
        endpoints: ASGIApp = Endpoints(app, worker.metrics.registry, self.queries, worker.outlet).starlette()
        # Uvicorn's loggers are those of the process: where it serves another application, too, they stay as they are.
        shared = logging.getLogger("uvicorn.error").level != logging.NOTSET
        config = uvicorn.Config(
            endpoints if self._credentials is None else BasicAuth(endpoints, self._credentials),
            lifespan="off",
            log_config=None,
            log_level=None if shared else "warning",
            access_log=shared,
            server_header=False,
            http="h11",
            ws="none",
            timeout_graceful_shutdown=_CLOSE_TIMEOUT_S,
        )
        self._server = Unsignalled(config)
        self._listener = listener
        self._serving: asyncio.Task[None] | None = None

    def queries(self) -> Queries | None:
        """Reads of tables, as soon as the worker knows what there is to read."""
        if self._queries is None and self._worker.insight is not None:
            codecs = {topic.name: topic.key_codec for topic in self._app.declared_topics}
            self._queries = Queries(self._worker.insight, codecs, self._credentials)
        return self._queries

    async def __aenter__(self) -> Self:
        self._app.queries = self.queries
        # Uvicorn closes what it was given when it ends; the listener is there for the worker that begins in its place.
        self._serving = asyncio.create_task(self._server.serve(sockets=[self._listener.socket.dup()]))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Requests under way have a few seconds to end."""
        self._server.should_exit = True
        if self._serving is not None:
            await self._serving
        if self._queries is not None:
            await self._queries.close()
        self._app.queries = lambda: None
