"""What every table can do: be filtered, mapped, joined with others, followed as a stream and kept under another name.

A `View` is a table that is computed of others and kept nowhere: a look-up computes it of what they hold.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from ottla.errors import TopologyError
from ottla.hints import Selector, returned_type, selected, selected_type, value_codec
from ottla.joins.foreign_key import join_foreign
from ottla.joins.subscriptions import ForeignKeyJoin
from ottla.joins.table_table import Kind, TableJoin, TableJoinSide
from ottla.relations.change import Change, PassChanges, change_codec
from ottla.relations.suppress import Suppress, Suppression, WhenFull, suppress_spec, suppressed_reader
from ottla.relations.views import (
    ComputedPart,
    FilterChanges,
    MapChanges,
    NewValues,
    Reader,
    filtered_reader,
    mapped_reader,
)
from ottla.serdes import Codec
from ottla.state.logged import Changelog, Configured, checked_changelog, logged_as
from ottla.state.store import StoreSpec
from ottla.task.processor import TaskContext
from ottla.time import Duration, duration_ms
from ottla.topic import repartition_topic

if TYPE_CHECKING:
    from ottla.stream import Stream
    from ottla.tables import GroupedTable, Table
    from ottla.topology.graph import Graph

K = TypeVar("K")
V = TypeVar("V")
T = TypeVar("T")
R = TypeVar("R")


class Relation(Generic[K, V]):
    """Values by key that change. What it makes of itself are relations again, and cost no state."""

    key_codec: Codec[K]
    name: str

    @property
    def change_keys(self) -> Codec[Any]:
        """The codec of the keys of its changes."""
        return self.key_codec

    def changing(self) -> tuple[Graph, str]:
        """The graph, and the step in it that hands on the changes. Raises `TopologyError` if there is none."""
        raise NotImplementedError

    def specs(self) -> tuple[StoreSpec, ...]:
        """The stores that a step which looks values up needs."""
        raise NotImplementedError

    def reader(self, context: TaskContext) -> Reader:
        """Looks values up in a task that has those stores."""
        raise NotImplementedError

    def known_values(self, what: str) -> Codec[V]:
        """How to write the values. Raises `TopologyError`, naming what must write them, if their type is unknown."""
        raise NotImplementedError

    def filter(self, function: Callable[[V], object]) -> View[K, V]:
        """The keys for whose value the function is true."""
        graph, step = self.changing()
        name = graph.unique(f"{self.name}.filter")
        graph.add(
            name,
            "filter table",
            lambda context, step: FilterChanges(context, step, function),
            parents=(step,),
            functions=(function,),
        )
        return self._view(
            name, self._values(), lambda context: filtered_reader(self.reader(context), function), self.specs()
        )

    def map_values(self, function: Callable[[V], R], *, type: Any = None) -> View[K, R]:  # noqa: A002 - as in map
        """The function's value in the place of each value; None is no value. `type` is as for `Stream.map`."""
        graph, step = self.changing()
        name = graph.unique(f"{self.name}.map_values")
        graph.add(
            name,
            "map table",
            lambda context, step: MapChanges(context, step, function),
            parents=(step,),
            functions=(function,),
        )
        return self._view(
            name,
            value_codec(type if type is not None else returned_type(function)),
            lambda context: mapped_reader(self.reader(context), function),
            self.specs(),
        )

    @overload
    def join(
        self,
        other: Relation[K, T],
        joiner: Callable[[V, T], R],
        *,
        name: str | None = None,
        type: Any = None,
    ) -> View[K, R]: ...
    @overload
    def join(
        self,
        other: Relation[Any, T],
        joiner: Callable[[V, T], R],
        *,
        on: Selector,
        name: str | None = None,
        type: Any = None,
    ) -> Table[K, R]: ...
    def join(
        self,
        other: Relation[Any, Any],
        joiner: Callable[[Any, Any], Any],
        *,
        on: Selector | None = None,
        name: str | None = None,
        type: Any = None,  # noqa: A002 - as in map
    ) -> View[K, Any] | Table[K, Any]:
        """`joiner(value, other)` for each key that both have. A change of either is a change of the result.

        With `on`, a field of this table's values or a function of them, each value meets the other table's for the key
        that it finds there (KIP-213). The result is kept then, and `name` is its name; otherwise it names the step.
        `type` is the type of the results where the joiner has no annotation.
        """
        if on is not None:
            return self._join_foreign(other, joiner, on, name, type, keeps_left=False)
        return self._join(other, joiner, "inner", name, type)

    @overload
    def left_join(
        self,
        other: Relation[K, T],
        joiner: Callable[[V, T | None], R],
        *,
        name: str | None = None,
        type: Any = None,
    ) -> View[K, R]: ...
    @overload
    def left_join(
        self,
        other: Relation[Any, T],
        joiner: Callable[[V, T | None], R],
        *,
        on: Selector,
        name: str | None = None,
        type: Any = None,
    ) -> Table[K, R]: ...
    def left_join(
        self,
        other: Relation[Any, Any],
        joiner: Callable[[Any, Any], Any],
        *,
        on: Selector | None = None,
        name: str | None = None,
        type: Any = None,  # noqa: A002 - as in map
    ) -> View[K, Any] | Table[K, Any]:
        """As `join`, and `joiner(value, None)` for a key that the other lacks or a value that names none."""
        if on is not None:
            return self._join_foreign(other, joiner, on, name, type, keeps_left=True)
        return self._join(other, joiner, "left", name, type)

    def outer_join(
        self,
        other: Relation[K, T],
        joiner: Callable[[V | None, T | None], R],
        *,
        name: str | None = None,
        type: Any = None,  # noqa: A002 - as in map
    ) -> View[K, R]:
        """As `left_join`, and `joiner(None, other)` for a key that this one lacks."""
        return self._join(other, joiner, "outer", name, type)

    def to_stream(self) -> Stream[V | None]:
        """The new value of each change as an event, None for a key that was deleted."""
        from ottla.stream import Stream

        graph, step = self.changing()
        name = graph.unique(f"{self.name}.to_stream")
        graph.add(name, "to stream", lambda _, __: NewValues(), parents=(step,))
        return Stream(graph, name, self.key_codec, self._values())

    def changes(self) -> Stream[Change[V]]:
        """Each change as an event, with the value before it."""
        from ottla.stream import Stream

        graph, step = self.changing()
        name = graph.unique(f"{self.name}.changes")
        graph.add(name, "changes", lambda _, __: PassChanges(), parents=(step,))
        values = self._values()
        return Stream(graph, name, self.key_codec, None if values is None else change_codec(values))

    def suppress(
        self,
        within: Duration,
        *,
        max_records: int | None = None,
        max_bytes: int | None = None,
        when_full: WhenFull = "emit",
        name: str | None = None,
        changelog: Changelog = True,
    ) -> View[K, V]:
        """The same table, but of each key's changes only the last is told, `within` so much stream time of the first.

        Then that key's next change waits anew. Who looks a key up finds what was told of it last. `max_records` keys
        or `max_bytes` of them wait at most; when there are more, the oldest are told early, or with `when_full="fail"`
        the app stops. What waits is state, with a changelog, under `name` or one made of the table's; `changelog` is as
        for `App.Table`. (The final results of windows are `aggregate(emit="close")`.)
        """
        suppression = Suppression(duration_ms(within, "suppress(within=)"), max_records, max_bytes, when_full)
        graph, parent = self.changing()
        step = name or graph.unique(f"{self.name}-suppressed")
        held = suppress_spec(graph.app_id, step, self.change_keys, self.known_values("suppress()"))
        spec = logged_as(held, checked_changelog(f"suppress {step!r}", changelog))
        graph.add(
            step,
            "suppress",
            lambda context, own: Suppress(context, own, suppression),
            parents=(parent,),
            stores=(spec,),
            detail=str(timedelta(milliseconds=suppression.within_ms)),
        )
        return self._view(
            step,
            self._values(),
            lambda context: suppressed_reader(self.reader(context), context.stores[step]),
            (*self.specs(), spec),
        )

    def to_table(self, name: str, *, changelog: Configured = True) -> Table[K, V]:
        """A table that is kept under this name, with a changelog: for queries, and where look-ups should be cheap.

        `changelog` are configs of that, as for `App.Table`.
        """
        graph, step = self.changing()
        table = graph.derived_table(name, self.key_codec, self.known_values(f"to_table({name!r})"), changelog)
        graph.keep(table, step, of_changes=True)
        return table

    def group_by(
        self,
        key: Selector,
        *,
        name: str | None = None,
        type: Any = None,  # noqa: A002 - the word users know from topics and tables
        partitions: int | None = None,
    ) -> GroupedTable:
        """The rows by a field of the value or a function of it, to be aggregated; a row whose group is None is in none.

        They go through the topic `APP-NAME-repartition`, as those of `Stream.group_by`, whose arguments these are.
        """
        from ottla.stream import Stream
        from ottla.tables import GroupedTable
        from ottla.tables.aggregated import GroupChanges

        graph, parent = self.changing()
        label = key if isinstance(key, str) else getattr(key, "__name__", "")
        if name is None and not label.isidentifier():
            raise TopologyError(f"group_by on {self!r} needs a name for its topic: name=")
        step = name or graph.unique(f"{self.name}-by-{label}")
        values = self.known_values(f"group_by({label or step!r})")
        select = selected(key, values)
        key_type = type if type is not None else selected_type(key, values)
        topic = repartition_topic(graph.app_id, step, key_type, change_codec(values), partitions)
        graph.add(
            step,
            "group table",
            lambda context, own: GroupChanges(context, own, select),
            parents=(parent,),
            functions=(select,),
        )
        grouped: Stream[Any] = Stream(graph, step, topic.key_codec, topic.value_codec).through(topic)
        return GroupedTable(graph, grouped.step, topic.key_codec, values)

    def check_keys(self, other: Relation[Any, Any], how: str) -> None:
        """Raises `TopologyError` if equal keys of both would not meet in one task."""
        if self.changing()[0] is not other.changing()[0]:
            raise TopologyError(f"{how}: {self!r} and {other!r} belong to two apps")
        if self.change_keys.name != other.change_keys.name:
            raise TopologyError(
                f"{how}: {self!r} has keys of {self.change_keys.name} and {other!r} of {other.change_keys.name}: equal "
                "keys would not be equal bytes, and not in one partition; declare one type for both"
            )

    def _values(self) -> Codec[V] | None:
        raise NotImplementedError

    def derived(self, name: str, values: Codec[Any]) -> tuple[Table[K, Any], Callable[[str], None]]:
        """A table of the same keys and other values, and what says which step hands those on, under the keys of
        changes."""
        graph, _ = self.changing()
        table = graph.derived_table(name, self.key_codec, values)
        return table, lambda step: graph.keep(table, step)

    def _view(
        self,
        step: str,
        values: Codec[Any] | None,
        reader: Callable[[TaskContext], Reader],
        specs: tuple[StoreSpec, ...],
    ) -> View[K, Any]:
        """The view that a step of this table's graph makes of it."""
        return View(self, step, values, reader, specs)

    def _join(
        self, other: Relation[K, Any], joiner: Callable[[Any, Any], R], kind: Kind, name: str | None, type_: Any
    ) -> View[K, R]:
        label = "join" if kind == "inner" else f"{kind}_join"
        _check_table(label, other)
        self.check_keys(other, label)
        (graph, left), (_, right) = self.changing(), other.changing()
        step = name or graph.unique(f"{self.name}-{label}-{other.name}")
        join = TableJoin(step, kind, joiner)
        graph.add(
            f"{step}.left",
            f"table {label} side",
            lambda context, _: TableJoinSide(context, join, other.reader(context), is_left=True),
            parents=(left,),
            reads=other.specs(),
            functions=(joiner,),
        )
        graph.add(
            f"{step}.right",
            f"table {label} side",
            lambda context, _: TableJoinSide(context, join, self.reader(context), is_left=False),
            parents=(right,),
            reads=self.specs(),
            functions=(joiner,),
        )
        graph.add(step, f"table {label}", lambda _, __: PassChanges(), parents=(f"{step}.left", f"{step}.right"))
        specs = {spec.name: spec for spec in (*self.specs(), *other.specs())}
        return self._view(
            step,
            value_codec(type_ if type_ is not None else returned_type(joiner)),
            lambda context: join.reader(self.reader(context), other.reader(context)),
            tuple(specs.values()),
        )

    def _join_foreign(
        self,
        other: Relation[Any, Any],
        joiner: Callable[[Any, Any], Any],
        on: Selector,
        name: str | None,
        type_: Any,
        *,
        keeps_left: bool,
    ) -> Table[K, Any]:
        _check_table("join", other)
        (graph, _), (other_graph, _) = self.changing(), other.changing()
        if graph is not other_graph:
            raise TopologyError(f"join: {self!r} and {other!r} belong to two apps")
        if other.change_keys is not other.key_codec:
            raise TopologyError(
                f"join: {other!r} has a value for each key and window, and what a value names is one key: keep what is "
                "to be found under it in a table of its own, as .to_stream().to_table(name) does"
            )
        step = name or f"{self.name}-join-{other.name}"
        values = value_codec(type_ if type_ is not None else returned_type(joiner))
        if values is None:
            raise TopologyError(
                f"join {step!r} must keep its results and cannot see their type: annotate what the joiner returns, or "
                "name it, as in .join(table, joiner, on=..., type=Report)"
            )
        select = selected(on, self._values())
        return join_foreign(ForeignKeyJoin(step, self, other, joiner, select, keeps_left), values)


