"""Restoring stores from their changelogs, from where each store is to where its changelog ends."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, Protocol, cast

from msgspec import Struct

from ottla.state.store import KeyValueStore
from ottla.transport.contract import OffsetRange, TopicPartition, Transport


class RestoreProgress(Protocol):
    """Who is told how far restoring is. Counts are changelog offsets, which compaction makes more than records."""

    def started(self, total: int) -> None: ...
    def advanced(self, count: int) -> None: ...
    def finished(self) -> None:
        """Restoring ended, or was given up."""


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

    A store whose offset is not in its changelog any more (records were deleted, the topic was made anew) is cleared and
    restored whole: what it missed cannot be known. Interrupted, every store is exact for the offset it has.
    """
    ranges = await transport.offset_ranges(stores)
    missing = {where: missing_range(store, ranges[where]) for where, store in stores.items()}
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
    finally:
        for where, store in stores.items():
            told(where, "ended", store.offset or 0, ends[where])
        if progress is not None:
            progress.finished()
    return restored


def missing_range(store: KeyValueStore, changelog: OffsetRange) -> OffsetRange:
    """What the store lacks of its changelog. A store whose offset is not in there any more is cleared."""
    offset = store.offset
    if offset is not None and not changelog.start <= offset <= changelog.end:
        store.clear()
        offset = None
    return OffsetRange(changelog.start if offset is None else offset, changelog.end)
