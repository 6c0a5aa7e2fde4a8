"""`faust.contrib.asgi`: an app and a web framework in one process and on one event loop.

    api = FastAPI(lifespan=faust_lifespan(app))

What endpoints send joins the worker's commits; `ask` and tables are there as in a task of the app.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from ottla.faust.app import App


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
