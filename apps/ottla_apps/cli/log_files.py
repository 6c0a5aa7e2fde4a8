"""Reads the files of a partition's directory as rows, up to where one is damaged. Needs no broker; one may be running.

    00000000000000000000.log          record batches, or their records
    00000000000000000000.index        offset index: last offset of a batch, and where in the .log it begins
    00000000000000000000.timeindex    time index: the largest timestamp so far, and its offset
    00000000000000000000.txnindex     aborted transactions
    00000000000000000042.snapshot     producers as of an offset

A file that grows may end with zeros, which is room that was reserved; it is passed over.
"""

import mmap
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from ottla_apps.cli.errors import BadArgument, CommandError, DamagedFile
from ottla_apps.cli.internal_records import Content, reader_for
from ottla_apps.cli.output import Cell, Rows, Time
from ottla_broker.log.errors import CorruptFile
from ottla_broker.log.index import OffsetIndex, TimeIndex
from ottla_broker.log.producers import Producers
from ottla_broker.log.transactions import TransactionIndex
from ottla_wire.control_records import ControlType, control_type
from ottla_wire.errors import KafkaError
from ottla_wire.records import HEADER_SIZE, Compression, Record, RecordBatch, TimestampType

Row = Sequence[Cell]
Data = memoryview

_NAME = re.compile(r"([0-9]{20})\.(log|index|timeindex|txnindex|snapshot)(\.[a-z]+)?")
_ZEROS_AT_ONCE = 1024 * 1024

BATCH_COLUMNS = (
    "position",
    "size",
    "base_offset",
    "last_offset",
    "records",
    "leader_epoch",
    "max_timestamp",
    "compression",
    "producer_id",
    "producer_epoch",
    "base_sequence",
    "flags",
)
RECORD_COLUMNS = ("batch_offset", "offset", "timestamp", "key", "value", "headers", "control")
INTERNAL_COLUMNS = ("batch_offset", "offset", "timestamp", "type", "key", "value", "control")
PRODUCER_COLUMNS = (
    "producer_id",
    "producer_epoch",
    "coordinator_epoch",
    "last_sequence",
    "last_offset",
    "last_timestamp",
    "transaction_start_offset",
)


class _Kind(NamedTuple):
    """How files of one suffix are read: `read` yields rows, and raises DamagedFile where it cannot go on."""

    name: str
    columns: Sequence[str]
    read: Callable[[Path, int, Data], Iterator[Row]]


def read_files(paths: Iterable[Path], *, records: bool) -> Iterator[Rows]:
    """The contents of files, and of all such files in directories. With `records`, segments are records, not batches.

    Raises BadArgument for a file of another kind. Iterating the rows raises DamagedFile, and CommandError for a file
    that cannot be read.
    """
    for path in paths:
        found = [path]
        if path.is_dir():
            found = sorted(file for file in path.iterdir() if _NAME.fullmatch(file.name))
            if not found:
                raise BadArgument(f"{path} holds no files of a partition.")
        for file in found:
            yield _open(file, records=records)


def _open(path: Path, *, records: bool) -> Rows:
    match = _NAME.fullmatch(path.name)
    if not path.exists():
        raise BadArgument(f"{path} does not exist.")
    if match is None:
        raise BadArgument(
            f"{path} is not named like a file of a partition: an offset of 20 digits, then .log, .index, .timeindex, "
            f".txnindex or .snapshot."
        )
    kind = _KINDS[match[2]]
    if records and match[2] == "log":
        kind = _RECORDS if reader_for(path) is None else _INTERNAL_RECORDS
    return Rows(kind.name, kind.columns, _rows(path, int(match[1]), kind), {"file": str(path)})


def _rows(path: Path, base_offset: int, kind: _Kind) -> Iterator[Row]:
    with _mapped(path) as data:
        yield from kind.read(path, base_offset, data)


@contextmanager
def _mapped(path: Path) -> Iterator[Data]:
    """The contents of a file, without reading it as a whole."""
    try:
        with path.open("rb") as file:
            # An empty file cannot be mapped.
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if path.stat().st_size else b""
    except OSError as error:
        raise CommandError(f"{path} cannot be read: {error.strerror}.") from None
    # The mapping goes with the last view of it; rows may still refer to parts.
    yield memoryview(mapped)


