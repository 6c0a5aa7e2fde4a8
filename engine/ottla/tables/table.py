"""Tables: keyed state, one part per partition, that commits together with the outputs and offsets of its task.

A table is written by agents (`cancelled[carrier] += 1`) and backed by a changelog topic, or it is read from a
topic, whose newest value per key it holds. Which part of it a line of code means is the task in which the line
runs: an event sees the keys of its own partition, as in Kafka Streams and Faust.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar, overload

from ottla.errors import NotInTask, TopologyError
from ottla.processor import current
from ottla.serdes import Codec
from ottla.state.cache import StoreCache
from ottla.state.store import StoreSpec
from ottla.topic import Topic

K = TypeVar("K")
V = TypeVar("V")
D = TypeVar("D")


class Table(Generic[K, V]):
    """A table of keys `K` and values `V`. Made by `App.Table`.

    Inside an agent or operator it behaves as a dict of its task's part. `default` makes the value of a key that is
    missing (`int`, `list`, a lambda); it is not stored until it is assigned. Values are kept by reference: who
    changes one in place assigns it again. Assigning None deletes the key, as a null value does in a changelog.
    """

    def __init__(
        self,
        app_id: str,
        name: str,
        key_codec: Codec[K],
        value_codec: Codec[V],
        *,
        default: Callable[[], V] | None = None,
        source: Topic[K, V] | None = None,
        partitions: int | None = None,
    ) -> None:
        if default is not None and not callable(default):
            raise TopologyError(f"table {name!r}: default={default!r} must be callable, like int, list or a lambda")
        self.name = name
        self.spec = table_spec(app_id, name, key_codec, value_codec)
        self.key_codec = key_codec
        self.value_codec = value_codec
        self.default = default
        self.source = source
        self.partitions = partitions

    def __repr__(self) -> str:
        return f"<table {self.name}>"

    def __getitem__(self, key: K) -> V:
        try:
            value = current.get().stores[self.name].get(key)
        except LookupError:
            value = self._store().get(key)
        if value is None:
            if self.default is None:
                raise KeyError(key)
            return self.default()
        return value  # type: ignore[no-any-return]

    def __setitem__(self, key: K, value: V | None) -> None:
        try:
            context = current.get()
            store = context.stores[self.name]
        except LookupError:
            self._store()
            raise
        if self.source is not None:
            raise TopologyError(
                f"table {self.name!r} is read from topic {self.source.name!r}: send to the topic instead"
            )
        cursor = context.cursor
        if cursor is not None:
            context.journal.append((cursor.row, store, key, store.get(key)))
        if value is None:
            store.delete(key)
        else:
            store.put(key, value)

    def __delitem__(self, key: K) -> None:
        if key not in self:
            raise KeyError(key)
        self[key] = None

    def __contains__(self, key: object) -> bool:
        return self._store().get(key) is not None

    @overload
    def get(self, key: K) -> V | None: ...
    @overload
    def get(self, key: K, default: D) -> V | D: ...
    def get(self, key: K, default: Any = None) -> Any:
        """The value of the key, or `default`; the table's own default is not used."""
        return self._store().get(key, default)

    def pop(self, key: K, default: Any = None) -> Any:
        """Removes the key and returns its value, or `default`."""
        value = self._store().get(key)
        if value is None:
            return default
        self[key] = None
        return value

    def __iter__(self) -> Iterator[K]:
        return (key for key, _ in self._store().range())

    def keys(self) -> Iterator[K]:
        """The keys of this task's part, in the order of their encoded form."""
        return iter(self)

    def values(self) -> Iterator[V]:
        """The values of this task's part, in the order of their keys."""
        return (value for _, value in self._store().range())

    def items(self) -> Iterator[tuple[K, V]]:
        """Keys and values of this task's part, in the order of the encoded keys."""
        return self._store().range()

    def _store(self) -> StoreCache:
        try:
            context = current.get()
        except LookupError:
            raise NotInTask(
                f"table {self.name!r} can be used only in an agent or operator while its task runs; "
                f"in tests read it with driver.table({self.name!r})"
            ) from None
        try:
            return context.stores[self.name]
        except KeyError:
            raise NotInTask(
                f"task {context.task} holds no part of table {self.name!r}: its use was not seen in the code; "
                f"name it, as in @app.agent(..., uses=[{self.name}])"
            ) from None


def changelog_topic(app_id: str, table: str) -> str:
    """The topic from which a table that agents write is restored."""
    return f"{app_id}-{table}-changelog"


def table_spec(app_id: str, name: str, key: Codec[Any], value: Codec[Any]) -> StoreSpec:
    """The store behind a table."""
    return StoreSpec(
        name=name,
        changelog=changelog_topic(app_id, name),
        encode_key=key.encode,
        decode_key=key.decode,
        encode_value=value.encode,
        decode_value=value.decode,
    )