class View(Relation[K, V]):
    """A table that is computed of others. Made by the methods of tables; `to_table` keeps it."""

    def __init__(
        self,
        parent: Relation[K, Any],
        step: str,
        values: Codec[V] | None,
        reader: Callable[[TaskContext], Reader],
        specs: tuple[StoreSpec, ...],
    ) -> None:
        self.name = step
        self.key_codec = parent.key_codec
        self._graph = parent.changing()[0]
        self._value_codec = values
        self._reader = reader
        self._specs = specs

    def __repr__(self) -> str:
        return f"<view {self.name}>"

    def changing(self) -> tuple[Graph, str]:
        return self._graph, self.name

    def specs(self) -> tuple[StoreSpec, ...]:
        return self._specs

    def reader(self, context: TaskContext) -> Reader:
        return self._reader(context)

    def part_in(self, context: TaskContext) -> ComputedPart:
        """The part of one task, for look-ups."""
        return ComputedPart(self.reader(context))

    def known_values(self, what: str) -> Codec[V]:
        if self._value_codec is None:
            raise TopologyError(
                f"{what} must write the values of {self!r} and cannot see their type: annotate what the function "
                "that makes them returns, or name it with type="
            )
        return self._value_codec

    def _values(self) -> Codec[V] | None:
        return self._value_codec


def _check_table(how: str, other: object) -> None:
    if not isinstance(other, Relation):
        raise TopologyError(
            f"a table's {how} takes another table, not {other!r}; a stream meets a table by stream.{how}(table, joiner)"
        )
