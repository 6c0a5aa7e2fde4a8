"""How coordinators keep records in a log: a key with its type, a value with its version. Pure.

Both begin with an int16. In front of a key it says which kind of record this is, in front of a value which version of
the kind's schema follows; no value is a tombstone.
"""

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ottla_broker.coordinator.decision import CoordinatorRecord
from ottla_broker.coordinator.errors import UnreadableRecord
from ottla_wire.errors import MalformedMessage
from ottla_wire.message import Message

_PREFIX = struct.Struct(">h")


@dataclass(frozen=True, slots=True)
class RecordType:
    """A kind of record: under which types it may be read (the last one is written), and its schemas."""

    types: tuple[int, ...]
    key: type[Message]
    value: type[Message]
    write_version: int


class RecordCodec:
    """Reads and writes the records of one coordinator.

    `value_version` may ask for another version than the type's for a single value.
    """

    def __init__(
        self, types: Sequence[RecordType], value_version: Callable[[Message], int | None] = lambda _value: None
    ) -> None:
        self._by_type = {number: record for record in types for number in record.types}
        self._by_key = {record.key: record for record in types}
        self._value_version = value_version

    def encode(self, record: CoordinatorRecord) -> tuple[bytes, bytes | None]:
        """The key and value of a record as they go into the log."""
        record_type = self._by_key[type(record.key)]
        key = _PREFIX.pack(record_type.types[-1]) + record.key.encode(0)
        if record.value is None:
            return key, None
        version = self._value_version(record.value)
        if version is None:
            version = record_type.write_version
        return key, _PREFIX.pack(version) + record.value.encode(version)

    def decode(self, key: bytes | None, value: bytes | None) -> CoordinatorRecord:
        """Read a record back. Raises UnreadableRecord for one of a type or version that is not ours, or cut short."""
        try:
            (number,) = _PREFIX.unpack_from(key or b"")
            record_type = self._by_type.get(number)
            if record_type is None:
                raise UnreadableRecord(f"records of type {number} are not known to this version")
            decoded_key, _ = record_type.key.decode(key or b"", 0, _PREFIX.size)
            if value is None:
                return CoordinatorRecord(decoded_key, None)
            (version,) = _PREFIX.unpack_from(value)
            if version not in record_type.value.versions:
                raise UnreadableRecord(f"{record_type.value.__name__} has no version {version}")
            decoded_value, _ = record_type.value.decode(value, version, _PREFIX.size)
        except (struct.error, MalformedMessage) as error:
            raise UnreadableRecord(f"a record cannot be read: {error}") from error
        return CoordinatorRecord(decoded_key, decoded_value)
