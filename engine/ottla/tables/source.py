"""The step that keeps a table which is read from a topic."""

from __future__ import annotations

from typing import Any

from ottla.batch import Batch
from ottla.operators import call
from ottla.processor import Processor, TaskContext


class TableSource(Processor):
    """Keeps a table that is read from a topic: the newest record of a key is its value, a null value deletes it."""

    def __init__(self, context: TaskContext, name: str, store: str) -> None:
        super().__init__()
        self._context = context
        self._name = name
        self._put = context.stores[store].put
        self._delete = context.stores[store].delete

    async def receive(self, batch: Batch) -> None:
        if None in batch.keys:
            keyed = [key is not None for key in batch.keys]
            self._context.counts.null_key_dropped += len(batch) - sum(keyed)
            batch = batch.where(keyed)
        await self.forward(call(self._context, self._name, self._update, batch, batch.keys, batch.values)[0])

    def _update(self, key: Any, value: Any) -> None:
        if value is None:
            self._delete(key)
        else:
            self._put(key, value)
