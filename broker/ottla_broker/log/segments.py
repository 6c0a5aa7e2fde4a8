"""The segments of one log, in order, and what is found across them."""

import itertools
from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ottla_broker.log.header import BatchHeader
from ottla_broker.log.scan import read_batch
from ottla_broker.log.segment import Segment
from ottla_broker.log.transactions import AbortedTransaction
from ottla_wire.errors import InvalidRecord


class Place(NamedTuple):
    """A stretch of whole batches: the number of its segment, and the positions where it begins and ends."""

    number: int
    start: int
    end: int


class TimestampedOffset(NamedTuple):
    """A record found by its time. `leader_epoch` is -1 where it is not known."""

    timestamp: int
    offset: int
    leader_epoch: int


class Segments:
    """A sequence of segments that is never empty; `active` is the last one."""

    __slots__ = ("_bases", "_segments", "active")

    def __init__(self, segments: list[Segment]) -> None:
        self._segments = segments
        self._bases = [segment.base_offset for segment in segments]
        self.active = segments[-1]

    def __len__(self) -> int:
        return len(self._segments)

    def __iter__(self) -> Iterator[Segment]:
        return iter(self._segments)

    def __getitem__(self, number: int) -> Segment:
        return self._segments[number]

    def copy(self) -> list[Segment]:
        """The segments as they are now, for another thread."""
        return self._segments.copy()

    @property
    def size_bytes(self) -> int:
        return sum(segment.size for segment in self._segments)

    def end_offset(self, number: int) -> int:
        """Where a segment ends: where the next one begins."""
        return self._bases[number + 1] if number + 1 < len(self._bases) else self.active.next_offset

    def number_at(self, offset: int) -> int:
        """The number of the segment that `offset` belongs to; the first one's for what lies before it."""
        if offset >= self.active.base_offset:
            return len(self._segments) - 1
        return max(bisect_right(self._bases, offset) - 1, 0)

    def append(self, segment: Segment) -> None:
        """Make `segment` the active one. An active one without records goes: its place in the order is gone."""
        if self.active.size == 0:
            self._segments.pop().remove()
            self._bases.pop()
        for older in self._segments[:-1]:
            if older.indexes_stored:
                older.release_indexes()
        self._segments.append(segment)
        self._bases.append(segment.base_offset)
        self.active = segment

    def drop(self, first: int, end: int) -> tuple[list[int], list[Path]]:
        """Take the segments [first, end) out and rename their files; their base offsets, and the new paths."""
        dropped, bases = self._segments[first:end], self._bases[first:end]
        del self._segments[first:end]
        del self._bases[first:end]
        if self._segments:
            self.active = self._segments[-1]
        return bases, [path for segment in dropped for path in segment.rename_deleted()]

    def holds(self, segments: list[Segment]) -> bool:
        """Whether `segments` are here, one after the other."""
        first = self.number_at(segments[0].base_offset)
        return self._segments[first : first + len(segments)] == segments

    def replace(self, old: list[Segment], new: Segment) -> list[Path]:
        """Put `new`, a complete swap file, in the place of `old`, closed ones; the renamed files of those."""
        number = self.number_at(old[0].base_offset)
        new.next_offset = old[-1].next_offset
        files = [path for segment in old for path in segment.rename_deleted()]
        new.rename("")
        self._segments[number : number + len(old)] = [new]
        self._bases[number : number + len(old)] = [new.base_offset]
        return files

    # ---- finding

    def find(self, offset: int, bound: int, max_bytes: int, *, min_one: bool) -> Place | None:
        """The whole batches from the one that holds `offset` on, up to `max_bytes` and the offset `bound`, within one
        segment; with `min_one` at least one batch, however large. None if there is nothing.
        """
        number = self.number_at(offset)
        while number < len(self._segments) and self._bases[number] < bound:
            segment = self._segments[number]
            start = segment.locate(offset)
            limit = segment.size if bound >= segment.next_offset else segment.locate(bound)
            if start < limit:
                end = limit if limit - start <= max_bytes else segment.cut(start, start + max_bytes)
                if end == start and min_one:
                    end = segment.batch_end(start)
                return Place(number, start, end) if end > start else None
            number += 1  # compaction has left nothing from `offset` on in this segment
        return None

    def find_aborted(self, offset: int, bound: int, place: Place) -> list[AbortedTransaction]:
        """The aborted transactions that concern a `place` found for `offset` and `bound`, sorted by first offset.

        A marker may lie in a later segment than the records that it aborts.
        """
        segment = self._segments[place.number]
        if place.end < segment.size:
            bound = min(bound, segment.offset_at(place.end))
        aborted: list[AbortedTransaction] = []
        for number in range(place.number, len(self._segments)):
            if self._segments[number].transaction_index.collect(offset, bound, aborted):
                break
        aborted.sort(key=lambda transaction: transaction.first_offset)
        return aborted

    def find_timestamp(self, timestamp: int, start_offset: int) -> TimestampedOffset | None:
        """The first record at `start_offset` or later whose timestamp is `timestamp` or later.

        Nobody has looked into a batch so far. One whose records cannot be read is found as a whole, by its header.
        """
        for segment in self._segments:
            if segment.newest_timestamp()[0] < timestamp or segment.next_offset <= start_offset:
                continue
            for position, header in segment.scan_timestamp(timestamp, start_offset):
                epoch = header.partition_leader_epoch
                try:
                    for record in read_batch(segment.file, position, header).records():
                        if record.timestamp >= timestamp and record.offset >= start_offset:
                            return TimestampedOffset(record.timestamp, record.offset, epoch)
                except InvalidRecord:
                    return TimestampedOffset(header.max_timestamp, max(header.base_offset, start_offset), epoch)
        return None

    def find_newest(self, start_offset: int) -> TimestampedOffset | None:
        """The first record at `start_offset` or later that has the largest timestamp of all, if any has one."""
        found: TimestampedOffset | None = None
        segments = [segment for segment in self._segments if segment.next_offset > start_offset]
        for segment in sorted(segments, key=lambda segment: -segment.newest_timestamp()[0]):
            newest, _ = segment.newest_timestamp()
            if newest < 0 or (found is not None and found.timestamp > newest):
                break
            found = _newer(found, _newest_in(segment, newest, start_offset))
        return found


