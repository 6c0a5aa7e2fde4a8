"""The offset index and the time index of a segment, byte for byte Kafka's. Pure.

Both are sparse and sorted, with big-endian entries whose offsets are relative to the segment's base offset:

    offset index    int32 offset, int32 position        one entry per index.interval.bytes of log
    time index      int64 timestamp, int32 offset       the largest timestamp so far, written beside each offset entry

An offset entry says that the batch whose last offset it names begins at that position. A time entry says that every
record after that offset is the first place to look for a later timestamp. An index works over any buffer: one that
grows while the segment is active, a read-only view of the file afterwards. Whoever holds it stores and rebuilds it
(`segment.py`).
"""

import struct
from typing import ClassVar, Final, Self

from ottla_broker.log.errors import CorruptFile

Buffer = bytes | bytearray | memoryview

NO_TIMESTAMP: Final = -1


class Entries:
    """A sorted run of entries of one size; the base of all indexes. `entries` is the file's contents."""

    __slots__ = ("_entries",)

    ENTRY: ClassVar[struct.Struct]

    def __init__(self, entries: Buffer = b"") -> None:
        self._entries: Buffer = entries if entries else bytearray()

    @classmethod
    def check_size(cls, what: str, entries: Buffer) -> None:
        """Raises CorruptFile for bytes that end within an entry."""
        if len(entries) % cls.ENTRY.size:
            raise CorruptFile(f"The {what} has {len(entries)} bytes, not a multiple of {cls.ENTRY.size}")

    def __len__(self) -> int:
        return len(self._entries) // self.ENTRY.size

    @property
    def entries(self) -> Buffer:
        return self._entries

    def count_up_to(self, column: int, value: int) -> int:
        """How many entries have at most `value` in a column, in which they must be sorted."""
        unpack, size, entries = self.ENTRY.unpack_from, self.ENTRY.size, self._entries
        low, high = 0, len(entries) // size
        while low < high:
            middle = (low + high) // 2
            if unpack(entries, middle * size)[column] <= value:
                low = middle + 1
            else:
                high = middle
        return low

    def keep(self, count: int) -> None:
        """Forget all but the first entries, and be able to grow."""
        self._entries = bytearray(self._entries[: count * self.ENTRY.size])


class OffsetIndex(Entries):
    """From offsets to file positions. A bytearray can grow."""

    __slots__ = ("base_offset", "last_offset")

    ENTRY = struct.Struct(">ii")

    def __init__(self, base_offset: int, entries: Buffer = b"") -> None:
        super().__init__(entries)
        self.base_offset = base_offset
        self._find_last()

    def _find_last(self) -> None:
        self.last_offset = self.entry(len(self) - 1)[0] if len(self) else self.base_offset

    @classmethod
    def load(cls, base_offset: int, entries: Buffer, log_size: int) -> Self:
        """An index over stored entries; CorruptFile if they cannot belong to a log file of `log_size` bytes."""
        cls.check_size("offset index", entries)
        index = cls(base_offset, entries)
        if len(index):
            first, (last_offset, last_position) = index.entry(0), index.entry(len(index) - 1)
            if not (base_offset <= first[0] <= last_offset and 0 <= first[1] <= last_position < log_size):
                raise CorruptFile(f"The offset index runs from {first} to {(last_offset, last_position)}")
        return index

    def entry(self, slot: int) -> tuple[int, int]:
        """The (last offset, position) in a slot."""
        relative, position = self.ENTRY.unpack_from(self._entries, slot * self.ENTRY.size)
        return self.base_offset + relative, position

    def append(self, last_offset: int, position: int) -> None:
        """Index the batch at `position` that ends with `last_offset`; both must exceed what is there."""
        assert isinstance(self._entries, bytearray)
        self._entries += self.ENTRY.pack(last_offset - self.base_offset, position)
        self.last_offset = last_offset

    def lookup(self, offset: int) -> int:
        """A batch boundary at or before the batch that contains `offset`, close to it."""
        return self._position_before(self.count_up_to(0, offset - self.base_offset))

    def boundary(self, position: int) -> int:
        """The last indexed batch boundary at or before `position`, 0 if there is none."""
        return self._position_before(self.count_up_to(1, position))

    def _position_before(self, slot: int) -> int:
        return self.entry(slot - 1)[1] if slot else 0

    def truncate(self, offset: int) -> None:
        """Forget the batches that reach `offset` or beyond, and be able to grow."""
        self.keep(self.count_up_to(0, offset - 1 - self.base_offset))
        self._find_last()


class TimeIndex(Entries):
    """From timestamps to offsets. A bytearray can grow."""

    __slots__ = ("base_offset", "last")

    ENTRY = struct.Struct(">qi")

    def __init__(self, base_offset: int, entries: Buffer = b"") -> None:
        super().__init__(entries)
        self.base_offset = base_offset
        self._find_last()

    def _find_last(self) -> None:
        self.last = self.entry(len(self) - 1) if len(self) else (NO_TIMESTAMP, self.base_offset)

    @classmethod
    def load(cls, base_offset: int, entries: Buffer, end_offset: int) -> Self:
        """An index over stored entries; CorruptFile if they cannot be that of a segment up to `end_offset`.

        A closed segment's index has at least one entry, unless its records have no timestamps.
        """
        cls.check_size("time index", entries)
        if len(entries) == 0:
            raise CorruptFile("The time index has no entries")
        index = cls(base_offset, entries)
        first, last = index.entry(0), index.last
        if not (0 <= first[0] <= last[0] and base_offset <= first[1] <= last[1] < end_offset):
            raise CorruptFile(f"The time index runs from {first} to {last}")
        return index

    def entry(self, slot: int) -> tuple[int, int]:
        """The (timestamp, offset) in a slot."""
        timestamp, relative = self.ENTRY.unpack_from(self._entries, slot * self.ENTRY.size)
        return timestamp, self.base_offset + relative

    def maybe_append(self, timestamp: int, offset: int) -> None:
        """Note that `timestamp` is the largest up to `offset`, unless an earlier one is as large."""
        if timestamp > self.last[0]:
            assert isinstance(self._entries, bytearray)
            self._entries += self.ENTRY.pack(timestamp, offset - self.base_offset)
            self.last = (timestamp, offset)

    def lookup(self, timestamp: int) -> tuple[int, int]:
        """The last entry whose timestamp is at most `timestamp`, (-1, base offset) if there is none."""
        slot = self.count_up_to(0, timestamp)
        return self.entry(slot - 1) if slot else (NO_TIMESTAMP, self.base_offset)

    def truncate(self, offset: int) -> None:
        """Forget the entries at `offset` or beyond, and be able to grow."""
        self.keep(self.count_up_to(1, offset - 1 - self.base_offset))
        self._find_last()
