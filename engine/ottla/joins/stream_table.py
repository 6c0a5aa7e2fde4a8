"""A stream-table join looks each event up in the table as it is when the event is taken, or as it was at its time.

Kafka Streams' rules, record by record (`KStreamKTableJoinProcessor`): a change of the table emits nothing; the
result has the key, time and headers of the stream's event; an event with a null value is dropped, and one without a
key to look up too, unless the join is a left join, which then finds nothing.
In a versioned table an event finds what was valid at its time (KIP-914); with a grace it waits for that long, by the
stream's time, so that changes of the table that come late are found too (KIP-923).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Any

from ottla.joins.waiting import WaitingEvents
from ottla.relations import View
from ottla.tables import Table, VersionedTable
from ottla.task.batch import Batch, Rows
from ottla.task.operators import call
from ottla.task.processor import Processor, TaskContext

Joiner = Callable[[Any, Any], Any]


@dataclass(frozen=True, slots=True)
class TableJoin:
    """A join as declared. `key` finds the key to look up in an event's value; without it, it is the event's own.

    In a versioned table `tolerance_ms` is how old the value may be, and `exact` says whether one of the event's own
    time counts. `waiting` is the store of the events that wait for `grace_ms`, if they do.
    """

    table: Table[Any, Any] | View[Any, Any]
    joiner: Joiner
    left: bool
    key: Callable[[Any], Any] | None = None
    tolerance_ms: int | None = None
    exact: bool = True
    waiting: str | None = None
    grace_ms: int = 0


class StreamTableJoin(Processor):
    """`joiner(value, table's value)` for each event; None for a key the table lacks when `left`, nothing otherwise."""

    def __init__(self, context: TaskContext, name: str, join: TableJoin) -> None:
        super().__init__()
        self._context = context
        self._name = name
        self._join = join
        self._timed = isinstance(join.table, VersionedTable)
        self._look_up = _as_of(context, join) if self._timed else _newest(context, join)
        self._waiting = None if join.waiting is None else WaitingEvents(context.stores[join.waiting], join.grace_ms)

    async def receive(self, batch: Batch) -> None:
        batch, keys = self._joinable(batch)
        if self._waiting is not None:
            batch = self._wait(batch, self._waiting)
            keys = batch.keys
        await self._emit(batch, keys)

    async def end_of_input(self) -> None:
        if self._waiting is not None:
            batch = self._waiting.rest()
            await self._emit(batch, batch.keys)

    async def _emit(self, batch: Batch, keys: Sequence[Any]) -> None:
        context, name = self._context, self._name
        columns = (keys, batch.timestamps) if self._timed else (keys,)
        batch, rights = call(context, name, self._look_up, batch, *columns)
        if not self._join.left:
            found = [right is not None for right in rights]
            if not all(found):
                batch, rights = batch.where(found), list(compress(rights, found))
        batch, results = call(context, name, self._join.joiner, batch, batch.values, rights)
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
        if not self._join.left:
            no_key = sum(key is None for key in keys)
            if no_key:
                kept = [key is not None for key in keys]
                counts.null_key_dropped += no_key
                batch, keys = batch.where(kept), list(compress(keys, kept))
        return batch, keys

    def _wait(self, batch: Batch, waiting: WaitingEvents) -> Batch:
        """Takes the events in. Gives those that have waited long enough, and those that must not or need not wait."""
        ready = Rows()
        for row, key in enumerate(batch.keys):
            if key is not None and waiting.put(batch, row):
                for event in waiting.due():
                    ready.add(*event)
            else:
                ready.add(key, batch.values[row], batch.timestamps[row], batch.origins[row])
        return ready.batch()


def _newest(context: TaskContext, join: TableJoin) -> Callable[[Any], Any]:
    """What finds the table's value for a key; for no key it is None."""
    get = join.table.part_in(context).get
    return (lambda key: None if key is None else get(key)) if join.left else get


def _as_of(context: TaskContext, join: TableJoin) -> Callable[[Any, int], Any]:
    """What finds the value that a versioned table had for a key at a time; for no key it is None."""
    assert isinstance(join.table, VersionedTable)
    find = join.table.part_in(context).find
    tolerance_ms = join.tolerance_ms
    sooner = 0 if join.exact else 1

    def look_up(key: Any, timestamp: int) -> Any:
        found = None if key is None else find(key, timestamp - sooner)
        if found is None or (tolerance_ms is not None and timestamp - found[0] > tolerance_ms):
            return None
        return found[1]

    return look_up
