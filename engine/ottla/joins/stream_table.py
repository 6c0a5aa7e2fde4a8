"""A stream-table join looks each event up in the table as it is when the event is taken.

Kafka Streams' rules, record by record (`KStreamKTableJoinProcessor`): a change of the table emits nothing; the
result has the key, time and headers of the stream's event; an event with a null value is dropped, and one with a
null key too unless the join is a left join, which then finds nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import compress
from typing import Any

from ottla.batch import Batch
from ottla.operators import call
from ottla.processor import Processor, TaskContext


class StreamTableJoin(Processor):
    """`joiner(value, table's value)` for each event; None for a key the table lacks when `left`, nothing otherwise."""

    def __init__(
        self, context: TaskContext, name: str, store: str, joiner: Callable[[Any, Any], Any], *, left: bool
    ) -> None:
        super().__init__()
        self._context = context
        self._name = name
        get = context.stores[store].get
        self._look_up = (lambda key: None if key is None else get(key)) if left else get
        self._joiner = joiner
        self._left = left

    async def receive(self, batch: Batch) -> None:
        batch = self._joinable(batch)
        batch, rights = call(self._context, self._name, self._look_up, batch, batch.keys)
        if not self._left:
            found = [right is not None for right in rights]
            if not all(found):
                batch, rights = batch.where(found), list(compress(rights, found))
        batch, results = call(self._context, self._name, self._joiner, batch, batch.values, rights)
        await self.forward(batch.with_values(results))

    def _joinable(self, batch: Batch) -> Batch:
        counts = self._context.counts
        no_value = sum(value is None for value in batch.values)
        if no_value:
            counts.null_value_dropped += no_value
            batch = batch.where([value is not None for value in batch.values])
        if not self._left:
            no_key = sum(key is None for key in batch.keys)
            if no_key:
                counts.null_key_dropped += no_key
                batch = batch.where([key is not None for key in batch.keys])
        return batch