def _damage(path: Path, position: int, reason: object) -> DamagedFile:
    return DamagedFile(f"{path} is damaged at byte {position}: {reason}.")


def _is_reserved(rest: Data) -> bool:
    """Whether nothing was written there yet."""
    return all(
        part.count(0) == len(part)
        for part in (bytes(rest[at : at + _ZEROS_AT_ONCE]) for at in range(0, len(rest), _ZEROS_AT_ONCE))
    )


# ---- segments


def _walk(path: Path, base_offset: int, data: Data) -> Iterator[tuple[int, RecordBatch]]:
    """The batches and where they begin, each of them checked."""
    position, next_offset = 0, base_offset
    while position < len(data):
        try:
            batch = RecordBatch(data, position)
            batch.validate()
        except KafkaError as error:
            if _is_reserved(data[position:]):
                return
            raise _damage(path, position, error.message) from None
        if batch.base_offset < next_offset:
            raise _damage(path, position, f"a batch begins at offset {batch.base_offset}, {next_offset} is next")
        yield position, batch
        position += batch.size
        next_offset = batch.next_offset


def _read_batches(path: Path, base_offset: int, data: Data) -> Iterator[Row]:
    for position, batch in _walk(path, base_offset, data):
        yield (
            position,
            batch.size,
            batch.base_offset,
            batch.last_offset,
            batch.record_count,
            batch.partition_leader_epoch,
            _time(batch.max_timestamp),
            Compression(batch.compression).name.lower(),
            batch.producer_id,
            batch.producer_epoch,
            batch.base_sequence,
            _flags(batch),
        )


def _flags(batch: RecordBatch) -> list[str]:
    flags = {
        "transactional": batch.is_transactional,
        "control": batch.is_control,
        "log_append_time": batch.timestamp_type is TimestampType.LOG_APPEND_TIME,
        "delete_horizon": batch.has_delete_horizon,
    }
    return [name for name, is_set in flags.items() if is_set]


def _records(path: Path, base_offset: int, data: Data) -> Iterator[tuple[RecordBatch, Record]]:
    for position, batch in _walk(path, base_offset, data):
        try:
            for record in batch.records():
                yield batch, record
        except KafkaError as error:
            raise _damage(path, position, error.message) from None


def _read_records(path: Path, base_offset: int, data: Data) -> Iterator[Row]:
    for batch, record in _records(path, base_offset, data):
        control = _control(record) if batch.is_control else None
        headers = [_header(name, value) for name, value in record.headers]
        key, value = (None, None) if control else (_text(record.key), _text(record.value))
        yield batch.base_offset, record.offset, _time(record.timestamp), key, value, headers, control


def _read_internal_records(path: Path, base_offset: int, data: Data) -> Iterator[Row]:
    read = reader_for(path)
    assert read is not None
    for batch, record in _records(path, base_offset, data):
        place = (batch.base_offset, record.offset, _time(record.timestamp))
        if batch.is_control:
            yield *place, None, None, None, _control(record)
        else:
            content = read(record) or Content("unknown", _text(record.key), _text(record.value))
            yield *place, *content, None


def _control(record: Record) -> str:
    """What a control record says, by its key: its value is for brokers."""
    number = control_type(record)
    known = number in ControlType.__members__.values()
    return ControlType(number).name.lower() if known else f"type {number}"


def _text(data: bytes | None) -> str | bytes | None:
    if data is None:
        return None
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data


def _header(name: str, value: bytes | None) -> str:
    return name if value is None else f"{name}={value.decode(errors='backslashreplace')}"


def _time(timestamp_ms: int) -> Time | None:
    return Time(timestamp_ms) if timestamp_ms >= 0 else None


# ---- indexes


