"""Record batches, format version 2 (KIP-98): header view, checks, iteration, construction, changes in place.

    offset  size
         0     8  base offset              ┐ not covered by the checksum, so that a broker can
         8     4  batch length from here   │ assign offset and epoch to a batch as it came
        12     4  partition leader epoch   ┘
        16     1  magic, 2
        17     4  CRC-32C of all that follows
        21     2  attributes: 0-2 compression, 3 timestamp type, 4 transactional, 5 control, 6 delete horizon
        23     4  last offset delta
        27     8  base timestamp, or the delete horizon
        35     8  max timestamp
        43     8  producer id
        51     2  producer epoch
        53     4  base sequence
        57     4  number of records
        61        records, compressed as a whole

A broker works with headers alone: it never decodes records to store or to serve them, compacted topics aside.
"""

import struct
from collections.abc import Iterable, Iterator, Sequence
from enum import IntEnum

from ottla_wire.checksum import crc32c
from ottla_wire.chunks import FileRegion
from ottla_wire.compression import MAX_DECOMPRESSED, Compression, compress, decompress
from ottla_wire.errors import CorruptRecord, InvalidRecord
from ottla_wire.record_codec import (
    EARLIEST,
    LATEST,
    SMALLEST_RECORD,
    Header,
    NewRecord,
    Record,
    decode_records,
    encode_records,
)
from ottla_wire.record_scan import RecordSpan, are_plain

__all__ = [
    "HEADER_SIZE",
    "LOG_OVERHEAD",
    "MAGIC",
    "NO_PRODUCER_ID",
    "NO_SEQUENCE",
    "NO_TIMESTAMP",
    "Compression",
    "FileRegion",
    "Header",
    "NewRecord",
    "Record",
    "RecordBatch",
    "TimestampType",
    "build_batch",
    "iter_batches",
    "rebuild_batch",
    "stamp_log_append_time",
]

MAGIC = 2
HEADER_SIZE = 61
# Base offset and length: what precedes the bytes that the length counts.
LOG_OVERHEAD = 12

NO_PRODUCER_ID = -1
NO_SEQUENCE = -1
NO_TIMESTAMP = -1

_HEADER = struct.Struct(">qiiBIhiqqqhii")
_LENGTH = struct.Struct(">i")
_PLACE = struct.Struct(">qii")
_CRC = struct.Struct(">I")
_ATTRIBUTES = struct.Struct(">h")
_TIMESTAMP = struct.Struct(">q")
_LENGTH_AT, _CRC_AT, _ATTRIBUTES_AT, _MAX_TIMESTAMP_AT = 8, 17, 21, 35

_COMPRESSION = 0x07
_LAST_COMPRESSION = int(Compression.ZSTD)
_LOG_APPEND_TIME = 0x08
_TRANSACTIONAL = 0x10
_CONTROL = 0x20
_DELETE_HORIZON = 0x40

_MAX_SEQUENCE = 0x7FFFFFFF


class TimestampType(IntEnum):
    """Who set the timestamps of a batch: the producer, or the broker as it appended."""

    CREATE_TIME = 0
    LOG_APPEND_TIME = 1


