"""`app.client()`: sends to an app's topics and asks its agents from a program that is no worker.

    async with app.client():
        await orders.send(key="ann", value=Order(...))
        price = await quote.ask("EUR")

It has a producer of its own, outside of transactions: what is sent is written, with all acknowledgements, when `send`
returns.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

from ottla.agents.replies import Replies
from ottla.config import AppConfig
from ottla.outlet import outlet
from ottla.task.processor import check_size
from ottla.transport.contract import OutputRecord, Transport
from ottla.transport.errors import TransportError
from ottla.transport.kafka import KafkaTransport
from ottla.transport.kafka_settings import KafkaSettings
from ottla.worker.embedded import serving

_MADE_WITHIN_S = 5.0
_LOOK_AGAIN_S = 0.25


class Client:
    """An `Outlet` for the code in its `async with` block, and the tasks begun there. Raises `TransportError` when no
    broker answers."""

    def __init__(self, config: AppConfig, transport: Transport | None = None) -> None:
        self._config = config
        self._transport = transport
        self._open = AsyncExitStack()
        self._replies: Replies | None = None
        self._known: set[str] = set()
        self._waiting: list[tuple[Sequence[OutputRecord], asyncio.Future[None]]] = []
        self._writing: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as opening:
            if self._transport is None:
                bootstrap = opening.enter_context(serving(self._config.broker))
                self._transport = KafkaTransport(
                    KafkaSettings(
                        bootstrap,
                        self._config.app_id,
                        f"client-{uuid.uuid4().hex[:12]}",
                        exactly_once=False,
                        options=self._config.broker_options,
                    )
                )
            opening.push_async_callback(self._transport.stop)
            await self._transport.start()
            self._replies = Replies(self._transport, self._config.app_id)
            opening.push_async_callback(self._replies.close)
            opening.callback(outlet.reset, outlet.set(self))
            self._open = opening.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writing is not None:
            await asyncio.gather(self._writing, return_exceptions=True)
        await self._open.aclose()

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def check(self, records: Iterable[OutputRecord]) -> None:
        for record in records:
            check_size(record, self._config.max_record_bytes)

    async def partition_counts(self, topics: Collection[str]) -> Mapping[str, int]:
        assert self._transport is not None, "the client is open"
        return await self._transport.partition_counts(topics)

    async def send(self, records: Sequence[OutputRecord]) -> None:
        """Returns when the records are written. What is sent at the same time is written together."""
        self.check(records)
        await self._check_topics({record.topic for record in records})
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((records, written))
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write())
        await asyncio.shield(written)

    async def request(self, records: Sequence[OutputRecord]) -> None:
        await self.send(records)

    async def replies(self) -> Replies:
        assert self._replies is not None, "the client is open"
        return self._replies

    async def _check_topics(self, topics: set[str]) -> None:
        """Waits a few seconds for topics that do not exist, as when a worker is just making them.

        Raises `TransportError` then; a producer would have waited half a minute.
        """
        assert self._transport is not None, "the client is open"
        deadline = time.monotonic() + _MADE_WITHIN_S
        while unknown := topics - self._known:
            self._known |= (await self._transport.partition_counts(unknown)).keys()
            if (missing := unknown - self._known) and time.monotonic() >= deadline:
                raise TransportError(
                    f"topic {min(missing)!r} does not exist: create it, or start a worker of {self._config.app_id!r}, "
                    "which makes its own topics and those that it declares with partitions="
                )
            if missing:
                await asyncio.sleep(_LOOK_AGAIN_S)

    async def _write(self) -> None:
        assert self._transport is not None, "the client is open"
        while self._waiting:
            bundles, self._waiting = self._waiting, []
            failure: Exception | None = None
            try:
                for records, _ in bundles:
                    await self._transport.produce(records)
                await self._transport.commit({})
            except Exception as error:
                failure = error
            # Before anything else is done: whoever sent waits for nothing but this.
            for _, written in bundles:
                if written.done():
                    continue
                if failure is None:
                    written.set_result(None)
                else:
                    written.set_exception(failure)
            if failure is not None:
                await self._transport.abort()
