"""A client that is opened when something is sent: commands of an app that send nothing need no broker."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextvars import Token
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from ottla.agents.client import Client
from ottla.agents.replies import Replies
from ottla.outlet import Outlet, outlet
from ottla.transport.contract import OutputRecord

if TYPE_CHECKING:
    from ottla.faust.app import App


class ClientOnDemand:
    """An `Outlet` for the code in its `async with` block. What it does raises what a `Client` does."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._opening: asyncio.Future[Client] | None = None
        self._done = asyncio.Event()
        self._holding: asyncio.Task[None] | None = None
        self._token: Token[Outlet]

    async def __aenter__(self) -> Self:
        self._token = outlet.set(self)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        outlet.reset(self._token)
        self._done.set()
        if self._holding is not None:
            await asyncio.gather(self._holding, return_exceptions=error is not None)

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def check(self, records: Iterable[OutputRecord]) -> None:
        """Nothing: they are checked as they are sent."""

    async def partition_counts(self, topics: Collection[str]) -> Mapping[str, int]:
        return await (await self._client()).partition_counts(topics)

    async def send(self, records: Sequence[OutputRecord]) -> None:
        await (await self._client()).send(records)

    async def request(self, records: Sequence[OutputRecord]) -> None:
        await (await self._client()).request(records)

    async def replies(self) -> Replies:
        return await (await self._client()).replies()

    async def _client(self) -> Client:
        if self._opening is None:
            self._opening = asyncio.get_running_loop().create_future()
            # In a task of its own: who sends first need not be who ends the block.
            self._holding = asyncio.create_task(self._hold(self._opening))
        return await asyncio.shield(self._opening)

    async def _hold(self, opening: asyncio.Future[Any]) -> None:
        try:
            async with self._app.ottla.client() as client:
                opening.set_result(client)
                await self._done.wait()
        except Exception as error:
            if opening.done():
                raise
            opening.set_exception(error)
