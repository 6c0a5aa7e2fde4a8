"""The copy of a whole topic that a global table is: all its partitions in one store, each with an offset of its own.

In the store a key is kept behind one byte, and so is the offset of a partition:

    k KEY            -> the newest value of the key
    o PARTITION      -> the next offset to read of it, 8 bytes

In that of a table which agents write, the partition, 4 bytes, is before each value: whose part a key is in.

A batch of messages and the offset behind them are written together, so that a crash leaves the copy exact for its
offsets, as it does every other store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from ottla.errors import DecodeError, Unavailable
from ottla.state.changes import Change, KeyRange
from ottla.state.store import KeyValueStore, StoreSpec
from ottla.transport.contract import Message

KEYS = b"k"
"""What is before the key of an entry."""
_BEHIND_KEYS, _OFFSETS = b"l", b"o"
_UNKNOWN: Final = object()
_ORIGIN_BYTES = 4


class GlobalPartition:
    """What came from one partition, as a `KeyValueStore` to restore. Reading it gives what came from all."""

    def __init__(self, store: KeyValueStore, partition: int) -> None:
        self._store = store
        self._offset_key = _OFFSETS + partition.to_bytes(4, "big")

    @property
    def offset(self) -> int | None:
        stored = self._store.get(self._offset_key)
        return None if stored is None else int.from_bytes(stored, "big")

    @property
    def age_ms(self) -> int | None:
        return self._store.age_ms

    def get(self, key: bytes) -> bytes | None:
        return self._store.get(KEYS + key)

    def range(
        self, start: bytes | None = None, end: bytes | None = None, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        first = KEYS if start is None else KEYS + start
        last = _BEHIND_KEYS if end is None else KEYS + end
        return ((key[1:], value) for key, value in self._store.range(first, last, reverse=reverse))

    def write_batch(
        self,
        changes: Sequence[tuple[bytes | None, bytes | None]],
        offset: int | None,
        dropped: Sequence[KeyRange] = (),
    ) -> None:
        self._store.write_batch(self._prefixed(changes, offset), None, _prefixed_ranges(dropped))

    def restore(
        self,
        changes: Sequence[tuple[bytes | None, bytes | None]],
        offset: int | None,
        dropped: Sequence[KeyRange] = (),
    ) -> None:
        self._store.restore(self._prefixed(changes, offset), None, _prefixed_ranges(dropped))

    def _prefixed(self, changes: Sequence[tuple[bytes | None, bytes | None]], offset: int | None) -> list[Change]:
        # Who restores from a topic of any origin meets records without a key, which belong to no entry.
        prefixed: list[Change] = [(KEYS + key, value) for key, value in changes if key is not None]
        if offset is not None:
            prefixed.append((self._offset_key, offset.to_bytes(8, "big")))
        return prefixed

    def clear(self) -> None:
        """Forgets what came from all partitions: a key's entry does not tell from which it is."""
        self._store.clear()

    def close(self) -> None:
        """The store is closed by whoever opened it."""


