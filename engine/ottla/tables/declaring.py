"""How an app declares its tables: `app.Table`, `app.GlobalTable`, `app.SetTable`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, overload

from ottla.errors import ConfigError, TopologyError
from ottla.serdes import Codec, Part, checked_state_codec_for, codec_for, state_key_codec_for
from ottla.serdes.supported import check_supported
from ottla.state.logged import Changelog, Configured, checked_changelog
from ottla.tables import GlobalTable, SetTable, Table, VersionedTable, changelog_topic
from ottla.tables.global_sets import SetGlobalTable
from ottla.tables.global_table import DerivedGlobalTable
from ottla.tables.written_global import WrittenGlobalTable
from ottla.time import Duration, duration_ms
from ottla.topic import Topic

if TYPE_CHECKING:
    from ottla.state.store import Part as StorePart
    from ottla.state.store import StoreSpec
    from ottla.topology.graph import Graph

K = TypeVar("K")
V = TypeVar("V")
T = TypeVar("T")
U = TypeVar("U")


class DeclaresTables:
    """The part of an `App` by which its tables are declared: mixed into it."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self.held_parts: Callable[[StoreSpec], Sequence[StorePart]] | None = None
        """The parts of a table that the worker in this process has, as they were last committed; None without one."""

    @overload
    def Table(
        self,
        name: str,
        *,
        default: Callable[[], V] | None = None,
        source: Topic[K, V],
        versioned: Duration,
        changelog: Configured = True,
    ) -> VersionedTable[K, V]: ...
    @overload
    def Table(
        self,
        name: str,
        *,
        key: type[K],
        value: type[V],
        default: Callable[[], V] | None = None,
        partitions: int | None = None,
        versioned: Duration,
        changelog: Changelog = True,
    ) -> VersionedTable[K, V]: ...
    @overload
    def Table(
        self,
        name: str,
        *,
        default: Callable[[], V] | None = None,
        source: Topic[K, V],
        ttl: Duration | None = None,
        changelog: Configured = True,
    ) -> Table[K, V]: ...
    @overload
    def Table(
        self,
        name: str,
        *,
        key: type[K],
        value: type[V],
        default: Callable[[], V] | None = None,
        source: Topic[K, V],
        ttl: Duration | None = None,
        changelog: Configured = True,
    ) -> Table[K, V]: ...
    @overload
    def Table(
        self,
        name: str,
        *,
        key: type[K],
        value: type[V],
        default: Callable[[], V] | None = None,
        partitions: int | None = None,
        ttl: Duration | None = None,
        changelog: Changelog = True,
    ) -> Table[K, V]: ...
    @overload
    def Table(
        self,
        name: str,
        *,
        value: type[V],
        default: Callable[[], V] | None = None,
        partitions: int | None = None,
        ttl: Duration | None = None,
        changelog: Changelog = True,
    ) -> Table[Any, V]: ...
    @overload
    def Table(
        self,
        name: str,
        *,
        key: type[K],
        default: Callable[[], V],
        partitions: int | None = None,
        ttl: Duration | None = None,
        changelog: Changelog = True,
    ) -> Table[K, V]: ...
    @overload
    def Table(
        self,
        name: str,
        *,
        default: Callable[[], V],
        partitions: int | None = None,
        ttl: Duration | None = None,
        changelog: Changelog = True,
    ) -> Table[Any, V]: ...
    @overload
    def Table(
        self,
        name: str,
        *,
        key: Any = None,
        value: Any = None,
        default: Any = None,
        partitions: int | None = None,
        ttl: Duration | None = None,
        changelog: Changelog = True,
    ) -> Table[Any, Any]: ...
    def Table(  # noqa: N802 - Faust's name
        self,
        name: str,
        *,
        key: Any = None,
        value: Any = None,
        default: Callable[[], Any] | None = None,
        source: Topic[Any, Any] | None = None,
        partitions: int | None = None,
        ttl: Duration | None = None,
        versioned: Duration | None = None,
        changelog: Changelog = True,
    ) -> Table[Any, Any]:
        """Declares a table: written by agents and backed by a changelog, or read from the topic `source`.

        `key` and `value` are types, serdes or names of codecs. Without `value` it is the type that `default` is, if
        that is one (`int`).
        `partitions` states how many parts the table has; it has as many as the inputs of the agents that use it, and an
        app whose counts differ is refused at start. With `ttl` an entry ends when stream time is that much past the
        event that wrote it last: it is neither read nor iterated any more, and is deleted in time.
        With `versioned` the table also knows what its values were, for that long (`VersionedTable`).
        With `changelog=False` the state is only where it is written: no topic keeps it, and a worker that takes a part
        over from another begins with an empty one, as does one that does not find it as it was at the last commit. With
        `changelog={"segment.bytes": "1048576"}` the topic is created with these configs, by Kafka's names; one that is
        there already stays as it is.
        """
        if source is not None:
            if changelog is False:
                raise ConfigError(
                    f"table {name!r} has a source and changelog=False: what was read of the topic would be missing "
                    "wherever it was not read"
                )
            _check_source(name, source)
            _same_types(name, source, key, value)
            key_codec, value_codec = source.key_codec, source.value_codec.kept
        else:
            key_codec, value_codec = self._state_codecs(name, key, value, default)
        table: Table[Any, Any]
        if versioned is not None:
            if ttl is not None:
                raise ConfigError(f"table {name!r} has ttl= and versioned=: values either end or become the past")
            table = VersionedTable(
                self._graph.app_id,
                name,
                key_codec,
                value_codec,
                retention_ms=_positive_ms(f"table {name!r}: versioned", versioned),
                default=default,
                source=source,
                partitions=partitions,
            )
        else:
            table = Table(
                self._graph.app_id,
                name,
                key_codec,
                value_codec,
                default=default,
                source=source,
                partitions=partitions,
                ttl_ms=None if ttl is None else _positive_ms(f"table {name!r}: ttl", ttl),
            )
        table.changelog = checked_changelog(f"table {name!r}", changelog)
        self._graph.table(table)
        return table

    @overload
    def GlobalTable(
        self, name: str, *, default: Callable[[], V] | None = None, source: Topic[K, V]
    ) -> GlobalTable[K, V]: ...
    @overload
    def GlobalTable(
        self,
        name: str,
        *,
        key: type[K],
        value: type[V],
        default: Callable[[], V] | None = None,
        source: Topic[T, U],
        entries: Callable[[T, U], Mapping[K, V | None]],
    ) -> GlobalTable[K, V]: ...
    @overload
    def GlobalTable(
        self,
        name: str,
        *,
        key: type[K],
        value: type[V],
        default: Callable[[], V] | None = None,
        partitions: int | None = None,
        changelog: Configured = True,
    ) -> GlobalTable[K, V]: ...
    @overload
    def GlobalTable(
        self,
        name: str,
        *,
        key: Any = None,
        value: Any = None,
        default: Any = None,
        partitions: int | None = None,
        changelog: Configured = True,
    ) -> GlobalTable[Any, Any]: ...
    def GlobalTable(  # noqa: N802 - Faust's name
        self,
        name: str,
        *,
        key: Any = None,
        value: Any = None,
        default: Callable[[], Any] | None = None,
        source: Topic[Any, Any] | None = None,
        entries: Callable[[Any, Any], Mapping[Any, Any]] | None = None,
        partitions: int | None = None,
        changelog: Changelog = True,
    ) -> GlobalTable[Any, Any]:
        """Declares a table of which every worker holds all: the newest record of each key of the topic `source`, or
        what agents write.

        It can be looked up in any agent or operator, and joined by any key: `stream.join(table, joiner, key="owner")`.
        Its topic needs no particular partition count. A worker reads it whole before it processes anything.

        With `entries`, a function of a record's key and value, it holds the entries that this makes of each, of types
        `key` and `value`, in the place of the record: an index, say. When a record is replaced or deleted, so is what
        it made; two records should not make one key. A record on which the function raises, or that cannot be decoded,
        is left out and logged, or stops the worker where the app's `on_error` is "fail".

        One without a source is written by the agents that name it, `@app.agent(topic, uses=[table])`, each key by the
        tasks of its partition: under the key of the event at hand, or one that would be in the same partition. These
        read their keys as they wrote them; everybody else reads what was committed, soon after. `key`, `value`,
        `partitions` and `changelog` are as for `Table`.
        """
        if source is not None:
            _check_source(name, source)
            if partitions is not None or changelog is not True:
                raise ConfigError(f"global table {name!r} is its topic {source.name!r}, and has no changelog or parts")
            table: GlobalTable[Any, Any]
            if entries is None:
                _same_types(name, source, key, value)
                table = GlobalTable(name, source, default=default)
            else:
                codecs = self._state_codecs(name, key, value, default)
                table = DerivedGlobalTable(name, source, entries, *codecs, default=default)
        elif entries is not None:
            raise ConfigError(f"global table {name!r} has entries= and no source=, the topic to make them of")
        else:
            _check_written(name, changelog)
            key_codec, value_codec = self._state_codecs(name, key, value, default)
            table = WrittenGlobalTable(
                self._graph.app_id, name, key_codec, value_codec, default=default, partitions=partitions
            )
            table.changelog = checked_changelog(f"table {name!r}", changelog)
        self._graph.global_table(table)
        return table

    def _state_codecs(self, name: str, key: Any, value: Any, default: Any) -> tuple[Codec[Any], Codec[Any]]:
        """How the keys and values of a table that agents write are kept."""
        value_type = value if value is not None else default if isinstance(default, type) else Any
        topic = changelog_topic(self._graph.app_id, name)
        check_supported(key, f"key of table {name!r}")
        check_supported(value_type, f"value of table {name!r}")
        return state_key_codec_for(key, topic), checked_state_codec_for(value_type, topic)

    @overload
    def SetTable(
        self,
        name: str,
        *,
        key: type[K],
        value: type[V],
        partitions: int | None = None,
        ttl: Duration | None = None,
        changelog: Changelog = True,
    ) -> SetTable[K, V]: ...
    @overload
    def SetTable(
        self,
        name: str,
        *,
        key: Any = None,
        value: Any = None,
        partitions: int | None = None,
        ttl: Duration | None = None,
        changelog: Changelog = True,
    ) -> SetTable[Any, Any]: ...
    def SetTable(  # noqa: N802 - Faust's name
        self,
        name: str,
        *,
        key: Any = None,
        value: Any = None,
        partitions: int | None = None,
        ttl: Duration | None = None,
        changelog: Changelog = True,
    ) -> SetTable[Any, Any]:
        """Declares a table whose values are sets of elements of type `value`: `members["red"].add("Ann")`.

        Each element is an entry of its own, so that sets may be large, and with `ttl` has a time to live of its own.
        `changelog` is as for `Table`.
        """
        table: SetTable[Any, Any] = SetTable(
            self._graph.app_id,
            name,
            *self._set_codecs(name, key, value),
            partitions=partitions,
            ttl_ms=None if ttl is None else _positive_ms(f"table {name!r}: ttl", ttl),
        )
        table.changelog = checked_changelog(f"table {name!r}", changelog)
        self._graph.table(table)
        return table

    @overload
    def SetGlobalTable(
        self,
        name: str,
        *,
        key: type[K],
        value: type[V],
        partitions: int | None = None,
        changelog: Configured = True,
    ) -> SetGlobalTable[K, V]: ...
    @overload
    def SetGlobalTable(
        self,
        name: str,
        *,
        key: Any = None,
        value: Any = None,
        partitions: int | None = None,
        changelog: Configured = True,
    ) -> SetGlobalTable[Any, Any]: ...
    def SetGlobalTable(  # noqa: N802 - Faust's name
        self,
        name: str,
        *,
        key: Any = None,
        value: Any = None,
        partitions: int | None = None,
        changelog: Changelog = True,
    ) -> SetGlobalTable[Any, Any]:
        """Declares a table of sets of which every worker holds all, written by the agents that name it: as a
        `SetTable`, and as a `GlobalTable` without a source."""
        _check_written(name, changelog)
        codecs = self._set_codecs(name, key, value)
        table: SetGlobalTable[Any, Any] = SetGlobalTable(self._graph.app_id, name, *codecs, partitions=partitions)
        table.changelog = checked_changelog(f"table {name!r}", changelog)
        self._graph.global_table(table)
        return table

    def _set_codecs(self, name: str, key: Any, value: Any) -> tuple[Codec[Any], Codec[Any]]:
        """How the keys and elements of a table of sets are kept."""
        topic = changelog_topic(self._graph.app_id, name)
        check_supported(key, f"key of set table {name!r}")
        check_supported(value, f"value of set table {name!r}")
        return state_key_codec_for(key, topic), state_key_codec_for(value, topic)


def _check_source(name: str, source: object) -> None:
    if not isinstance(source, Topic):
        raise TopologyError(f"table {name!r}: source={source!r} must be a topic, as app.topic() declares it")


def _check_written(name: str, changelog: object) -> None:
    if changelog is False:
        raise ConfigError(f"global table {name!r} has no source and changelog=False: nobody could read it")


def _positive_ms(what: str, duration: Duration) -> int:
    milliseconds = duration_ms(duration, what)
    if milliseconds == 0:
        raise ConfigError(f"{what} must be positive, or nothing would ever be there")
    return milliseconds


def _same_types(name: str, source: Topic[Any, Any], key: Any, value: Any) -> None:
    parts: list[tuple[Part, Any, Codec[Any]]] = [("key", key, source.key_codec), ("value", value, source.value_codec)]
    for part, given, codec in parts:
        if given is not None and (stated := codec_for(given, source.name, part).name) != codec.name:
            raise TopologyError(
                f"table {name!r} has {part}={stated} but its topic {source.name!r} has {codec.name}: "
                "leave it out, it is the topic's"
            )
