"""The step that keeps a table which is read from a topic, or made of a stream or of other tables."""

from __future__ import annotations

from typing import Any

from ottla.relations.change import Change, ChangeStep
from ottla.state.versioned import VersionedCache
from ottla.task.batch import Batch
from ottla.task.operators import call
from ottla.task.processor import TaskContext


class TableSource(ChangeStep):
    """Keeps a table: the newest record of a key is its value, a null value deletes it.

    In a versioned table that goes by time: each record is a version, and what is later than the retention is dropped.

    With `times`, the store of the times of the entries, it hands on what each record changed. A version that is not the
    newest changes nothing (KIP-914). What it is given are values, or `of_changes`.
    """

    def __init__(
        self, context: TaskContext, name: str, store: str, *, times: str | None = None, of_changes: bool = False
    ) -> None:
        super().__init__()
        self._context = context
        self._name = name
        self._store = context.stores[store]
        self._update = self._add_version if isinstance(self._store, VersionedCache) else self._set
        self._times = None if times is None else context.stores[times]
        self._of_changes = of_changes

    @property
    def takes_old(self) -> bool:
        return False

    async def receive(self, batch: Batch) -> None:
        if None in batch.keys:
            keyed = [key is not None for key in batch.keys]
            self._context.counts.null_key_dropped += len(batch) - sum(keyed)
            batch = batch.where(keyed)
        values = [change.new for change in batch.values] if self._of_changes else batch.values
        columns = (batch.keys, values, batch.timestamps)
        if self._times is None:
            call(self._context, self._name, self._update, batch, *columns)
            return
        batch, changes = call(self._context, self._name, self._change, batch, *columns)
        made = [change is not None for change in changes]
        batch = batch.with_values(changes)
        await self.forward(batch if all(made) else batch.where(made))

    def _set(self, key: Any, value: Any, _: int) -> bool:
        if value is None:
            self._store.delete(key)
        else:
            self._store.put(key, value)
        return True

    def _add_version(self, key: Any, value: Any, timestamp: int) -> bool:
        """Returns whether the version is the newest of its key."""
        assert isinstance(self._store, VersionedCache)
        newest = self._store.newest_time(key)
        written = self._store.write(key, value, timestamp)
        self._context.counts.late_dropped += not written
        return written and (newest is None or timestamp >= newest)

    def _change(self, key: Any, value: Any, timestamp: int) -> Change[Any] | None:
        assert self._times is not None, "changes are made where times are kept"
        old = self._store.get(key)
        if not self._update(key, value, timestamp):
            return None
        if value is None:
            self._times.delete(key)
        else:
            self._times.put(key, timestamp)
        return Change(old, value)
