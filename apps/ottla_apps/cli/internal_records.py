"""The records of the brokers' own topics, read by their schemas: what groups, transactions and the cluster are made of.

    __consumer_offsets      offsets, classic groups, consumer groups
    __transaction_state     transactional ids
    __cluster_metadata      topics, partitions, brokers, settings, features

The directory of a partition says which topic it belongs to. A record that cannot be read, such as one of a newer
version of Apache Kafka, is shown as it is stored.
"""

import re
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from ottla_apps.cli.output import Cell
from ottla_apps.cli.topics import id_text
from ottla_broker.cluster.records import decode_record
from ottla_broker.coordinator import consumer_records, group_records, transaction_records
from ottla_broker.coordinator.errors import UnreadableRecord
from ottla_broker.coordinator.records import RecordCodec
from ottla_broker.errors import UnknownRecord
from ottla_wire.errors import MalformedMessage
from ottla_wire.message import Struct
from ottla_wire.records import Record

_PARTITION = re.compile(r"(?P<topic>__[a-z_]+)-[0-9]+")


class Content(NamedTuple):
    """What a record says: its kind, and key and value as plain cells. A `value` of None is a tombstone."""

    kind: str
    key: Cell
    value: Cell


Reader = Callable[[Record], Content | None]


def reader_for(segment: Path) -> Reader | None:
    """What reads the records of a segment, if it belongs to one of the brokers' own topics; None for any other.

    The reader returns None for a record that it cannot read.
    """
    match = _PARTITION.fullmatch(segment.absolute().parent.name)
    return _READERS.get(match["topic"]) if match else None


def _coordinator(codec: RecordCodec) -> Reader:
    def read(record: Record) -> Content | None:
        try:
            found = codec.decode(record.key, record.value)
        except UnreadableRecord:
            return None
        return Content(_kind(found.key), _plain(found.key), _plain(found.value))

    return read


def _metadata(record: Record) -> Content | None:
    try:
        found = decode_record(record.value or b"")
    except (UnknownRecord, MalformedMessage):
        return None
    return Content(_kind(found), None, _plain(found))


_READERS: dict[str, Reader] = {
    "__consumer_offsets": _coordinator(RecordCodec((*group_records.RECORD_TYPES, *consumer_records.RECORD_TYPES))),
    "__transaction_state": _coordinator(RecordCodec(transaction_records.RECORD_TYPES)),
    "__cluster_metadata": _metadata,
}


def _kind(record: Struct) -> str:
    """`OffsetCommitKey` -> `offset_commit`."""
    name = type(record).__name__.removesuffix("Key").removesuffix("Record")
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


def _plain(value: object) -> Cell:
    """A structure as a mapping, without what is left at null."""
    if isinstance(value, Struct):
        fields = {field.name: _plain(getattr(value, field.name)) for field in type(value).fields}
        return {name: cell for name, cell in fields.items() if cell is not None}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, uuid.UUID):
        return id_text(value)
    return value
