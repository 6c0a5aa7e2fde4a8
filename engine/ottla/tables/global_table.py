"""Global tables: a topic's newest values, whole on every worker, to be looked up whatever the key of the event."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from ottla.errors import NotInTask, TopologyError
from ottla.serdes import Codec
from ottla.state.derived_store import DerivedStore, Entries
from ottla.state.store import Part, StoreSpec
from ottla.tables.table import Table
from ottla.task.processor import TaskContext
from ottla.topic import Topic

if TYPE_CHECKING:
    from ottla.topology.graph import Graph

K = TypeVar("K")
V = TypeVar("V")


class GlobalTable(Table[K, V]):
    """A table of which every worker has all. Made by `App.GlobalTable`.

    It holds the newest record of each key of all partitions of its topic; a null value deletes the key. It is read
    before the worker processes anything, and kept up to date as the topic is written, without regard to event time
    (Kafka Streams' `GlobalKTable`). It cannot be written: send to the topic instead. One without a topic, a
    `WrittenGlobalTable`, holds what agents write.
    """

    is_derived = False
    """Whether it holds what a function makes of its topic's records, and not these."""

    def __init__(self, name: str, source: Topic[K, V], *, default: Callable[[], V] | None = None) -> None:
        spec = StoreSpec(
            name=name,
            changelog=source.name,
            encode_key=source.key_codec.encode,
            decode_key=source.key_codec.decode,
            encode_value=source.value_codec.encode,
            decode_value=source.value_codec.decode,
        )
        super().__init__("", name, source.key_codec, source.value_codec, default=default, source=source, spec=spec)

    def __getitem__(self, key: K) -> V:
        value = self._part().get(key)
        return self.or_default(key) if value is None else value

    def __setitem__(self, key: K, value: V | None) -> None:
        self._context()
        self.check_writable()

    def changing(self) -> tuple[Graph, str]:
        raise TopologyError(
            f"{self!r} is a global table: it is looked up, and no task is told of its changes; to join it as what "
            "changes, filter or follow it, read its topic, or the changelog that agents write, into a table, too: "
            "app.Table(..., source=)"
        )

    def part_in(self, context: TaskContext) -> Part:
        try:
            return context.global_tables[self.name]
        except KeyError:
            raise NotInTask(f"global table {self.name!r} is not of this app") from None


class DerivedGlobalTable(GlobalTable[K, V]):
    """A global table of what a function makes of each record of its topic (Kafka Streams' `addGlobalStore`)."""

    is_derived = True

    def __init__(
        self,
        name: str,
        source: Topic[Any, Any],
        entries: Entries,
        key_codec: Codec[K],
        value_codec: Codec[V],
        *,
        default: Callable[[], V] | None = None,
    ) -> None:
        make = partial(DerivedStore, keys=source.key_codec, values=source.value_codec, entries=entries)
        spec = StoreSpec(
            name=name,
            changelog=source.name,
            encode_key=key_codec.encode,
            decode_key=key_codec.decode,
            encode_value=value_codec.encode,
            decode_value=value_codec.decode,
            cache=make,
        )
        Table.__init__(self, "", name, key_codec, value_codec, default=default, source=source, spec=spec)
