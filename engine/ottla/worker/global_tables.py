"""The global tables of a worker: read from all partitions of their topics before anything is processed, and kept up to
date while the worker runs.

Every worker holds all of them whole, so that no event has to go where its key is. They belong to no task and to no
transaction: as in Kafka Streams an event meets them as they are when its turn comes, and what a topic brings meanwhile
comes without regard to its time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ottla.deadletters import ErrorPolicy, Failure, FailureKind
from ottla.errors import ProcessingFailed
from ottla.escapes import contained
from ottla.event import Event
from ottla.state.changelog import RestoreProgress, restore
from ottla.state.derived_store import Failed, open_global
from ottla.state.global_store import GlobalStore
from ottla.state.store import Stores, StoreSpec
from ottla.transport.contract import TopicPartition, Transport

log = logging.getLogger("ottla.worker")

_STOP_CHECK_S = 0.05
_POLL_S = 0.25


class GlobalTables:
    """Opens, loads and follows the global tables that `specs` name; `changelog` is the topic each is read from."""

    def __init__(self, specs: Sequence[StoreSpec], stores: Stores, policy: ErrorPolicy) -> None:
        self._specs = specs
        self._stores = stores
        self._failed = failed_by(policy)
        self._tables: dict[str, GlobalStore] = {}
        self._parts: dict[TopicPartition, list[GlobalStore]] = {}
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
        with contained("global tables"):
            await self._read(transport, progress)

    async def _read(self, transport: Transport, progress: RestoreProgress | None) -> None:
        for spec in self._specs:
            self._tables[spec.name] = open_global(spec, self._stores.open("global", spec.name), self._failed)
        counts = await transport.partition_counts({spec.changelog for spec in self._specs})
        for table in self._tables.values():
            table.partitions = counts[table.spec.changelog]
            partitions = [TopicPartition(table.spec.changelog, number) for number in range(table.partitions)]
            parts = {where: table.partition(where.partition) for where in partitions}
            await restore(transport, parts, progress)
            for where in partitions:
                self._parts.setdefault(where, []).append(table)

    async def _follow(self, transport: Transport) -> None:
        positions = {
            where: min(table.partition(where.partition).offset or 0 for table in tables)
            for where, tables in self._parts.items()
        }
        follower = transport.follower()
        try:
            follower.add(positions)
            while True:
                for where, messages in (await follower.poll(_POLL_S)).messages.items():
                    for table in self._parts[where]:
                        # Of two tables of one topic, one may have read further when it was loaded.
                        read = table.partition(where.partition).offset or 0
                        if fresh := [message for message in messages if message.offset() >= read]:
                            with contained(f"global table {table.spec.name!r}"):
                                table.apply(where.partition, fresh)
        finally:
            await follower.close()


def failed_by(policy: ErrorPolicy) -> Failed:
    """What becomes of a record that a global table cannot take: the worker stops if the app says so, and if not it is
    left out, and logged. It has no dead letter, since every worker meets it."""

    def failed(
        kind: FailureKind, spec: StoreSpec, error: Exception, raw_key: bytes | None, raw_value: bytes | None
    ) -> None:
        what = f"global table {spec.name!r} failed on a record of {spec.changelog!r} with key {raw_key!r}: {error!r}"
        event: Event[Any] = Event(None, None, -1, [], spec.changelog, -1, -1)
        if policy.decide(kind, lambda: Failure(kind, spec.name, error, event, raw_key, raw_value)) == "fail":
            raise ProcessingFailed(what) from error
        log.warning("%s; it is left out", what)

    return failed
