"""An app that a program starts and stops itself, on its own event loop: `await app.start()`, `await app.stop()`.

`start` runs a worker, `start_client` only sends and asks. What the program's code sends from then on, wherever on that
loop, goes by what was started last.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from typing import Any

from ottla.app import App
from ottla.errors import TopologyError
from ottla.faust.settings import Settings
from ottla.outlet import serve_process
from ottla.topology.topology import Topology
from ottla.worker.hosted import hosted


class Runs:
    """The part of an app by which it is started."""

    conf: Settings
    _holding: tuple[asyncio.Task[None], asyncio.Event] | None = None

    @property
    def ottla(self) -> App:
        raise NotImplementedError

    @property
    def topology(self) -> Topology:
        raise NotImplementedError

    async def start(self) -> None:
        """Runs a worker on this event loop until `stop`. Returns when it has reached the broker. Signals are the
        program's. Raises what a worker's start does, and `TopologyError` if the app was started already."""
        await self._hold(self._as_worker)

    async def start_client(self) -> None:
        """Lets the program send and ask until `stop`, without a worker. Raises as `start`."""
        await self._hold(self._as_client)

    async def maybe_start(self) -> bool:
        """As `start`, unless the app was started. Returns whether it was not."""
        return await self._maybe(self.start)

    async def maybe_start_client(self) -> bool:
        """As `start_client`, unless the app was started. Returns whether it was not."""
        return await self._maybe(self.start_client)

    async def stop(self) -> None:
        """Ends what was started, a worker after its last commit. Raises what ended it before."""
        holding, self._holding = self._holding, None
        if holding is not None:
            task, told = holding
            told.set()
            await task

    async def _maybe(self, start: Callable[[], Any]) -> bool:
        if self._holding is not None:
            return False
        await start()
        return True

    @asynccontextmanager
    async def _as_worker(self) -> AsyncIterator[None]:
        app = self.ottla
        async with hosted(self.topology, replace(app.config, web=self.conf.web_listen), app):
            yield

    @asynccontextmanager
    async def _as_client(self) -> AsyncIterator[None]:
        async with self.ottla.client() as client:
            with serve_process(client):
                yield

    async def _hold(self, enter: Callable[[], AbstractAsyncContextManager[None]]) -> None:
        if self._holding is not None:
            raise TopologyError(f"app {self.conf.app_id!r} was started already: await app.stop() before")
        started: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        told = asyncio.Event()

        # In a task of its own: who stops the app need not be the task that started it.
        async def hold() -> None:
            async with enter():
                started.set_result(None)
                await told.wait()

        holding = asyncio.create_task(hold())
        await asyncio.wait([started, holding], return_when=asyncio.FIRST_COMPLETED)
        if not started.done():
            started.cancel()
            await holding
        self._holding = holding, told