class GlobalStore:
    """A global table as a worker holds it: read by all its tasks, written by nobody but its topic.

    `spec.changelog` names the topic. Up to `capacity` entries are kept decoded.
    """

    def __init__(self, spec: StoreSpec, store: KeyValueStore, *, capacity: int = 100_000) -> None:
        self.spec = spec
        self.partitions = 1
        """How many partitions the topic has, once that is known."""
        self._store = store
        self._all = GlobalPartition(store, 0)
        self._capacity = capacity
        self._decoded: dict[bytes, Any] = {}

    def partition(self, number: int) -> GlobalPartition:
        """The part that is restored from one partition of the topic."""
        return GlobalPartition(self._store, number)

    def apply(self, partition: int, messages: Sequence[Message]) -> None:
        """Takes what came after: the newest record of a key is its value, a null value deletes it."""
        changes = [(key, message.value()) for message in messages if (key := message.key()) is not None]
        self.partition(partition).write_batch(changes, messages[-1].offset() + 1)
        for key, _ in changes:
            self._decoded.pop(key, None)

    def get(self, key: Any, default: Any = None) -> Any:
        """The value of the key, or `default`. Raises `DecodeError` for a record that is not as declared."""
        encoded = self.spec.encode_key(key)
        value = self._decoded.get(encoded, _UNKNOWN)
        if value is _UNKNOWN:
            value = self._load(key, encoded)
        return default if value is None else value

    def __contains__(self, key: Any) -> bool:
        return self._all.get(self.spec.encode_key(key)) is not None

    def range(
        self, start: bytes | None = None, end: bytes | None = None, *, reverse: bool = False
    ) -> Iterator[tuple[Any, Any]]:
        """The entries with start <= encoded key < end in the order of the encoded keys, or the last first.

        Raises `DecodeError` for a record that is not as declared.
        """
        for encoded, data in self._all.range(start, end, reverse=reverse):
            key = self._readable(self.spec.decode_key, encoded, "as a key")
            yield key, self._readable(self._decode, data, f"for key {key!r}")

    def close(self) -> None:
        self._store.close()

    def _decode(self, data: bytes) -> Any:
        return self.spec.decode_value(data)

    def _load(self, key: Any, encoded: bytes) -> Any:
        data = self._all.get(encoded)
        value = None if data is None else self._readable(self._decode, data, f"for key {key!r}")
        if len(self._decoded) >= self._capacity:
            self._decoded.clear()
        self._decoded[encoded] = value
        return value

    def _readable(self, decode: Callable[[bytes], Any], data: bytes, where: str) -> Any:
        try:
            return decode(data)
        except Unavailable:
            raise
        except Exception as error:  # whatever a codec raises
            raise DecodeError(
                f"global table {self.spec.name!r} cannot decode what topic {self.spec.changelog!r} has {where}: {error}"
            ) from error


class WrittenGlobalStore(GlobalStore):
    """The copy of a global table that agents write, each task its own part."""

    def partition(self, number: int) -> GlobalPartition:
        return _MarkedPartition(self._store, number)

    def get(self, key: Any, default: Any = None) -> Any:
        found = super().get(key)
        return default if found is None else found[1]

    def origin(self, key: Any) -> int | None:
        """The partition that wrote the key."""
        found: tuple[int, Any] | None = super().get(key)
        return None if found is None else found[0]

    def range(
        self, start: bytes | None = None, end: bytes | None = None, *, reverse: bool = False
    ) -> Iterator[tuple[Any, Any]]:
        return ((key, value) for key, (_, value) in super().range(start, end, reverse=reverse))

    def of_others(
        self, partition: int, start: bytes | None = None, end: bytes | None = None, *, reverse: bool = False
    ) -> Iterator[tuple[Any, Any]]:
        """As `range`, of what other partitions wrote."""
        found = super().range(start, end, reverse=reverse)
        return ((key, value) for key, (origin, value) in found if origin != partition)

    def _decode(self, data: bytes) -> tuple[int, Any]:
        return int.from_bytes(data[:_ORIGIN_BYTES], "big"), self.spec.decode_value(data[_ORIGIN_BYTES:])


class _MarkedPartition(GlobalPartition):
    """What came from one partition, whose number is kept with each value."""

    def __init__(self, store: KeyValueStore, partition: int) -> None:
        super().__init__(store, partition)
        self._origin = partition.to_bytes(_ORIGIN_BYTES, "big")

    def _prefixed(self, changes: Sequence[tuple[bytes | None, bytes | None]], offset: int | None) -> list[Change]:
        origin = self._origin
        return super()._prefixed([(key, None if value is None else origin + value) for key, value in changes], offset)


def _prefixed_ranges(ranges: Sequence[KeyRange]) -> list[KeyRange]:
    return [(KEYS + start, KEYS + end) for start, end in ranges]