class RecordBatch:
    """The header of the batch that begins at `position` of a buffer, and access to its records; nothing is copied.

    `size` is the batch's length in bytes and `buffer` a view of exactly those. Timestamps are in milliseconds. Raises
    CorruptRecord where no whole batch lies; what it says is only trustworthy after `validate`.
    """

    __slots__ = (
        "attributes",
        "base_offset",
        "base_sequence",
        "base_timestamp",
        "buffer",
        "crc",
        "last_offset",
        "last_offset_delta",
        "magic",
        "max_timestamp",
        "partition_leader_epoch",
        "producer_epoch",
        "producer_id",
        "record_count",
        "size",
    )

    def __init__(self, buffer: bytes | bytearray | memoryview, position: int = 0) -> None:
        self.base_offset: int
        self.partition_leader_epoch: int
        self.magic: int
        self.crc: int
        self.attributes: int
        self.last_offset_delta: int
        self.base_timestamp: int
        self.max_timestamp: int
        self.producer_id: int
        self.producer_epoch: int
        self.base_sequence: int
        self.record_count: int
        view = buffer if type(buffer) is memoryview else memoryview(buffer)
        room = len(view) - position
        if room < HEADER_SIZE:
            raise CorruptRecord(f"{room} bytes are too few for a batch header of {HEADER_SIZE}")
        (
            self.base_offset,
            length,
            self.partition_leader_epoch,
            self.magic,
            self.crc,
            self.attributes,
            self.last_offset_delta,
            self.base_timestamp,
            self.max_timestamp,
            self.producer_id,
            self.producer_epoch,
            self.base_sequence,
            self.record_count,
        ) = _HEADER.unpack_from(view, position)
        size = LOG_OVERHEAD + length
        if not HEADER_SIZE <= size <= room:
            raise CorruptRecord(f"a batch claims {size} bytes, {room} are there")
        self.size: int = size
        self.last_offset: int = self.base_offset + self.last_offset_delta
        self.buffer = view if size == len(view) else view[position : position + size]

    @property
    def next_offset(self) -> int:
        return self.last_offset + 1

    @property
    def last_sequence(self) -> int:
        """Sequence number of the last record, -1 without a producer; wraps from 2^31-1 to 0."""
        if self.base_sequence == NO_SEQUENCE:
            return NO_SEQUENCE
        return (self.base_sequence + self.last_offset_delta) & _MAX_SEQUENCE

    @property
    def compression(self) -> int:
        """The compression type's number, which may be one that Compression does not have."""
        return self.attributes & _COMPRESSION

    @property
    def has_append_time(self) -> bool:
        """Whether its timestamps say when it was appended, not when its records were made."""
        return self.attributes & _LOG_APPEND_TIME != 0

    @property
    def timestamp_type(self) -> TimestampType:
        return TimestampType.LOG_APPEND_TIME if self.attributes & _LOG_APPEND_TIME else TimestampType.CREATE_TIME

    @property
    def is_transactional(self) -> bool:
        return bool(self.attributes & _TRANSACTIONAL)

    @property
    def is_control(self) -> bool:
        return bool(self.attributes & _CONTROL)

    @property
    def has_producer_id(self) -> bool:
        return self.producer_id > NO_PRODUCER_ID

    @property
    def has_delete_horizon(self) -> bool:
        """Whether the base timestamp says when compaction may drop the batch's tombstones or marker."""
        return bool(self.attributes & _DELETE_HORIZON)

    def validate(self) -> None:
        """Check the header's sanity and the checksum; the records stay packed.

        Raises CorruptRecord for damage, InvalidRecord for a header that contradicts itself.
        """
        if self.magic != MAGIC:
            raise InvalidRecord(f"a batch has magic {self.magic}, only format version {MAGIC} is supported")
        computed = crc32c(self.buffer[_ATTRIBUTES_AT:])
        if computed != self.crc:
            raise CorruptRecord(f"a batch has the checksum {self.crc:#010x}, its bytes yield {computed:#010x}")
        count, compression = self.record_count, self.attributes & _COMPRESSION
        if self.last_offset_delta < 0 or count < 0:
            raise InvalidRecord(f"a batch claims {count} records and the last offset delta {self.last_offset_delta}")
        if compression > _LAST_COMPRESSION:
            raise InvalidRecord(f"a batch has the compression type {compression}, which does not exist")
        if not compression and count > (self.size - HEADER_SIZE) // SMALLEST_RECORD:
            raise InvalidRecord(f"a batch of {self.size} bytes claims {count} records")

    def validate_produced(self) -> None:
        """`validate`, and what holds for a batch that comes straight from a producer: records with consecutive offsets,
        no control records, a sequence number where there is a producer id. Raises as `validate`.
        """
        self.validate()
        if self.record_count != self.last_offset_delta + 1:
            raise InvalidRecord(
                f"a batch spans {self.last_offset_delta + 1} offsets but claims {self.record_count} records"
            )
        attributes = self.attributes
        if attributes & _CONTROL:
            raise InvalidRecord("clients may not write control records")
        if self.producer_id > NO_PRODUCER_ID and self.base_sequence < 0:
            raise InvalidRecord(f"a batch of producer {self.producer_id} has the sequence number {self.base_sequence}")
        if attributes & _DELETE_HORIZON:
            raise InvalidRecord("only compaction may set a delete horizon")

    def assign(self, base_offset: int, leader_epoch: int) -> None:
        """Give the batch its place in a log, here and in its bytes, which must be writable. The checksum does not cover
        that.
        """
        self.base_offset, self.partition_leader_epoch = base_offset, leader_epoch
        self.last_offset = base_offset + self.last_offset_delta
        _PLACE.pack_into(self.buffer, 0, base_offset, self.size - LOG_OVERHEAD, leader_epoch)

    def records(self, max_size: int = MAX_DECOMPRESSED) -> Iterator[Record]:
        """Unpack the records, to no more than `max_size` bytes. Raises InvalidRecord where they are malformed."""
        append_timestamp = self.max_timestamp if self.attributes & _LOG_APPEND_TIME else None
        data = self.unpack(max_size)
        return decode_records(data, self.record_count, self.base_offset, self.base_timestamp, append_timestamp)

    def has_plain_records(self) -> bool:
        """Whether every record surely has a key, and its offset follows the one before. False says nothing: `records`
        tells. Raises as `records` does where they cannot be unpacked."""
        return are_plain(self.unpack(), self.record_count, self.base_timestamp)

    def unpack(self, max_size: int = MAX_DECOMPRESSED) -> bytes:
        """The bytes of the records, of which `record_scan.spans` knows the places. Raises InvalidRecord, or
        UnsupportedCompression, if they cannot be unpacked to that."""
        body = self.buffer[HEADER_SIZE:]
        return decompress(self.compression, body, max_size) if self.compression else bytes(body)