def _newest_in(segment: Segment, newest: int, start_offset: int) -> TimestampedOffset | None:
    """`find_newest` in one segment, whose headers say that it is of the time `newest`.

    If that record was deleted, or compaction has left nothing but the header of its batch, all of it is looked through.
    """
    found: TimestampedOffset | None = None
    places = itertools.chain(segment.scan_timestamp(newest, start_offset), segment.scan_timestamp(0, start_offset))
    for position, header in places:
        if found is None or header.max_timestamp >= found.timestamp:
            found = _newer(found, _newest_record(segment, position, header, start_offset))
        if found is not None and found.timestamp == newest:
            break
    return found


def _newest_record(segment: Segment, position: int, header: BatchHeader, start_offset: int) -> TimestampedOffset | None:
    """The same in one batch. If its records cannot be read it is found as a whole."""
    epoch = header.partition_leader_epoch
    try:
        later = [r for r in read_batch(segment.file, position, header).records() if r.offset >= start_offset]
    except InvalidRecord:
        return TimestampedOffset(header.max_timestamp, max(header.base_offset, start_offset), epoch)
    newest = max(later, key=lambda record: record.timestamp, default=None)
    return None if newest is None else TimestampedOffset(newest.timestamp, newest.offset, epoch)


def _newer(one: TimestampedOffset | None, other: TimestampedOffset | None) -> TimestampedOffset | None:
    """The later one of two; the first of them in the log if they are of the same time."""
    if one is None or other is None:
        return one or other
    return max(one, other, key=lambda found: (found.timestamp, -found.offset))
