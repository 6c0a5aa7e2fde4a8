"""Finds records by their time, and aborted transactions by a range, across the segments of a log."""

from collections.abc import Sequence
from typing import NamedTuple

from ottla_broker.log.scan import read_batch
from ottla_broker.log.segment import Segment
from ottla_broker.log.transactions import AbortedTransaction


class TimestampedOffset(NamedTuple):
    """A record found by its time. `leader_epoch` is -1 where it is not known."""

    timestamp: int
    offset: int
    leader_epoch: int


def find_timestamp(segments: Sequence[Segment], timestamp: int, start_offset: int) -> TimestampedOffset | None:
    """The first record at `start_offset` or later whose timestamp is `timestamp` or later."""
    for segment in segments:
        if segment.newest_timestamp()[0] < timestamp or segment.next_offset <= start_offset:
            continue
        for position, header in segment.scan_timestamp(timestamp, start_offset):
            for record in read_batch(segment.file, position, header).records():
                if record.timestamp >= timestamp and record.offset >= start_offset:
                    return TimestampedOffset(record.timestamp, record.offset, header.partition_leader_epoch)
    return None


def find_newest(segments: Sequence[Segment], start_offset: int) -> TimestampedOffset | None:
    """The first of the records at `start_offset` or later that have the largest timestamp; None if none has one."""
    newest = max((segment.newest_timestamp()[0] for segment in segments), default=-1)
    return find_timestamp(segments, newest, start_offset) if newest >= 0 else None


def find_aborted(segments: Sequence[Segment], start: int, end: int) -> list[AbortedTransaction]:
    """The aborted transactions that touch [start, end), sorted by first offset.

    `segments` begin with the one that holds `start`; a marker may lie in a later one than the records it aborts.
    """
    aborted: list[AbortedTransaction] = []
    for segment in segments:
        if segment.transaction_index.collect(start, end, aborted):
            break
    aborted.sort(key=lambda transaction: transaction.first_offset)
    return aborted