def iter_batches(buffer: bytes | bytearray | memoryview) -> Iterator[RecordBatch]:
    """Yield the batches of a buffer, up to one that it holds only in part, as the end of a fetched range often does.

    Raises CorruptRecord for a length that no batch can have.
    """
    view = memoryview(buffer)
    position, end = 0, len(view)
    while end - position >= LOG_OVERHEAD:
        (length,) = _LENGTH.unpack_from(view, position + _LENGTH_AT)
        if LOG_OVERHEAD + length < HEADER_SIZE:
            raise CorruptRecord(f"a batch claims {LOG_OVERHEAD + length} bytes, the header alone takes {HEADER_SIZE}")
        if LOG_OVERHEAD + length > end - position:
            return
        batch = RecordBatch(view, position)
        yield batch
        position += batch.size


def build_batch(
    records: Iterable[NewRecord],
    *,
    base_offset: int = 0,
    leader_epoch: int = -1,
    compression: Compression = Compression.NONE,
    compression_level: int | None = None,
    timestamp_type: TimestampType = TimestampType.CREATE_TIME,
    producer_id: int = NO_PRODUCER_ID,
    producer_epoch: int = -1,
    base_sequence: int = NO_SEQUENCE,
    transactional: bool = False,
    control: bool = False,
) -> bytearray:
    """Make a batch of one record or more, with consecutive offsets. Raises ValueError without any."""
    records = list(records)
    if not records:
        raise ValueError("a batch holds at least one record")
    attributes = compression | _LOG_APPEND_TIME * timestamp_type
    if transactional:
        attributes |= _TRANSACTIONAL
    if control:
        attributes |= _CONTROL
    base_timestamp = records[0].timestamp
    return _assemble(
        compress(compression, encode_records(enumerate(records), base_timestamp), compression_level),
        base_offset,
        leader_epoch,
        attributes,
        len(records) - 1,
        base_timestamp,
        max(record.timestamp for record in records),
        producer_id,
        producer_epoch,
        base_sequence,
        len(records),
    )


