"""Global tables that agents write: each task writes its own part, and every worker reads the changelog of all.

A key is written by the tasks of one partition, its own. There it is read as it was just written; everybody else reads
what was committed, as soon as their worker has heard of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from heapq import merge
from operator import itemgetter
from typing import Any, TypeVar, cast

from ottla.errors import NotInTask, TopologyError
from ottla.serdes import Codec
from ottla.state.cache import StoreCache
from ottla.state.format import format_of
from ottla.state.global_store import WrittenGlobalStore
from ottla.state.logged import logged_as
from ottla.state.store import Part, StoreSpec
from ottla.tables.global_table import GlobalTable
from ottla.tables.table import Table, changelog_topic, table_spec
from ottla.task.processor import TaskContext
from ottla.transport.partitioner import partition_for_key

K = TypeVar("K")
V = TypeVar("V")


class WrittenGlobalTable(GlobalTable[K, V]):
    """A global table without a topic of its own. `spec` is the copy of all that every worker has, `part_spec` the part
    of a task that writes. `entries` are the codecs of what is kept, where that is not its keys and values."""

    def __init__(
        self,
        app_id: str,
        name: str,
        key_codec: Codec[K],
        value_codec: Codec[V],
        *,
        default: Callable[[], V] | None = None,
        partitions: int | None = None,
        entries: tuple[Codec[Any], Codec[Any]] | None = None,
    ) -> None:
        kept_key, kept_value = entries or (key_codec, value_codec)
        copy = StoreSpec(
            name=name,
            changelog=changelog_topic(app_id, name),
            encode_key=kept_key.encode,
            decode_key=kept_key.decode,
            encode_value=kept_value.encode,
            decode_value=kept_value.decode,
            cache=WrittenGlobalStore,
        )
        Table.__init__(self, "", name, key_codec, value_codec, default=default, partitions=partitions, spec=copy)
        part = table_spec(app_id, f"{name}-part", kept_key, kept_value)
        self._part_spec = part.with_changelog(copy.changelog).with_format(
            format_of("part of a global table", kept_key, kept_value)
        )

    @property
    def part_spec(self) -> StoreSpec:
        return logged_as(self._part_spec, self.changelog)

    def __setitem__(self, key: K, value: V | None) -> None:
        context = self._context()
        part = self._store(context)
        self._check_own(context, key)
        self.check_value(value)
        self._write(context, part, key, value)

    def clear(self) -> None:
        """Deletes all keys of this task's part."""
        own = self._context().stores.get(self._part_spec.name)
        for key in [] if own is None else [key for key, _ in own.range()]:
            self[key] = None

    def part_in(self, context: TaskContext) -> Part:
        copy = cast(WrittenGlobalStore, super().part_in(context))
        own = context.stores.get(self._part_spec.name)
        return copy if own is None else OverlaidPart(own, copy, context.partition)

    def _store(self, context: TaskContext) -> StoreCache:
        """The part that the task writes."""
        part = context.stores.get(self._part_spec.name)
        if part is None:
            raise TopologyError(
                f"global table {self.name!r} is written by those that name it, so that their tasks have the part to "
                f"write: @app.agent(..., uses=[{self.name}])"
            )
        return part

    def _check_own(self, context: TaskContext, key: K) -> None:
        """Raises `NotInTask` for a key that other tasks write: its value would depend on who is heard of last."""
        count = context.global_tables[self.name].partitions
        event = context.event()
        if count == 1 or (event is not None and event.key == key):
            return
        if (place := partition_for_key(self.key_codec.encode(key), count)) != context.partition:
            raise NotInTask(
                f"key {key!r} of global table {self.name!r} is written by the tasks of partition {place}, and this is "
                f"{context.task}: give the events that key first, .group_by(...), and write it where they arrive"
            )


class OverlaidPart:
    """What a task that writes sees: its own part, what is not committed included, and of the others what is heard."""

    def __init__(self, own: StoreCache, copy: WrittenGlobalStore, partition: int) -> None:
        self._own = own
        self._copy = copy
        self._partition = partition

    def get(self, key: Any, default: Any = None) -> Any:
        value = self._own.get(key)
        if value is not None:
            return value
        # What only the copy has of this part was deleted here, and the copy has not heard of it.
        return default if self._copy.origin(key) == self._partition else self._copy.get(key, default)

    def __contains__(self, key: Any) -> bool:
        return self.get(key) is not None

    def range(
        self, start: bytes | None = None, end: bytes | None = None, *, reverse: bool = False
    ) -> Iterator[tuple[Any, Any]]:
        encode = self._own.spec.encode_key
        own = ((encode(key), key, value) for key, value in self._own.range(start, end, reverse=reverse))
        heard = self._copy.of_others(self._partition, start, end, reverse=reverse)
        others = ((encode(key), key, value) for key, value in heard)
        return ((key, value) for _, key, value in merge(own, others, key=itemgetter(0), reverse=reverse))