def _entries(path: Path, data: Data, size: int) -> Iterator[int]:
    """The slots that are in use. Raises DamagedFile for half an entry at the end."""
    for slot in range(len(data) // size):
        rest = data[slot * size :]
        if len(rest) > size and _is_reserved(rest[:size]) and _is_reserved(rest):
            return
        yield slot
    if odd := len(data) % size:
        raise _damage(path, len(data) - odd, f"{odd} bytes are no entry, which has {size}")


def _read_offset_index(path: Path, base_offset: int, data: Data) -> Iterator[Row]:
    index = OffsetIndex(base_offset, data[: len(data) // OffsetIndex.ENTRY.size * OffsetIndex.ENTRY.size])
    segment = path.with_name(path.name.replace(".index", ".log"))
    last_offset, last_position = base_offset - 1, -1
    with _mapped(segment) if segment.exists() else _nothing() as batches:
        for slot in _entries(path, data, OffsetIndex.ENTRY.size):
            offset, position = index.entry(slot)
            at = slot * OffsetIndex.ENTRY.size
            if offset <= last_offset or position <= last_position:
                raise _damage(
                    path, at, f"the entry {offset} at {position} does not follow {last_offset} at {last_position}"
                )
            if batches is not None and not _is_batch(batches, position, offset):
                raise _damage(path, at, f"no batch that holds offset {offset} begins at byte {position} of the segment")
            last_offset, last_position = offset, position
            yield offset, position


@contextmanager
def _nothing() -> Iterator[None]:
    yield None


def _is_batch(segment: Data, position: int, offset: int) -> bool:
    """Whether a batch begins there that does not begin after the offset: an entry may span a few small ones."""
    if position + HEADER_SIZE > len(segment):
        return False
    try:
        return RecordBatch(segment, position).base_offset <= offset
    except KafkaError:
        return False


def _read_time_index(path: Path, base_offset: int, data: Data) -> Iterator[Row]:
    index = TimeIndex(base_offset, data[: len(data) // TimeIndex.ENTRY.size * TimeIndex.ENTRY.size])
    last_timestamp, last_offset = -1, base_offset - 1
    for slot in _entries(path, data, TimeIndex.ENTRY.size):
        timestamp, offset = index.entry(slot)
        if timestamp <= last_timestamp or offset <= last_offset:
            reason = f"the entry {timestamp} at offset {offset} does not follow {last_timestamp} at {last_offset}"
            raise _damage(path, slot * TimeIndex.ENTRY.size, reason)
        last_timestamp, last_offset = timestamp, offset
        yield Time(timestamp), offset


def _read_transaction_index(path: Path, base_offset: int, data: Data) -> Iterator[Row]:
    size = TransactionIndex.ENTRY.size
    index = TransactionIndex(data[: len(data) // size * size])
    last_marker = base_offset - 1
    for slot in _entries(path, data, size):
        entry = index.entry(slot)
        version = TransactionIndex.ENTRY.unpack_from(data, slot * size)[0]
        first, last = entry.first_offset, entry.last_offset
        if version != TransactionIndex.VERSION or first > last or last <= last_marker:
            reason = f"the entry has version {version} and goes from {first} to {last}"
            raise _damage(path, slot * size, reason)
        last_marker = last
        yield entry


def _read_snapshot(path: Path, _offset: int, data: Data) -> Iterator[Row]:
    try:
        producers = Producers.decode(bytes(data))
    except CorruptFile as error:
        raise _damage(path, 0, error) from None
    for state in producers:
        last = state.batches[-1] if state.batches else None
        yield (
            state.producer_id,
            state.epoch,
            state.coordinator_epoch,
            last and last.last_sequence,
            last and last.last_offset,
            _time(state.last_timestamp),
            state.transaction_first_offset if state.transaction_first_offset >= 0 else None,
        )


_RECORDS = _Kind("records", RECORD_COLUMNS, _read_records)
_INTERNAL_RECORDS = _Kind("internal_records", INTERNAL_COLUMNS, _read_internal_records)
_KINDS = {
    "log": _Kind("batches", BATCH_COLUMNS, _read_batches),
    "index": _Kind("offset_index", ("offset", "position"), _read_offset_index),
    "timeindex": _Kind("time_index", ("timestamp", "offset"), _read_time_index),
    "txnindex": _Kind(
        "transaction_index",
        ("producer_id", "first_offset", "last_offset", "last_stable_offset"),
        _read_transaction_index,
    ),
    "snapshot": _Kind("producers", PRODUCER_COLUMNS, _read_snapshot),
}
