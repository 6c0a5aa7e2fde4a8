"""`faust.contrib.asgi`: an app and a web framework in one process and on one event loop.

    api = FastAPI(lifespan=faust_lifespan(app))     the web server starts, and has the worker start
    serve_asgi(app, api, port=8000)                 the worker starts, and serves the application

What endpoints send joins the worker's commits; `ask` and tables are there as in a task of the app.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any

import uvicorn

from ottla.errors import ConfigError
from ottla.faust.app import App
from ottla.web.server import Listener, Unsignalled

_CLOSE_TIMEOUT_S = 3
_LOOK_AGAIN_S = 0.01


@asynccontextmanager
async def faust_app_running(app: App, *, stop_timeout: float | None = None) -> AsyncIterator[App]:
    """Runs a worker of the app on the running loop while the block lasts, unless one was started. `stop_timeout` bounds
    its last commit, in seconds: what is not committed by then is processed again. Raises `TimeoutError` then."""
    started = await app.maybe_start()
    try:
        yield app
    finally:
        if started:
            async with asyncio.timeout(stop_timeout):
                await app.stop()


def faust_lifespan(app: App, **options: Any) -> Callable[..., AbstractAsyncContextManager[None]]:
    """What `FastAPI(lifespan=)` and `Starlette(lifespan=)` take. `options` are those of `faust_app_running`."""

    @asynccontextmanager
    async def lifespan(*_: Any, **__: Any) -> AsyncIterator[None]:
        async with faust_app_running(app, **options):
            yield

    return lifespan


class AsgiService:
    """An ASGI application that a worker serves: made by `serve_asgi`. Its own lifespan is run, if it has one."""

    def __init__(self, app: App, asgi_app: Any, host: str | None, port: int | None, options: dict[str, Any]) -> None:
        self.faust_app = app
        self.asgi_app = asgi_app
        self.host = host
        self.port = port
        self._options = options
        self._server: uvicorn.Server | None = None
        self._serving: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listens. Raises `ConfigError` where it cannot, and where the application does not start."""
        conf = self.faust_app.conf
        listener = Listener(f"{self.host or conf.web_bind}:{conf.web_port if self.port is None else self.port}")
        self.port = listener.port
        options = {"log_config": None, "log_level": "warning", "timeout_graceful_shutdown": _CLOSE_TIMEOUT_S}
        self._server = Unsignalled(uvicorn.Config(self.asgi_app, **{**options, **self._options}))
        self._serving = asyncio.create_task(_serve(self._server, listener))
        while not (self._server.started or self._serving.done()):  # noqa: ASYNC110 - uvicorn tells nobody
            await asyncio.sleep(_LOOK_AGAIN_S)
        if not self._server.started:
            await self._serving
            raise ConfigError(f"the application {self.asgi_app!r} did not start: its log says why")

    async def stop(self) -> None:
        """Requests under way have a few seconds to end."""
        if self._server is not None and self._serving is not None:
            self._server.should_exit = True
            await self._serving


async def _serve(server: uvicorn.Server, listener: Listener) -> None:
    """Serves until it is told to end. An application that does not start would have uvicorn end the process."""
    with suppress(SystemExit):
        try:
            await server.serve(sockets=[listener.socket])
        finally:
            listener.close()


def serve_asgi(
    app: App, asgi_app: Any, *, host: str | None = None, port: int | None = None, **uvicorn_options: Any
) -> AsgiService:
    """Has the app's workers serve an ASGI application, on their event loop. What its endpoints send joins the worker's
    commits. Without a port it takes the place of the app's own pages, at `web_bind` and `web_port`, unless
    `web_enabled` is off."""
    if port is None:
        if not app.conf.web_enabled:
            return AsgiService(app, asgi_app, host, port, uvicorn_options)
        app.conf.web_enabled = False
    service = AsgiService(app, asgi_app, host, port, uvicorn_options)
    app.service(service)
    return service


class FaustLifespanMiddleware:
    """An ASGI application, such as Django's, and a worker that starts and stops with it. The application itself hears
    nothing of the start and the end."""

    def __init__(self, asgi_app: Any, faust_app: App, **options: Any) -> None:
        self.asgi_app = asgi_app
        self.faust_app = faust_app
        self._options = options

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan":
            await self.asgi_app(scope, receive, send)
            return
        phase = "startup"
        try:
            await receive()
            async with faust_app_running(self.faust_app, **self._options):
                await send({"type": "lifespan.startup.complete"})
                phase = "shutdown"
                await receive()
        except Exception as error:
            await send({"type": f"lifespan.{phase}.failed", "message": str(error)})
        else:
            await send({"type": "lifespan.shutdown.complete"})
