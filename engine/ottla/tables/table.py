"""Tables: keyed state, one part per partition, that commits together with the outputs and offsets of its task.

A table is written by agents (`cancelled[carrier] += 1`) and backed by a changelog topic, or it is read from a
topic, whose newest value per key it holds. Which part of it a line of code means is the task in which the line
runs: an event sees the keys of its own partition, as in Kafka Streams and Faust.
"""

from __future__ import annotations

from collections.abc import Callable, ItemsView, Iterator, KeysView, MutableMapping, ValuesView
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, TypeVar, overload

from ottla.errors import ConfigError, EncodeError, NotInTask, TopologyError, Unavailable
from ottla.hints import check_hashable
from ottla.relations.relation import Relation
from ottla.relations.views import Reader, Stamped, stamped
from ottla.serdes import Codec, state_codec_for
from ottla.state.cache import StoreCache
from ottla.state.expiring import expiring_spec
from ottla.state.format import format_of
from ottla.state.logged import Changelog, logged_as
from ottla.state.pairs import behind_prefix
from ottla.state.store import Part, StoreSpec
from ottla.state.window_slots import Slot, WindowCache, window_spec
from ottla.task.processor import TaskContext, current
from ottla.time import Duration, duration_ms
from ottla.topic import Topic, check_partitions
from ottla.windows.definitions import Window

if TYPE_CHECKING:
    from ottla.tables.windowed import WindowedTable
    from ottla.topology.graph import Graph

K = TypeVar("K")
V = TypeVar("V")
D = TypeVar("D")

REQUIRED: Final = object()
"""In the place of the default of `pop`: the key must be there."""


