"""What the suite for every transport is played on: topics, transports, and how to wait for what they bring."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any

from ottla.transport.contract import (
    Membership,
    Message,
    OutputRecord,
    Polled,
    TopicPartition,
    TopicSpec,
    Transport,
)

DEADLINE_S = 45.0
# A cluster deletes records that are older than its retention, and refuses those from the future.
NOW_MS = int(time.time() * 1000) - 60_000


class Listener:
    """Notes what it is told."""

    def __init__(self, transport: Transport) -> None:
        self.transport = transport
        self.partitions: list[TopicPartition] = []
        self.memberships: list[Membership] = []
        self.losses = 0

    async def joined(self, partitions: Sequence[TopicPartition], membership: Membership) -> None:
        self.partitions = sorted(partitions)
        self.memberships.append(membership)

    async def lost(self) -> None:
        self.losses += 1


class Bench:
    """An app id, a topic, and transports that are stopped at the end."""

    def __init__(self, make: Callable[..., Transport], unique: Callable[[str], str]) -> None:
        self.app_id = unique("app")
        self.source = unique("source")
        self.sink = unique("sink")
        self._make = make
        self._running: list[Transport] = []

    async def start(self, worker_id: str = "w0", *, exactly_once: bool = True) -> Transport:
        transport = self._make(self.app_id, worker_id, exactly_once=exactly_once)
        await transport.start()
        self._running.append(transport)
        return transport

    async def reader(self, worker_id: str = "w0", **options: Any) -> tuple[Transport, Listener]:
        """A transport that is a member of the group and reads the partitions of the source from their starts on."""
        transport, listener = await self.member(worker_id, **options)
        counts = await transport.partition_counts([self.source])
        transport.start_reading({TopicPartition(self.source, number): 0 for number in range(counts[self.source])})
        return transport, listener

    async def member(self, worker_id: str = "w0", **options: Any) -> tuple[Transport, Listener]:
        transport = await self.start(worker_id, **options)
        listener = Listener(transport)
        await transport.subscribe([self.source], listener)
        await until(transport, lambda: bool(listener.memberships))
        return transport, listener

    async def topics(self, source_partitions: int = 1) -> Transport:
        """Makes the topics; returns a transport of another app to fill and read them with."""
        outside = self._make(self.app_id + "-outside", "outside")
        await outside.start()
        self._running.append(outside)
        await outside.create_topics([TopicSpec(self.source, source_partitions), TopicSpec(self.sink, 1)])
        return outside

    def record(self, number: int, topic: str = "", partition: int | None = 0) -> OutputRecord:
        return OutputRecord(topic or self.source, b"k%d" % number, b"%d" % number, NOW_MS + number, None, partition)

    async def fill(self, outside: Transport, numbers: Sequence[int], partition: int = 0) -> int:
        await outside.produce([self.record(number, partition=partition) for number in numbers])
        return (await outside.commit({}))[TopicPartition(self.source, partition)]

    async def stop(self) -> None:
        for transport in reversed(self._running):
            await transport.stop()


@asynccontextmanager
async def bench_of(make: Callable[..., Transport], unique: Callable[[str], str]) -> AsyncIterator[Bench]:
    bench = Bench(make, unique)
    try:
        yield bench
    finally:
        await bench.stop()


Scenario = Callable[[Bench], Coroutine[Any, Any, None]]


async def values(transport: Transport, count: int) -> list[int]:
    """The values of the next `count` messages."""
    found: list[int] = []
    async with asyncio.timeout(DEADLINE_S):
        while len(found) < count:
            found += ints(await transport.poll(100, 0.2))
    return found


def ints(polled: Polled) -> list[int]:
    return [int(message.value() or b"") for messages in polled.messages.values() for message in messages]


async def until(transport: Transport, happened: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not happened():
            await transport.poll(100, 0.1)


async def write(transport: Transport, *records: OutputRecord) -> None:
    await transport.produce(records)
    await transport.commit({})


async def read_all(transport: Transport, topic: str, partition: int = 0) -> list[Message]:
    where = TopicPartition(topic, partition)
    ranges = await transport.offset_ranges([where])
    return [message async for batch in transport.read(ranges) for message in batch[where]]
