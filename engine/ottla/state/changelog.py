"""Restoring stores from their changelogs, from where each store is to where its changelog ends."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from contextlib import aclosing
from typing import Literal, Protocol, cast

from msgspec import Struct

from ottla.state.store import KeyValueStore
from ottla.transport.contract import OffsetRange, TopicPartition, Transport
from ottla.transport.errors import TransportError

log = logging.getLogger("ottla.worker")

_DELETE_RETENTION = "delete.retention.ms"
_DEFAULT_RETENTION_MS = 86_400_000


class RestoreProgress(Protocol):
    """Who is told how far restoring is. Counts are changelog offsets, which compaction makes more than records.

    What has advanced by less than the total when it is finished was given up.
    """

    def started(self, total: int) -> None: ...
    def advanced(self, count: int) -> None: ...
    def finished(self) -> None:
        """Restoring ended."""


Phase = Literal["begun", "advanced", "ended"]


class StateProgress(Struct, frozen=True):
    """How far a worker is with reading one part of a store's state from its changelog.

    It is restored for a task, which then begins, or kept up on a `standby`. `offset` is what the part is at, and `end`
    where its changelog ended when that began. It is told when reading has "begun", has "advanced" by a batch, and has
    "ended": where that was before the end, it was given up, and what was read stays.
    """

    store: str
    partition: int
    phase: Phase
    offset: int
    end: int
    standby: bool = False


Told = Callable[[TopicPartition, Phase, int, int], None]
"""Hears of a changelog partition how far reading it is: its phase, the offset it is at, and its end."""


async def restore(
    transport: Transport,
    stores: Mapping[TopicPartition, KeyValueStore],
    progress: RestoreProgress | None = None,
    told: Told = lambda *_: None,
) -> int:
    """Brings each store to the end of its changelog partition, all at once, and returns how many records that took.

    A store that is outdated is restored whole. Interrupted, every store is exact for the offset it has.
    """
    missing = await missing_ranges(transport, stores)
    ends = {where: lacking.end for where, lacking in missing.items()}
    restored = 0
    for where, lacking in missing.items():
        told(where, "begun", *lacking)
    if progress is not None:
        progress.started(sum(end - start for start, end in missing.values()))
    try:
        async for batches in transport.read(missing):
            for where, messages in batches.items():
                store, begin = stores[where], missing[where].start
                end = messages[-1].offset() + 1
                # A changelog record has a key: it is one of a store's.
                store.restore([(cast(bytes, each.key()), each.value()) for each in messages], end)
                restored += len(messages)
                missing[where] = OffsetRange(end, missing[where].end)
                told(where, "advanced", end, ends[where])
                if progress is not None:
                    progress.advanced(end - begin)
        for where, (begin, end) in missing.items():
            if begin < end:  # what is left are control records
                stores[where].restore([], end)
                if progress is not None:
                    progress.advanced(end - begin)
    finally:
        for where, store in stores.items():
            told(where, "ended", store.offset or 0, ends[where])
        if progress is not None:
            progress.finished()
    return restored


async def missing_ranges(
    transport: Transport, stores: Mapping[TopicPartition, KeyValueStore]
) -> dict[TopicPartition, OffsetRange]:
    """What each store lacks of its changelog partition. Those that are outdated are cleared, and lack all of it."""
    held = await transport.offset_ranges(stores)
    for where in await _outdated(transport, stores, held):
        log.info("what is here of %s[%d] is too old to be brought up to date, and is made anew", *where)
        stores[where].clear()
    return {
        where: OffsetRange(held[where].start if store.offset is None else store.offset, held[where].end)
        for where, store in stores.items()
    }


async def _outdated(
    transport: Transport, stores: Mapping[TopicPartition, KeyValueStore], held: Mapping[TopicPartition, OffsetRange]
) -> set[TopicPartition]:
    """The stores of which it cannot be learnt what they lack: records that they have not read were deleted, the topic
    was made anew, or a key that they hold may have been deleted so long ago that the deletion is gone, too.
    """
    behind = {
        where: OffsetRange(store.offset, held[where].end)
        for where, store in stores.items()
        if store.offset is not None and store.offset != held[where].end
    }
    outdated = {where for where, (start, end) in behind.items() if not held[where].start <= start < end}
    retention_ms = await _delete_retention_ms(transport, {where.topic for where in behind.keys() - outdated})
    old = {
        where: behind[where]
        for where in behind.keys() - outdated
        if (age_ms := stores[where].age_ms) is None or age_ms >= retention_ms[where.topic]
    }
    if old:
        # A store that is old because nothing was written lacks at most control records.
        async with aclosing(transport.read(old)) as reading:
            async for batches in reading:
                outdated |= batches.keys()
                if old.keys() <= outdated:
                    break
    return outdated


async def _delete_retention_ms(transport: Transport, topics: Collection[str]) -> dict[str, int]:
    """For how long each topic keeps a deletion after compaction has removed what was deleted (KIP-534)."""
    if not topics:
        return {}
    try:
        configs = await transport.configs(topics)
    except TransportError as error:
        # As of a cluster that lets nobody but operators read configs.
        log.info("Kafka's default of %s is assumed: %s", _DELETE_RETENTION, error)
        configs = {}
    return {topic: int(configs.get(topic, {}).get(_DELETE_RETENTION) or _DEFAULT_RETENTION_MS) for topic in topics}
