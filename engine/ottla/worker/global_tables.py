"""The global tables of a worker: read from all partitions of their topics before anything is processed, and kept up to
date while the worker runs.

Every worker holds all of them whole, so that no event has to go where its key is. They belong to no task and to no
transaction: as in Kafka Streams an event meets them as they are when its turn comes, and what a topic brings meanwhile
comes without regard to its time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from ottla.state.changelog import RestoreProgress, restore
from ottla.state.global_store import GlobalStore, open_global
from ottla.state.store import Stores, StoreSpec
from ottla.transport.contract import TopicPartition, Transport

_STOP_CHECK_S = 0.05
_POLL_S = 0.25


class GlobalTables:
    """Opens, loads and follows the global tables that `specs` name; `changelog` is the topic each is read from."""

    def __init__(self, specs: Sequence[StoreSpec], stores: Stores) -> None:
        self._specs = specs
        self._stores = stores
        self._tables: dict[str, GlobalStore] = {}
        self._parts: dict[TopicPartition, GlobalStore] = {}
        self._at_work: asyncio.Task[None] | None = None

    @property
    def tables(self) -> Mapping[str, GlobalStore]:
        """The tables by name. It is one mapping for the worker's life, filled by `start`."""
        return self._tables

    async def start(self, transport: Transport, progress: RestoreProgress | None, stopping: Callable[[], bool]) -> None:
        """Brings all tables to where their topics end now, and keeps them up to date from then on.

        Returns early, with nothing followed, when `stopping` says that the worker is to end. Raises `TransportError`.
        """
        if not self._specs:
            return
        loading = self._at_work = asyncio.create_task(self._load(transport, progress))
        while not loading.done():
            if stopping():
                return
            await asyncio.wait([loading], timeout=_STOP_CHECK_S)
        loading.result()
        self._at_work = asyncio.create_task(self._follow(transport))

    def check(self) -> None:
        """Raises what ended the following, if it ended: a table that stands still unseen would give wrong results."""
        if self._at_work is not None and self._at_work.done():
            self._at_work.result()

    async def close(self) -> None:
        """Stops what is under way, and closes the stores."""
        at_work, self._at_work = self._at_work, None
        if at_work is not None:
            at_work.cancel()
            await asyncio.gather(at_work, return_exceptions=True)
        for table in self._tables.values():
            table.close()
        self._tables.clear()

    async def _load(self, transport: Transport, progress: RestoreProgress | None) -> None:
        for spec in self._specs:
            self._tables[spec.name] = open_global(spec, self._stores.open("global", spec.name))
        counts = await transport.partition_counts({spec.changelog for spec in self._specs})
        for table in self._tables.values():
            table.partitions = counts[table.spec.changelog]
            partitions = [TopicPartition(table.spec.changelog, number) for number in range(table.partitions)]
            parts = {where: table.partition(where.partition) for where in partitions}
            await restore(transport, parts, progress)
            self._parts |= dict.fromkeys(partitions, table)

    async def _follow(self, transport: Transport) -> None:
        positions = {where: table.partition(where.partition).offset or 0 for where, table in self._parts.items()}
        follower = transport.follower()
        try:
            follower.add(positions)
            while True:
                for where, messages in (await follower.poll(_POLL_S)).messages.items():
                    self._parts[where].apply(where.partition, messages)
        finally:
            await follower.close()
