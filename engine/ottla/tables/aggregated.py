"""Tables of aggregates: what is computed of all events of a key, or of all rows of a table that are in one group.

Kafka Streams' rules, record by record (`KStreamAggregate`, `KTableAggregate`): every event changes the aggregate of
its key and emits it, at the newest time of what is in it; events without a key or a value are dropped. A row of a table
that changes is taken out of the aggregate of its old group and put into that of its new one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from ottla.aggregations import Aggregation, Compiled, State, compile_aggregations, describe_aggregations
from ottla.errors import TopologyError
from ottla.relations.change import Change, ChangeStep, old_is_taken
from ottla.relations.views import Reader
from ottla.serdes import Codec, state_codec_for
from ottla.state.aggregates import AggregateCache, aggregate_spec
from ottla.state.format import format_of
from ottla.state.logged import Changelog, checked_changelog
from ottla.state.store import StoreSpec
from ottla.tables.table import Table, changelog_topic
from ottla.task.batch import Batch, Rows
from ottla.task.processor import Place, TaskContext

if TYPE_CHECKING:
    from ottla.topology.graph import Graph

K = TypeVar("K")
V = TypeVar("V")


class AggregatedTable(Table[K, V]):
    """A table of aggregates. Made by `Stream.aggregate` and `GroupedTable.aggregate`; only these change it."""

    def __init__(self, app_id: str, name: str, key_codec: Codec[K], compiled: Compiled, definition: str) -> None:
        spec = aggregate_spec(name, changelog_topic(app_id, name), key_codec, compiled)
        super().__init__(app_id, name, key_codec, state_codec_for(compiled.result_type), spec=spec)
        stored = format_of("table of aggregates", key_codec, state_codec_for(compiled.state_type), definition)
        self.spec = replace(spec, format=stored)
        self.compiled = compiled

    def part_in(self, context: TaskContext) -> AggregateCache:
        part = self._store(context)
        assert isinstance(part, AggregateCache), "the spec of a table of aggregates makes such a cache"
        return part

    def changing(self) -> tuple[Graph, str]:
        assert self.graph is not None, "a table of aggregates is declared with the step that keeps it"
        return self.graph, step_of(self.name)

    def specs(self) -> tuple[StoreSpec, ...]:
        return (self.kept_spec,)

    def reader(self, context: TaskContext) -> Reader:
        state_of, result = self.part_in(context).state, self.compiled.result

        def read(key: Any) -> tuple[Any, int] | None:
            state = state_of(key)
            return None if state is None else (result(state), state[0])

        return read


def step_of(table: str) -> str:
    """The name of the step that keeps a table."""
    return f"table.{table}"


def aggregated_table(
    graph: Graph,
    step: str,
    name: str,
    key: Codec[Any],
    values: Codec[Any] | None,
    aggregations: Mapping[str, Aggregation],
    *,
    of_changes: bool,
    changelog: Changelog,
) -> AggregatedTable[Any, Any]:
    """Declares a table of aggregates of what a step hands on: events, or changes of rows."""
    compiled = compile_aggregations(name, aggregations, values)
    if of_changes and compiled.undo is None:
        lasting = next(field for field, each in aggregations.items() if not each.undo)
        raise TopologyError(
            f"aggregate({name!r}): {lasting}={aggregations[lasting].kind}() cannot take back the old value of a row "
            "that changes; use count, sum, mean, collect, or reduce() with remove="
        )
    return keep_aggregates(
        graph,
        (step,),
        name,
        key,
        compiled,
        definition=describe_aggregations(aggregations),
        functions=[function for each in aggregations.values() for function in each.functions],
        of_changes=of_changes,
        changelog=changelog,
    )


def keep_aggregates(
    graph: Graph,
    steps: tuple[str, ...],
    name: str,
    key: Codec[Any],
    compiled: Compiled,
    *,
    definition: str,
    functions: Sequence[Callable[..., Any]],
    of_changes: bool,
    changelog: Changelog,
) -> AggregatedTable[Any, Any]:
    """Declares a table of aggregates of what steps hand on, computed as compiled: what that is, `definition` says."""
    table: AggregatedTable[Any, Any] = AggregatedTable(graph.app_id, name, key, compiled, definition)
    table.graph = graph
    table.changelog = checked_changelog(f"aggregate({name!r})", changelog)
    graph.table(table)
    graph.add(
        step_of(name),
        "table",
        lambda context, own: (AggregateChanges if of_changes else AggregateEvents)(context, own, table),
        parents=steps,
        tables=(table,),
        functions=functions,
        detail=definition,
    )
    return table


class AggregateEvents(ChangeStep):
    """Keeps a table of aggregates of events, and hands on how it changes."""

    def __init__(self, context: TaskContext, name: str, table: AggregatedTable[Any, Any]) -> None:
        super().__init__()
        self._context = context
        self._name = name
        self._part = table.part_in(context)
        self._compiled = table.compiled

    @property
    def takes_old(self) -> bool:
        return False

    async def receive(self, batch: Batch) -> None:
        out = Rows()
        part, result, counts = self._part, self._compiled.result, self._context.counts
        with_old = old_is_taken(self.children)
        for row, (key, value, timestamp) in enumerate(zip(batch.keys, batch.values, batch.timestamps, strict=True)):
            if key is None or value is None:
                counts.null_key_dropped += key is None
                counts.null_value_dropped += key is not None
                continue
            try:
                before = part.state(key)
                state = self.next(before, value, timestamp)
                if state is None:
                    continue
                old, new = result(before) if with_old and before is not None else None, result(state)
                if new is None:
                    part.delete(key)
                else:
                    part.put(key, state)
                out.add(key, Change(old, new), state[0], batch.origins[row])
            except Exception as error:
                self._context.reject(self._name, error, batch, row)
        await self.forward(out.batch())

    def next(self, state: State | None, value: Any, timestamp: int) -> State | None:
        """The state of a key with one more event; None if there is none."""
        return self._compiled.update(state, value, timestamp)


class AggregateChanges(AggregateEvents):
    """Keeps a table of aggregates of rows that change."""

    @property
    def takes_old(self) -> bool:
        return True

    def next(self, state: State | None, value: Change[Any], timestamp: int) -> State | None:
        undo = self._compiled.undo
        assert undo is not None, "checked where the table was declared"
        if value.old is not None and state is not None:
            state = undo(state, value.old, timestamp)
        return state if value.new is None else self._compiled.update(state, value.new, timestamp)


class GroupedTable:
    """The rows of a table by group. Made by the `group_by` of tables; `aggregate` makes a table of them again."""

    def __init__(self, graph: Graph, step: str, key_codec: Codec[Any], value_codec: Codec[Any]) -> None:
        self._graph = graph
        self._step = step
        self._key_codec = key_codec
        self._value_codec = value_codec

    def __repr__(self) -> str:
        return f"<groups {self._step}>"

    def aggregate(
        self, name: str, *, changelog: Changelog = True, **aggregations: Aggregation
    ) -> AggregatedTable[Any, Any]:
        """Aggregates the rows of each group: `aggregate("stock", pieces=sum("quantity"))`.

        A row that changes is taken out as it was and put in as it is, so that the aggregate is always that of the rows
        there are; a group that has lost all its rows keeps the aggregate of none. `name` names the table, its state and
        its changelog; `changelog` is as for `App.Table`.
        """
        return aggregated_table(
            self._graph,
            self._step,
            name,
            self._key_codec,
            self._value_codec,
            aggregations,
            of_changes=True,
            changelog=changelog,
        )


class GroupChanges(ChangeStep):
    """Gives the rows of a table that changed the keys of their groups: the old row that of its group, the new of its.

    Where both are of one group they stay one change (KIP-904), so that no aggregate is seen without either.
    """

    def __init__(self, context: TaskContext, name: str, select: Callable[[Any], Any]) -> None:
        super().__init__()
        self._context = context
        self._name = name
        self._select = select

    async def receive(self, batch: Batch) -> None:
        out = Rows()
        for row, (change, timestamp) in enumerate(zip(batch.values, batch.timestamps, strict=True)):
            origin = batch.origins[row]
            self._context.called_for = Place(batch, row)
            try:
                old, new = (None if each is None else self._select(each) for each in (change.old, change.new))
            except Exception as error:
                self._context.reject(self._name, error, batch, row)
                continue
            finally:
                self._context.called_for = None
            if old is not None and old == new:
                out.add(old, change, timestamp, origin)
                continue
            if old is not None:
                out.add(old, Change(change.old, None), timestamp, origin)
            if new is not None:
                out.add(new, Change(None, change.new), timestamp, origin)
        await self.forward(out.batch())
