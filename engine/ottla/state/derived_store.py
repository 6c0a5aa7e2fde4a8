"""The copy of a global table that holds what a function makes of each record of its topic.

    k KEY            -> the value of an entry
    s KEY            -> the keys of the entries that the newest record of this key made
    o PARTITION      -> the next offset to read of it, 8 bytes

What a record made is deleted when a newer one of its key comes, so that the table is a function of the newest records
alone: it is the same whether the topic was compacted before it was read or not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from ottla.deadletters.policy import FailureKind
from ottla.errors import Unavailable
from ottla.serdes import Codec
from ottla.state.changes import Change
from ottla.state.global_store import KEYS, GlobalPartition, GlobalStore
from ottla.state.store import KeyValueStore, StoreSpec
from ottla.transport.contract import Message

_SOURCES = b"s"

Entries = Callable[[Any, Any], Mapping[Any, Any]]
"""Makes the entries of a record, of its key and value."""

Failed = Callable[[FailureKind, StoreSpec, Exception, bytes | None, bytes | None], None]
"""Is told of a record that is of no use: the kind of failure, the table, the error, key and value. Raises to end it."""

_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(list[bytes]).decode


class DerivedStore(GlobalStore):
    """Reads entries as any global table. `failed` is told of records that cannot be decoded, or on which the function
    raises: they make no entries, unless it raises in its turn."""

    def __init__(
        self,
        spec: StoreSpec,
        store: KeyValueStore,
        *,
        capacity: int = 100_000,
        keys: Codec[Any],
        values: Codec[Any],
        entries: Entries,
    ) -> None:
        super().__init__(spec, store, capacity=capacity)
        self._record_keys = keys
        self._record_values = values
        self._entries = entries
        self.failed: Failed = _raised

    def partition(self, number: int) -> _DerivedPartition:
        return _DerivedPartition(self._store, number, self)

    def apply(self, partition: int, messages: Sequence[Message]) -> None:
        part = self.partition(partition)
        part.write_batch([(each.key(), each.value()) for each in messages], messages[-1].offset() + 1)
        for key in part.changed:
            self._decoded.pop(key, None)

    def made_of(self, key: bytes | None, value: bytes | None) -> dict[bytes, bytes]:
        """The entries of a record, encoded; none of one that is deleted, or has failed."""
        if value is None:
            return {}
        kind: FailureKind = "deserialization"
        try:
            decoded_key = None if key is None else self._record_keys.decode(key)
            decoded = self._record_values.decode(value)
            kind = "processing"
            entries = self._entries(decoded_key, decoded)
            kind = "production"
            encode_key, encode_value = self.spec.encode_key, self.spec.encode_value
            return {encode_key(each): encode_value(made) for each, made in entries.items() if made is not None}
        except Unavailable:
            raise
        except Exception as error:
            self.failed(kind, self.spec, error, key, value)
            return {}


class _DerivedPartition(GlobalPartition):
    """What came from one partition. `changed` are the keys of the entries that the last batch changed."""

    def __init__(self, store: KeyValueStore, partition: int, table: DerivedStore) -> None:
        super().__init__(store, partition)
        self.changed: set[bytes] = set()
        self._table = table

    def _prefixed(self, changes: Sequence[tuple[bytes | None, bytes | None]], offset: int | None) -> list[Change]:
        entries: dict[bytes, bytes | None] = {}
        sources: dict[bytes, list[bytes]] = {}
        for key, value in changes:
            made = self._table.made_of(key, value)
            if key is not None:
                before = sources.get(key)
                if before is None:
                    stored = self._store.get(_SOURCES + key)
                    before = [] if stored is None else _unpack(stored)
                entries |= dict.fromkeys(before)
                sources[key] = list(made)
            entries |= made
        self.changed = set(entries)
        prefixed: list[Change] = [(KEYS + key, value) for key, value in entries.items()]
        prefixed += [(_SOURCES + key, _pack(made) if made else None) for key, made in sources.items()]
        return prefixed + super()._prefixed([], offset)


def _raised(_kind: FailureKind, _spec: StoreSpec, error: Exception, _key: bytes | None, _value: bytes | None) -> None:
    raise error


def open_global(spec: StoreSpec, store: KeyValueStore, failed: Failed) -> GlobalStore:
    """The copy in a store, of the kind that its spec asks for; `failed` is told of records that are of no use to it."""
    copy: GlobalStore = (spec.cache or GlobalStore)(spec, store)
    if isinstance(copy, DerivedStore):
        copy.failed = failed
    return copy
