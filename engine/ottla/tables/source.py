"""The step that keeps a table which is read from a topic, or from any other stream."""

from __future__ import annotations

from typing import Any

from ottla.batch import Batch
from ottla.operators import call
from ottla.processor import Processor, TaskContext
from ottla.state.versioned import VersionedCache


class TableSource(Processor):
    """Keeps a table: the newest record of a key is its value, a null value deletes it.

    In a versioned table that goes by time: each record is a version, and what is later than the retention is dropped.
    """

    def __init__(self, context: TaskContext, name: str, store: str) -> None:
        super().__init__()
        self._context = context
        self._name = name
        self._store = context.stores[store]
        self._update = self._add_version if isinstance(self._store, VersionedCache) else self._set

    async def receive(self, batch: Batch) -> None:
        if None in batch.keys:
            keyed = [key is not None for key in batch.keys]
            self._context.counts.null_key_dropped += len(batch) - sum(keyed)
            batch = batch.where(keyed)
        columns = (batch.keys, batch.values, batch.timestamps)
        await self.forward(call(self._context, self._name, self._update, batch, *columns)[0])

    def _set(self, key: Any, value: Any, _: int) -> None:
        if value is None:
            self._store.delete(key)
        else:
            self._store.put(key, value)

    def _add_version(self, key: Any, value: Any, timestamp: int) -> None:
        assert isinstance(self._store, VersionedCache)
        self._context.counts.late_dropped += not self._store.write(key, value, timestamp)
