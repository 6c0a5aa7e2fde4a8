"""What a log checks before it takes a batch, cheapest first, one error per rung; and what it changes in one.

A batch is judged by its header and checksum. Its records are read in two cases only: to look for missing keys on a
compacted topic, and to compress them anew where the topic's compression.type is not the producer's.
"""

from collections.abc import Callable, Mapping
from itertools import islice

from ottla_broker.log.config import LogConfig
from ottla_broker.log.errors import NotOneBatch, RefusedRecords
from ottla_broker.log.producers import CLIENT, COORDINATOR, Origin
from ottla_wire.errors import CorruptRecord, ErrorCode, InvalidRecord, KafkaError
from ottla_wire.records import (
    HEADER_SIZE,
    LOG_OVERHEAD,
    Compression,
    NewRecord,
    Record,
    RecordBatch,
    build_batch,
    stamp_log_append_time,
)

Data = bytes | bytearray | memoryview

_MAX_REPORTED = 100
_MANY_RECORDS = 5_000  # take some 10 ms to be read

_COMPRESSION_TYPES = {
    "uncompressed": Compression.NONE,
    "gzip": Compression.GZIP,
    "snappy": Compression.SNAPPY,
    "lz4": Compression.LZ4,
    "zstd": Compression.ZSTD,
}
_LEVELS: Mapping[Compression, Callable[[LogConfig], int | None]] = {
    Compression.NONE: lambda _config: None,
    Compression.GZIP: lambda config: config.compression_gzip_level,
    Compression.SNAPPY: lambda _config: None,
    Compression.LZ4: lambda config: config.compression_lz4_level,
    Compression.ZSTD: lambda config: config.compression_zstd_level,
}


def writable(data: Data) -> bytearray | memoryview:
    """`data`, or a copy if it cannot be changed in place."""
    if isinstance(data, bytes) or (isinstance(data, memoryview) and data.readonly):
        return bytearray(data)
    return data


def takes_long(data: Data, config: LogConfig) -> bool:
    """Whether the records of a client's batch have to be read, and are so many that `vet` should do it in a thread."""
    if not config.reads_records or len(data) < HEADER_SIZE:
        return False
    return int.from_bytes(data[HEADER_SIZE - 4 : HEADER_SIZE], "big", signed=True) > _MANY_RECORDS


def vet(data: Data, config: LogConfig, now_ms: int) -> bytearray | memoryview:
    """Check a client's batch, and convert it as far as the topic wants that: what an append has then to do is quick.

    Raises as `read_batches`. Touches nothing but `data`, and may run in a thread.
    """
    batch = read_produced(writable(data), config, now_ms)
    return batch.buffer if config.compression_type == "producer" else _compress(batch, config)


def read_batches(
    data: Data, config: LogConfig, origin: Origin, now_ms: int, *, vetted: bool = False
) -> list[RecordBatch]:
    """The batches in `data`, which they must fill; a client may send only one, which may be `vetted` already.

    Raises KafkaError CORRUPT_MESSAGE or INVALID_RECORD to refuse them, from clients and coordinators MESSAGE_TOO_LARGE,
    from clients INVALID_TIMESTAMP.
    """
    if origin is CLIENT:
        return [RecordBatch(data) if vetted else read_produced(data, config, now_ms)]
    batches = _parse(data)
    for batch in batches:
        if origin is COORDINATOR and batch.size > config.max_message_bytes:
            raise _too_large(batch, config)
        batch.validate()
    return batches


def _parse(data: Data) -> list[RecordBatch]:
    batches = [RecordBatch(data)]
    position, end = batches[0].size, len(data)
    while position < end:
        batches.append(RecordBatch(data, position))
        position += batches[-1].size
    return batches


def read_produced(data: Data, config: LogConfig, now_ms: int) -> RecordBatch:
    """The batch that a client has sent, which must fill `data`. Raises as `read_batches`."""
    try:
        batch = RecordBatch(data)
    except CorruptRecord as error:
        if _is_cut(data):
            raise NotOneBatch(f"A produce request must have one whole record batch per partition: {error}") from None
        raise
    if batch.size != len(data):
        count = len(_parse(data))
        raise NotOneBatch(f"A produce request must have exactly one record batch per partition, not {count}")
    if batch.size > config.max_message_bytes:
        raise _too_large(batch, config)
    batch.validate_produced()
    if batch.has_append_time:
        message = "A producer must not set the timestamp type to LogAppendTime"
        raise RefusedRecords(ErrorCode.INVALID_TIMESTAMP, message, _indexes(batch, lambda _record: True))
    if config.message_timestamp_type == "CreateTime":
        _check_timestamps(batch, config, now_ms)
    if config.compact:
        _check_records(batch)
    return batch