def rebuild_batch(batch: RecordBatch, records: Iterable[Record], *, delete_horizon_ms: int | None = None) -> bytearray:
    """Make the batch that compaction leaves: some of the records, or none, with offsets, sequence numbers and producer
    unchanged.

    An empty batch keeps the last offset and sequence number of a producer. `delete_horizon_ms` sets from when
    tombstones and markers in it may go; None keeps what the batch has.
    """
    records = list(records)
    packed: bytes | bytearray = b""
    if records:
        attributes, base_timestamp = batch.attributes, batch.base_timestamp
        if delete_horizon_ms is not None:
            attributes, base_timestamp = attributes | _DELETE_HORIZON, delete_horizon_ms
        max_timestamp = batch.max_timestamp
        if batch.timestamp_type is TimestampType.CREATE_TIME:
            max_timestamp = max(record.timestamp for record in records)
        deltas = ((record.offset - batch.base_offset, record) for record in records)
        packed = compress(Compression(batch.compression), encode_records(deltas, base_timestamp))
    else:
        attributes = batch.attributes & ~(_COMPRESSION | _DELETE_HORIZON)
        base_timestamp, max_timestamp = NO_TIMESTAMP, batch.max_timestamp
    return _reassembled(batch, packed, attributes, base_timestamp, max_timestamp, len(records))


def thin_batch(batch: RecordBatch, unpacked: bytes, kept: Sequence[RecordSpan]) -> bytearray:
    """`rebuild_batch` with some of the records, at least one, as they lie in `batch.unpack()`; nothing is encoded anew,
    and the delete horizon stays as it is. Raises InvalidRecord for a timestamp that is none."""
    packed = compress(Compression(batch.compression), b"".join([unpacked[start:end] for *_, start, end in kept]))
    max_timestamp = batch.max_timestamp
    if batch.timestamp_type is TimestampType.CREATE_TIME:
        max_timestamp = batch.base_timestamp + max(timestamp_delta for _, timestamp_delta, *_ in kept)
        if not EARLIEST <= max_timestamp <= LATEST:
            raise InvalidRecord(f"a record has the timestamp {max_timestamp}, which is none")
    return _reassembled(batch, packed, batch.attributes, batch.base_timestamp, max_timestamp, len(kept))


def _reassembled(
    batch: RecordBatch, packed: bytes | bytearray, attributes: int, base_timestamp: int, max_timestamp: int, count: int
) -> bytearray:
    """The batch with other records, at its place in the log and in its producer's sequence."""
    return _assemble(
        packed,
        batch.base_offset,
        batch.partition_leader_epoch,
        attributes,
        batch.last_offset_delta,
        base_timestamp,
        max_timestamp,
        batch.producer_id,
        batch.producer_epoch,
        batch.base_sequence,
        count,
    )


def _assemble(packed: bytes | bytearray, base_offset: int, leader_epoch: int, *rest: int) -> bytearray:
    """Put the header before packed records; `rest` is what follows the checksum in it."""
    length = HEADER_SIZE - LOG_OVERHEAD + len(packed)
    batch = bytearray(_HEADER.pack(base_offset, length, leader_epoch, MAGIC, 0, *rest))
    batch += packed
    _update_crc(memoryview(batch))
    return batch


def _update_crc(batch: memoryview) -> None:
    _CRC.pack_into(batch, _CRC_AT, crc32c(batch[_ATTRIBUTES_AT:]))


def stamp_log_append_time(batch: bytearray | memoryview, position: int, timestamp_ms: int) -> None:
    """Give the batch at `position` the broker's time of appending, and a new checksum."""
    view = memoryview(batch)
    (length,) = _LENGTH.unpack_from(view, position + _LENGTH_AT)
    own = view[position : position + LOG_OVERHEAD + length]
    (attributes,) = _ATTRIBUTES.unpack_from(own, _ATTRIBUTES_AT)
    _ATTRIBUTES.pack_into(own, _ATTRIBUTES_AT, attributes | _LOG_APPEND_TIME)
    _TIMESTAMP.pack_into(own, _MAX_TIMESTAMP_AT, timestamp_ms)
    _update_crc(own)
