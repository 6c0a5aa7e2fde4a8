"""A stream-table join looks each event up in the table as it is when the event is taken.

Kafka Streams' rules, record by record (`KStreamKTableJoinProcessor`): a change of the table emits nothing; the
result has the key, time and headers of the stream's event; an event with a null value is dropped, and one without a
key to look up too, unless the join is a left join and the event's own key is null as well, which then finds nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import TYPE_CHECKING, Any

from ottla.batch import Batch
from ottla.errors import TopologyError
from ottla.hints import Selector, returned_type, selected, value_codec
from ottla.operators import call
from ottla.processor import Processor, TaskContext
from ottla.tables import GlobalTable, Table

if TYPE_CHECKING:
    from ottla.stream import Stream

Joiner = Callable[[Any, Any], Any]


@dataclass(frozen=True, slots=True)
class TableJoin:
    """A join as declared. `key` finds the key to look up in an event's value; without it, it is the event's own."""

    table: Table[Any, Any]
    joiner: Joiner
    left: bool
    key: Callable[[Any], Any] | None


def join_table(
    stream: Stream[Any],
    table: Table[Any, Any],
    joiner: Joiner,
    *,
    left: bool,
    key: Selector | None,
    type_: Any,
) -> Stream[Any]:
    """Adds the step of a join and returns the stream of its results."""
    kind = "left_join" if left else "join"
    if isinstance(table, GlobalTable):
        if key is None:
            stream.check_meets(table, kind)
    elif key is not None:
        raise TopologyError(
            f"{kind} with {table!r}: only a global table can be joined by another key than the event's, for it is on "
            f"every worker; declare it as one, or give the events that key first: .group_by({key!r})"
        )
    elif table.source is not None:
        stream.check_meets(table, kind)
    join = TableJoin(table, joiner, left, None if key is None else selected(key))
    graph = stream.graph
    step = graph.unique(f"{stream.step}.{kind}.{table.name}")
    graph.add(
        step,
        kind,
        lambda context, name: StreamTableJoin(context, name, join),
        parents=(stream.step,),
        functions=(joiner,) if join.key is None else (joiner, join.key),
        tables=(table,),
    )
    return stream.behind(step, value_codec(type_ if type_ is not None else returned_type(joiner)))


class StreamTableJoin(Processor):
    """`joiner(value, table's value)` for each event; None for a key the table lacks when `left`, nothing otherwise."""

    def __init__(self, context: TaskContext, name: str, join: TableJoin) -> None:
        super().__init__()
        self._context = context
        self._name = name
        self._join = join
        self._part = join.table.part_in(context)
        get = self._part.get
        self._look_up = (lambda key: None if key is None else get(key)) if join.left else get

    async def receive(self, batch: Batch) -> None:
        batch, keys = self._joinable(batch)
        batch, rights = call(self._context, self._name, self._look_up, batch, keys)
        if not self._join.left:
            found = [right is not None for right in rights]
            if not all(found):
                batch, rights = batch.where(found), list(compress(rights, found))
        batch, results = call(self._context, self._name, self._join.joiner, batch, batch.values, rights)
        await self.forward(batch.with_values(results))

    def _joinable(self, batch: Batch) -> tuple[Batch, Sequence[Any]]:
        """The events that have something to join, and the keys to look up."""
        counts = self._context.counts
        no_value = sum(value is None for value in batch.values)
        if no_value:
            counts.null_value_dropped += no_value
            batch = batch.where([value is not None for value in batch.values])
        keys: Sequence[Any] = batch.keys
        if self._join.key is not None:
            batch, keys = call(self._context, self._name, self._join.key, batch, batch.values)
        no_key = sum(key is None for key in keys)
        if no_key:
            kept = [
                key is not None or (self._join.left and own is None) for key, own in zip(keys, batch.keys, strict=True)
            ]
            counts.null_key_dropped += len(kept) - sum(kept)
            batch, keys = batch.where(kept), list(compress(keys, kept))
        return batch, keys