def _is_cut(data: Data) -> bool:
    """Whether a batch begins here that may be whole but for its end, so that Kafka sees none at all."""
    return len(data) < LOG_OVERHEAD or len(data) < LOG_OVERHEAD + int.from_bytes(data[8:12], "big", signed=True)


def _too_large(batch: RecordBatch, config: LogConfig) -> KafkaError:
    return KafkaError(
        ErrorCode.MESSAGE_TOO_LARGE,
        f"The record batch has {batch.size} bytes, max.message.bytes is {config.max_message_bytes}",
    )


def _check_records(batch: RecordBatch) -> None:
    """What compaction relies on: a key, and offsets one after the other."""
    if batch.has_plain_records():
        return
    without_key: list[int] = []
    for index, record in enumerate(batch.records()):
        if record.offset != batch.base_offset + index:
            raise InvalidRecord(f"Record {index} of a batch has the offset delta {record.offset - batch.base_offset}")
        if record.key is None and len(without_key) < _MAX_REPORTED:
            without_key.append(index)
    if without_key:
        message = "Compacted topic cannot accept message without key"
        raise RefusedRecords(ErrorCode.INVALID_RECORD, message, without_key)


def _check_timestamps(batch: RecordBatch, config: LogConfig, now_ms: int) -> None:
    latest = now_ms + config.message_timestamp_after_max_ms
    earliest = now_ms - config.message_timestamp_before_max_ms
    if batch.max_timestamp > latest:
        raise RefusedRecords(
            ErrorCode.INVALID_TIMESTAMP,
            f"Timestamp {batch.max_timestamp} is after {latest}, the latest by message.timestamp.after.max.ms",
            _indexes(batch, lambda record: record.timestamp > latest),
        )
    if 0 <= batch.base_timestamp < earliest:
        raise RefusedRecords(
            ErrorCode.INVALID_TIMESTAMP,
            f"Timestamp {batch.base_timestamp} is before {earliest}, the earliest by message.timestamp.before.max.ms",
            _indexes(batch, lambda record: record.timestamp < earliest),
        )


def _indexes(batch: RecordBatch, is_refused: Callable[[Record], bool]) -> list[int]:
    """Which records of a batch are refused; the first ones suffice to find the others."""
    refused = (index for index, record in enumerate(batch.records()) if is_refused(record))
    return list(islice(refused, _MAX_REPORTED))


def assign(
    batches: list[RecordBatch], config: LogConfig, offset: int, leader_epoch: int, now_ms: int
) -> list[RecordBatch]:
    """The batches as the topic stores them, with offsets from `offset` on.

    Those get written into the batches as they are, which must be writable. Another compression or LogAppendTime makes
    new ones, so that a batch which is refused after all can be sent again as it was.
    """
    if config.compression_type != "producer" or config.message_timestamp_type == "LogAppendTime":
        batches = [RecordBatch(_converted(batch, config, now_ms)) for batch in batches]
    for batch in batches:
        batch.assign(offset, leader_epoch)
        offset = batch.last_offset + 1
    return batches


def _converted(batch: RecordBatch, config: LogConfig, now_ms: int) -> bytearray:
    converted = bytearray(batch.buffer) if config.compression_type == "producer" else _compress(batch, config)
    if config.message_timestamp_type == "LogAppendTime":
        stamp_log_append_time(converted, 0, now_ms)
    return converted


def check_offsets(batches: list[RecordBatch], log_end_offset: int) -> None:
    """Raise KafkaError(UNKNOWN_SERVER_ERROR) for replicated batches that do not go on where the log ends, or later."""
    for batch in batches:
        if batch.base_offset < log_end_offset:
            raise KafkaError(
                ErrorCode.UNKNOWN_SERVER_ERROR,
                f"A replicated batch begins at offset {batch.base_offset} where {log_end_offset} is next",
            )
        log_end_offset = batch.next_offset


def _compress(batch: RecordBatch, config: LogConfig) -> bytearray:
    compression = _COMPRESSION_TYPES[config.compression_type]
    if batch.compression == compression or batch.is_control:
        return bytearray(batch.buffer)
    records = (NewRecord(record.key, record.value, record.timestamp, record.headers) for record in batch.records())
    return build_batch(
        records,
        compression=compression,
        compression_level=_LEVELS[compression](config),
        producer_id=batch.producer_id,
        producer_epoch=batch.producer_epoch,
        base_sequence=batch.base_sequence,
        transactional=batch.is_transactional,
    )