class Table(MutableMapping[K, V], Relation[K, V]):
    """A table of keys `K` and values `V`. Made by `App.Table`.

    Inside an agent or operator it behaves as a dict of its task's part. `default` makes the value of a key that is
    missing (`int`, `list`, a lambda); it is not stored until it is assigned. Values are kept by reference: who
    changes one in place assigns it again. Assigning None deletes the key, as a null value does in a changelog. With
    `ttl_ms` an entry ends when stream time is so much past the event that wrote it last.

    Iteration goes in the order of the encoded keys, through memory and store together, and holds no more in memory
    than what is not committed yet. Entries may be written meanwhile: a deletion ahead is seen, a new key may be missed.
    `len` counts by going through all keys.
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
        ttl_ms: int | None = None,
        spec: StoreSpec | None = None,
    ) -> None:
        if default is not None and not callable(default):
            raise TopologyError(f"table {name!r}: default={default!r} must be callable, like int, list or a lambda")
        check_partitions(f"table {name!r}", partitions)
        check_hashable(f"table {name!r}", key_codec)
        self.name = name
        spec = spec if spec is not None else table_spec(app_id, name, key_codec, value_codec, ttl_ms)
        if not spec.format.kind:
            kind = f"{type(self).__name__} with time to live" if ttl_ms is not None else type(self).__name__
            spec = replace(spec, format=format_of(kind, key_codec, value_codec))
        self.spec = spec
        self.key_codec = key_codec
        self.value_codec = value_codec
        self.default = default
        # Values of this class are not looked at; where there is none, the codec looks when they are written.
        self._class: type | None = value_codec.type if value_codec.type in _SCALARS else None
        if value_codec.exact is not None:
            self._class = value_codec.exact.of
        self.source = source
        self.partitions = partitions
        self.ttl_ms = ttl_ms
        self.changelog: Changelog = True
        """Whether a changelog keeps what is written to it, and how its topic is configured."""
        self._has_windows = False
        self.graph: Graph | None = None
        """The graph that has a step which keeps the table, unless agents write it. Set when it is declared."""
        self.home: Graph | None = None
        """The graph in which it was declared."""
        self.declared: Table[Any, Any] = self
        """The table that was declared, of which this may be a view by time."""

    tells_writes = True
    """Whether what agents write to it is a change of one key's value."""

    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        """Whether it is the same table. Its content is in the tasks, not here."""
        return self is other

    def __repr__(self) -> str:
        return f"<table {self.name}>"

    # -- one key

    def __getitem__(self, key: K) -> V:
        try:
            value = current.get().stores[self.name].get(key)
        except LookupError:
            value = self._part().get(key)
        return self.or_default(key) if value is None else value

    def __setitem__(self, key: K, value: V | None) -> None:
        try:
            context = current.get()
            store = context.stores[self.name]
        except LookupError:
            context = self._context()
            store = self._store(context)
        self.check_writable()
        if type(value) is not self._class:
            self.check_value(value)
        self._write(context, store, key, value)

    def __delitem__(self, key: K) -> None:
        if key not in self:
            raise KeyError(key)
        self[key] = None

    def __contains__(self, key: object) -> bool:
        return self._part().get(key) is not None

    @overload
    def get(self, key: K) -> V | None: ...
    @overload
    def get(self, key: K, default: D) -> V | D: ...
    def get(self, key: K, default: Any = None) -> Any:
        """The value of the key, or `default`; the table's own default is not used."""
        return self._part().get(key, default)

    def pop(self, key: K, default: Any = REQUIRED) -> Any:
        """Removes the key and returns its value, or `default`. Raises `KeyError` if there is neither."""
        value = self._part().get(key)
        if value is None:
            if default is REQUIRED:
                raise KeyError(key)
            return default
        self[key] = None
        return value

    def setdefault(self, key: K, default: Any = None) -> Any:
        """The value of the key. A key that is missing gets `default`, or else the table's default, and keeps it."""
        value = self._part().get(key)
        if value is None:
            self[key] = value = self.or_default(key) if default is None else default
        return value

    # -- many keys

    def __iter__(self) -> Iterator[K]:
        return (key for key, _ in self._entries())

    def __reversed__(self) -> Iterator[K]:
        return (key for key, _ in self._entries(reverse=True))

    def __len__(self) -> int:
        return sum(1 for _ in self._entries())

    def __bool__(self) -> bool:
        return any(True for _ in self._entries())

    def keys(self) -> KeysView[K]:
        """The keys of this task's part, in the order of their encoded form."""
        return _Keys(self)

    def values(self) -> ValuesView[V]:
        """The values of this task's part, in the order of their keys."""
        return _Values(self)

    def items(self) -> ItemsView[K, V]:
        """Keys and values of this task's part, in the order of the encoded keys."""
        return _Items(self)

    def range(self, start: K | None = None, end: K | None = None, *, reverse: bool = False) -> Iterator[tuple[K, V]]:
        """Keys and values with start <= key < end, by the order of the encoded keys; None leaves a side open.

        The smallest comes first, or with `reverse` the largest.

        That is the order of code points for `str`, of bytes for `bytes`, and of size for `int` that are not negative.
        """
        encode = self.key_codec.encode
        first, last = (None if bound is None else encode(bound) for bound in (start, end))
        return self._entries(first, last, reverse=reverse)

    def prefix(self, prefix: K, *, reverse: bool = False) -> Iterator[tuple[K, V]]:
        """Keys and values of the keys that begin with the prefix, in order, or with `reverse` the largest first.

        For keys that are `str` or `bytes`.
        """
        if not isinstance(prefix, (str, bytes)):
            raise ConfigError(f"table {self.name!r}: a prefix of keys is str or bytes, not {prefix!r}")
        encoded = self.key_codec.encode(prefix)
        if encoded != (prefix if isinstance(prefix, bytes) else prefix.encode()):
            raise ConfigError(
                f"table {self.name!r} has keys of {self.key_codec.name}, whose bytes do not begin as the keys do; "
                "declare it with key=str or key=bytes to look for prefixes"
            )
        return self._entries(encoded, behind_prefix(encoded), reverse=reverse)

    def clear(self) -> None:
        """Deletes all keys of this task's part."""
        for key in self:
            self[key] = None

    # -- windows

    def tumbling(self, size: Duration, expires: Duration | None = None) -> WindowedTable[K, V]:
        """The table with windows side by side: what it gives is used in its place.

        A window is over when stream time is `expires` past its end; without that its values stay for ever.
        """
        size_ms = duration_ms(size, "a window's size")
        return self._windowed(Window(size_ms, size_ms), expires)

    def hopping(self, size: Duration, step: Duration, expires: Duration | None = None) -> WindowedTable[K, V]:
        """The table with windows of `size` that begin every `step`; otherwise as `tumbling`."""
        window = Window(duration_ms(size, "a window's size"), duration_ms(step, "a window's step"))
        return self._windowed(window, expires)

    def _windowed(self, window: Window, expires: Duration | None) -> WindowedTable[K, V]:
        from ottla.tables.windowed import WindowedTable  # It is a table itself.

        if type(self) is not Table or self.source is not None or self.spec.cache is not None:
            raise TopologyError(f"{self!r} cannot have windows: only a table that agents write can, without ttl=")
        expires_ms = None if expires is None else duration_ms(expires, "a window's expires")
        spec = window_spec(self.name, self.spec.changelog, self.key_codec, self.value_codec, window.size_ms, expires_ms)
        laid_out = str(window).partition(" grace ")[0]
        self.spec = replace(spec, format=format_of("WindowedTable", self.key_codec, self.value_codec, laid_out))
        self._has_windows = True
        return WindowedTable(self, window)

    # -- a part of it, for whoever holds one: tests, queries from outside, joins

    def part_in(self, context: TaskContext) -> Part:
        """The part of one task."""
        return self._store(context)

    @property
    def has_windows(self) -> bool:
        """Whether it has a value for each key and window."""
        return self._has_windows

    @property
    def found_type(self) -> Any:
        """The type of what `lookup` finds."""
        return dict[int, self.value_codec.type] if self._has_windows else self.value_codec.type  # type: ignore[name-defined]

    def lookup(self, part: Part, key: K) -> Any:
        """The value of the key in one part, or None. In a table with windows those of all of them, by their starts."""
        if self._has_windows and not isinstance(key, Slot):
            assert isinstance(part, WindowCache), "the spec of a table with windows makes such a cache"
            return part.windows_of(key) or None
        return part.get(key)

    def entries(
        self, part: Part, start: bytes | None = None, end: bytes | None = None, *, reverse: bool = False
    ) -> Iterator[tuple[K, V]]:
        """Keys and values of one part with start <= encoded key < end, in order, or the last first."""
        return part.range(start, end, reverse=reverse)

    # -- as what changes

    @property
    def times(self) -> StoreSpec:
        """The store of the times of the entries, for those who join them: `TableSource` keeps it once one does."""
        name = f"{self.spec.name}-times"
        changelog = f"{self.spec.changelog.removesuffix('-changelog')}-times-changelog"
        return StoreSpec(
            name,
            changelog,
            self.key_codec.encode,
            self.key_codec.decode,
            _TIME.encode,
            _TIME.decode,
            format=format_of("times of a table", self.key_codec, _TIME),
        )

    def changing(self) -> tuple[Graph, str]:
        if self.ttl_ms is not None:
            raise TopologyError(
                f"{self!r} has ttl=: its entries end without an event, so what is made of its changes would "
                "keep them; leave ttl= out, and send null values for what is to be deleted"
            )
        if self.graph is not None:
            return self.graph, self.graph.changes_of(self)
        if self.home is None or self._has_windows or not self.tells_writes:
            raise TopologyError(
                f"{self!r} is no stream of changes: tables that can be joined with others, filtered and followed are "
                "those of single values that agents write, that are read from a topic, app.Table(source=), or made of "
                "a stream, stream.to_table()"
            )
        return self.home, self.home.written_changes_of(self)

    @property
    def kept_spec(self) -> StoreSpec:
        """The store behind it, with the changelog that was asked for."""
        return logged_as(self.spec, self.declared.changelog)

    def specs(self) -> tuple[StoreSpec, ...]:
        return self.kept_spec, self.times

    def reader(self, context: TaskContext) -> Reader:
        get, time = self.part_in(context).get, context.stores[self.times.name].get

        def read(key: Any) -> Stamped | None:
            return stamped(get(key), time(key, -1))

        return read

    def known_values(self, what: str) -> Codec[V]:  # noqa: ARG002 - a table's are always known
        return self.value_codec

    def _values(self) -> Codec[V] | None:
        return self.value_codec

    def check_value(self, value: V | None) -> None:
        """Raises `EncodeError` for what is none of the table's values, as far as their class tells."""
        if value is None or self._class is None or type(value) is self._class:
            return
        try:
            self.value_codec.encode(value)
        except Unavailable:
            raise
        except Exception as error:  # whatever a codec raises
            raise EncodeError(
                f"{value!r:.200} cannot be a value of table {self.name!r}, whose values are {self.value_codec.name}: "
                f"{error}"
            ) from error

    def check_writable(self) -> None:
        """Raises `TopologyError` if only a topic or a step may write the table."""
        if self.source is not None:
            raise TopologyError(
                f"table {self.name!r} is read from topic {self.source.name!r}: send to the topic instead"
            )
        if self.graph is not None:
            raise TopologyError(f"table {self.name!r} is made of other events: only they can change it")

    def _write(self, context: TaskContext, store: StoreCache, key: Any, value: Any) -> None:
        """Sets or deletes, so that it can be taken back when the event fails."""
        cursor = context.cursor
        if cursor is not None:
            context.journal.append((cursor.row, store, key, store.stored(key)))
        if value is None:
            store.delete(key)
        else:
            store.put(key, value)

    def _entries(
        self, start: bytes | None = None, end: bytes | None = None, *, reverse: bool = False
    ) -> Iterator[tuple[K, V]]:
        return self.entries(self._part(), start, end, reverse=reverse)

    def or_default(self, key: Any) -> V:
        """The default, for a key that is missing. Raises `KeyError` if there is none."""
        if self.default is None:
            raise KeyError(key)
        return self.default()

    def _part(self) -> Part:
        """The part of the task that is running."""
        return self.part_in(self._context())

    def _store(self, context: TaskContext) -> StoreCache:
        try:
            return context.stores[self.name]
        except KeyError:
            raise NotInTask(
                f"task {context.task} holds no part of table {self.name!r}: its use was not seen in the code; "
                f"name it, as in @app.agent(..., uses=[{self.name}])"
            ) from None

    def _context(self) -> TaskContext:
        try:
            return current.get()
        except LookupError:
            raise NotInTask(
                f"table {self.name!r} can be used only in an agent or operator while its task runs; "
                f"in tests read it with driver.table({self.name!r})"
            ) from None


