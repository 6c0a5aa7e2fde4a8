"""Deleting what was processed of the app's own repartition topics, as Kafka Streams does.

They are kept without a limit of time, since events that wait for a worker may wait long. What is committed is needed by
nobody, and would fill the broker's disk.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

from ottla.topology.topology import Topology
from ottla.transport.contract import TopicPartition, Transport
from ottla.transport.errors import TransportError

log = logging.getLogger("ottla.worker")

PURGE_INTERVAL_S = 30.0


class Purge:
    """Asks the broker from time to time, and waits for no answer. It may refuse: then the topics grow, and the log
    says so.
    """

    def __init__(self, topology: Topology, transport: Transport) -> None:
        self._topics = {spec.name for spec in topology.repartitions}
        self._transport = transport
        self._purged: dict[TopicPartition, int] = {}
        self._next_s = 0.0
        self._asking: asyncio.Task[None] | None = None

    def purge(self, committed: Mapping[TopicPartition, int], now_s: float) -> None:
        """Deletes what lies before the offsets that this worker committed, if it is time. `now_s` never goes back."""
        if now_s < self._next_s:
            return
        if self._asking is not None:
            if not self._asking.done():
                return
            self._asking.result()
        self._next_s = now_s + PURGE_INTERVAL_S
        before = {
            where: offset
            for where, offset in committed.items()
            if where.topic in self._topics and offset > self._purged.get(where, 0)
        }
        if before:
            self._asking = asyncio.create_task(self._delete(before))

    async def stop(self) -> None:
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)

    async def _delete(self, before: Mapping[TopicPartition, int]) -> None:
        try:
            await self._transport.delete_records(before)
        except TransportError as error:
            log.warning("what was processed of the app's repartition topics could not be deleted: %s", error)
        else:
            self._purged |= before
