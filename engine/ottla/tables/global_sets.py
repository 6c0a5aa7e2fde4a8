"""Sets that every worker has, written by agents: each key by the tasks of its partition, as other global tables."""

from __future__ import annotations

from typing import Any, TypeVar

from ottla.serdes import Codec
from ottla.state.cache import StoreCache
from ottla.state.pairs import pair_codec
from ottla.tables.sets import PRESENT, SetTable, TableSet, sets_codec
from ottla.tables.written_global import WrittenGlobalTable
from ottla.task.processor import TaskContext

K = TypeVar("K")
E = TypeVar("E")


class SetGlobalTable(SetTable[K, E], WrittenGlobalTable[K, TableSet[E]]):
    """A `SetTable` of which every worker has all. Made by `App.SetGlobalTable`."""

    def __init__(
        self,
        app_id: str,
        name: str,
        key_codec: Codec[K],
        element_codec: Codec[E],
        *,
        partitions: int | None = None,
    ) -> None:
        WrittenGlobalTable.__init__(
            self,
            app_id,
            name,
            key_codec,
            sets_codec(element_codec),
            partitions=partitions,
            entries=(pair_codec(key_codec, element_codec), PRESENT),
        )

    def clear(self) -> None:
        """Deletes all keys of this task's part."""
        for key in {key for (key, _), _ in self._store(self._context()).range()}:
            self[key] = None

    def _write(self, context: TaskContext, store: StoreCache, key: Any, value: Any) -> None:
        self._check_own(context, key[0])
        super()._write(context, store, key, value)