_TIME = state_codec_for(int)
_SCALARS = (int, float, str, bytes, bool)


class _Keys(KeysView[K]):
    _mapping: Table[K, Any]


class _Values(ValuesView[V]):
    _mapping: Table[Any, V]

    def __iter__(self) -> Iterator[V]:
        return (value for _, value in self._mapping.range())

    def __contains__(self, value: object) -> bool:
        return any(value == each for each in self)


class _Items(ItemsView[K, V]):
    _mapping: Table[K, V]

    def __iter__(self) -> Iterator[tuple[K, V]]:
        return self._mapping.range()


def changelog_topic(app_id: str, table: str) -> str:
    """The topic from which a table that agents write is restored."""
    return f"{app_id}-{table}-changelog"


def table_spec(app_id: str, name: str, key: Codec[Any], value: Codec[Any], ttl_ms: int | None = None) -> StoreSpec:
    """The store behind a table, whose entries may have a time to live."""
    if ttl_ms is not None:
        return expiring_spec(name, changelog_topic(app_id, name), key, value, ttl_ms)
    return StoreSpec(
        name=name,
        changelog=changelog_topic(app_id, name),
        encode_key=key.encode,
        decode_key=key.decode,
        # What is put into the table was looked at before.
        encode_value=value.encode if value.exact is None else value.exact.encode,
        decode_value=value.decode,
    )
