"""The header of a stored batch, read alone: where the batch itself need not be in memory. Pure.

`ottla_wire.records.RecordBatch` views a whole batch and describes the format. `BatchLike` is what both have in
common, and all that indexes and producer states need to know of a batch.
"""

import struct
from typing import Final, NamedTuple, Protocol

from ottla_wire.records import HEADER_SIZE, LOG_OVERHEAD, MAGIC, NO_SEQUENCE

_HEADER: Final = struct.Struct(">qiiBIhiqqqhii")
_TRANSACTIONAL: Final = 0x10
_CONTROL: Final = 0x20
_MAX_SEQUENCE: Final = 0x7FFFFFFF


class BatchLike(Protocol):
    """What a header says of its batch; timestamps in milliseconds."""

    @property
    def size(self) -> int: ...
    @property
    def base_offset(self) -> int: ...
    @property
    def last_offset(self) -> int: ...
    @property
    def max_timestamp(self) -> int: ...
    @property
    def producer_id(self) -> int: ...
    @property
    def producer_epoch(self) -> int: ...
    @property
    def base_sequence(self) -> int: ...
    @property
    def last_sequence(self) -> int: ...
    @property
    def is_transactional(self) -> bool: ...


class BatchHeader(NamedTuple):
    """The header's fields, in their order."""

    base_offset: int
    length: int
    partition_leader_epoch: int
    magic: int
    crc: int
    attributes: int
    last_offset_delta: int
    base_timestamp: int
    max_timestamp: int
    producer_id: int
    producer_epoch: int
    base_sequence: int
    record_count: int

    @property
    def size(self) -> int:
        return self.length + LOG_OVERHEAD

    @property
    def last_offset(self) -> int:
        return self.base_offset + self.last_offset_delta

    @property
    def last_sequence(self) -> int:
        if self.base_sequence == NO_SEQUENCE:
            return NO_SEQUENCE
        return (self.base_sequence + self.last_offset_delta) & _MAX_SEQUENCE

    @property
    def is_transactional(self) -> bool:
        return bool(self.attributes & _TRANSACTIONAL)

    @property
    def is_control(self) -> bool:
        return bool(self.attributes & _CONTROL)

    @property
    def is_plausible(self) -> bool:
        """Whether this can be a header at all; that it is one, only the checksum of the whole batch can tell."""
        return self.magic == MAGIC and self.size >= HEADER_SIZE and self.last_offset_delta >= 0 <= self.base_offset


def parse_header(data: bytes | bytearray | memoryview, position: int = 0) -> BatchHeader:
    """The header at `position`, where at least HEADER_SIZE bytes must be."""
    return BatchHeader._make(_HEADER.unpack_from(data, position))
