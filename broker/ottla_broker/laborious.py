"""Produced batches that take long to check or to convert, because their records have to be read and are many.

A megabyte can hold a million small records, which is seconds of work. A thread does it, while the event loop serves
everybody else; and whatever comes for the same partition meanwhile waits, so that batches are appended in the order in
which they came, as idempotent producers rely on.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from ottla_broker.log.partition import Appended, PartitionLog
from ottla_broker.log.validation import takes_long, vet

if TYPE_CHECKING:
    from ottla_broker.broker import Broker


class _Queue:
    """The batches for one partition, of which the first is being worked on."""

    __slots__ = ("length", "turn")

    def __init__(self) -> None:
        self.length = 0
        self.turn = asyncio.Lock()


class LaboriousProduces:
    """Those that are under way on one broker, by partition."""

    def __init__(self) -> None:
        self._queues: dict[PartitionLog, _Queue] = {}
        # The interpreter works on one at a time in any case, and other work wants its threads.
        self._working = asyncio.Lock()

    def concerns(self, log: PartitionLog, records: memoryview) -> bool:
        """Whether a batch is to be appended by `append`: it takes long itself, or has to wait for one that does."""
        return log.config.reads_records and (takes_long(records, log.config) or log in self._queues)

    async def append(self, broker: "Broker", log: PartitionLog, records: memoryview) -> Appended:
        """Append a client's batch, after those that came before. Raises KafkaError as `Broker.append`."""
        async with self._turn(log):
            config = log.config
            if not takes_long(records, config):
                return broker.append(log, records)
            async with self._working:
                vetted = await asyncio.to_thread(vet, records, config, broker.clock())
            # If somebody has altered the topic since, the log judges for itself.
            return broker.append(log, vetted, vetted_for=config)

    @asynccontextmanager
    async def _turn(self, log: PartitionLog) -> AsyncIterator[None]:
        queue = self._queues.setdefault(log, _Queue())
        queue.length += 1
        try:
            async with queue.turn:
                yield
        finally:
            queue.length -= 1
            if not queue.length:
                del self._queues[log]
