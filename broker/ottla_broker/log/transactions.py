"""The transactions of one partition: which are open, where the last stable offset is, which were aborted. Pure.

`TransactionIndex` is a segment's `.txnindex`, byte for byte Kafka's: one entry of 34 bytes for each transaction whose
abort marker lies in the segment, in the order of the markers,

    int16 version = 0, int64 producer id, int64 first offset, int64 last offset (the marker's), int64 last stable offset

where the last stable offset is the one right after the abort. It bounds searches: once it reaches the end of the
range that is asked for, no later entry can concern that range.
"""

import struct
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from ottla_broker.log.errors import CorruptFile
from ottla_broker.log.index import Buffer, Entries


class CompletedTransaction(NamedTuple):
    """A transaction that its marker, at `last_offset`, has ended."""

    producer_id: int
    first_offset: int
    last_offset: int
    aborted: bool


class AbortedTransaction(NamedTuple):
    """What a read_committed consumer is told: skip this producer's transactional records from `first_offset` on."""

    producer_id: int
    first_offset: int


class AbortedEntry(NamedTuple):
    """An entry of the transaction index."""

    producer_id: int
    first_offset: int
    last_offset: int
    last_stable_offset: int


class OpenTransactions:
    """Which transactions hold back the last stable offset.

    A transaction does so from its first record until its marker lies below the high watermark: until then a marker
    could still be lost, and a reader that has seen the records could not be told otherwise.
    """

    __slots__ = ("_ended", "_open")

    def __init__(self) -> None:
        self._open: dict[int, int] = {}  # first offset -> producer id, in rising order
        self._ended: list[CompletedTransaction] = []

    def apply(
        self, begun: Iterable[tuple[int, int]], completed: Iterable[CompletedTransaction]
    ) -> list[tuple[CompletedTransaction, int]]:
        """Take in an append: the (producer id, first offset) of each transaction that it began, in rising order, and
        those that it completed.

        Returns the aborted ones, each with the last stable offset right after it (the high watermark left aside), as
        the transaction index wants them.
        """
        for producer_id, first_offset in begun:
            self._open[first_offset] = producer_id
        aborted = []
        for transaction in completed:
            del self._open[transaction.first_offset]
            self._ended.append(transaction)
            if transaction.aborted:
                first = self.first_undecided()
                aborted.append((transaction, transaction.last_offset + 1 if first is None else first))
        return aborted

    def first_undecided(self) -> int | None:
        """The first offset of the oldest open transaction."""
        return next(iter(self._open), None)

    def first_unstable(self, high_watermark: int) -> int | None:
        """The offset at which read_committed stops, None if it may read up to the high watermark."""
        if self._ended:
            self._ended = [ended for ended in self._ended if ended.last_offset >= high_watermark]
        undecided = self.first_undecided()
        if not self._ended:
            return undecided
        unreplicated = min(ended.first_offset for ended in self._ended)
        return unreplicated if undecided is None else min(undecided, unreplicated)


class TransactionIndex(Entries):
    """The aborted transactions whose markers lie in one segment."""

    __slots__ = ()

    ENTRY = struct.Struct(">hqqqq")
    VERSION: Final = 0
    _LAST_OFFSET: Final = 3  # the column with the offsets of the markers

    @classmethod
    def load(cls, base_offset: int, entries: Buffer) -> "TransactionIndex":
        """An index over stored entries; CorruptFile if they cannot belong to a segment with this base offset."""
        cls.check_size("transaction index", entries)
        index, last_marker = cls(entries), base_offset - 1
        for slot in range(len(index)):
            version, _, first, last, _ = cls.ENTRY.unpack_from(entries, slot * cls.ENTRY.size)
            if version != cls.VERSION or first > last or last <= last_marker:
                raise CorruptFile(f"Entry {slot} of the transaction index is version {version} from {first} to {last}")
            last_marker = last
        return index

    def __iter__(self) -> Iterator[AbortedEntry]:
        return (self.entry(slot) for slot in range(len(self)))

    def entry(self, slot: int) -> AbortedEntry:
        _, *fields = self.ENTRY.unpack_from(self._entries, slot * self.ENTRY.size)
        return AbortedEntry(*fields)

    def append(self, transaction: CompletedTransaction, last_stable_offset: int) -> None:
        """Note an aborted transaction; markers come in rising order."""
        if not isinstance(self._entries, bytearray):
            self._entries = bytearray(self._entries)
        self._entries += self.ENTRY.pack(
            self.VERSION, transaction.producer_id, transaction.first_offset, transaction.last_offset, last_stable_offset
        )

    def collect(self, start: int, end: int, into: list[AbortedTransaction]) -> bool:
        """Add the transactions that touch offsets in [start, end); True if no later segment can hold another."""
        for slot in range(self.count_up_to(self._LAST_OFFSET, start - 1), len(self)):
            entry = self.entry(slot)
            if entry.first_offset < end:
                into.append(AbortedTransaction(entry.producer_id, entry.first_offset))
            if entry.last_stable_offset >= end:
                return True
        return False

    def truncate(self, offset: int) -> None:
        """Forget the markers at `offset` or beyond."""
        self.keep(self.count_up_to(self._LAST_OFFSET, offset - 1))
