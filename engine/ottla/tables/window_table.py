"""Window tables: the results of windows, kept by key and window, as Kafka Streams' `KTable<Windowed<K>, V>`.

hourly = stream.window(tumbling(hours=1)).aggregate("hourly", emit="update", views=count())
views = hourly.to_window_table("views", retention=timedelta(days=1))
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, cast

from ottla.errors import ConfigError
from ottla.relations.change import Change, ChangeStep
from ottla.relations.views import Reader
from ottla.relations.windows import WindowRelation, in_window
from ottla.serdes import Codec
from ottla.state.format import format_of
from ottla.state.kept_windows import KeptWindowCache, kept_windows_spec
from ottla.state.logged import Changelog, checked_changelog
from ottla.state.pairs import first_of
from ottla.state.store import Part, StoreSpec
from ottla.tables.aggregated import step_of
from ottla.tables.table import Table, changelog_topic
from ottla.task.batch import Batch
from ottla.task.operators import call
from ottla.task.processor import TaskContext
from ottla.windows.definitions import Windowed, WindowKey

if TYPE_CHECKING:
    from ottla.topology.graph import Graph

K = TypeVar("K")
V = TypeVar("V")

HandedOn = Literal["results", "changes", "values"]
"""What a step hands on: results of windows, each under its key, or changes or values under the keys of windows."""


class WindowTable(WindowRelation[K, V], Table[K, dict[int, V]], Generic[K, V]):
    """What windows came to, by key and window. Made by `WindowResults.to_window_table`, and `to_table` of its views.

    As a mapping it has for each key its values by the starts of its windows; `fetch` gives those of a time. What is
    made of it (`filter`, `map_values`, `join`, `group_by`, `suppress`) goes by key and window.
    """

    def __init__(
        self, app_id: str, name: str, key_codec: Codec[K], values: Codec[V], retention_ms: int, graph: Graph
    ) -> None:
        spec = kept_windows_spec(name, changelog_topic(app_id, name), key_codec, values, retention_ms)
        stored = format_of("window table", key_codec, values)
        by_start: Codec[Any] = Codec(
            f"windows[{values.name}]",
            _no_bytes,
            _no_bytes,
            dict[int, values.type],  # type: ignore[name-defined]
        )
        super().__init__(app_id, name, key_codec, by_start, spec=spec.with_format(stored))
        self.retention_ms = retention_ms
        self.graph = graph
        self._of_window = values

    def fetch(
        self, key: K, from_time: int | None = None, to_time: int | None = None, *, newest_first: bool = False
    ) -> list[Windowed[K, V]]:
        """The values of a key in the windows that start between two times, both inclusive, in milliseconds.

        The oldest comes first, unless `newest_first`. None leaves a side open.
        """
        found = self._kept(self._context()).windows_of(key, from_time, to_time, newest_first=newest_first)
        return [in_window(where, value) for where, value in found]

    def __getitem__(self, key: K) -> dict[int, V]:
        found: dict[int, V] | None = self.lookup(self._part(), key)
        return self.or_default(key) if found is None else found

    def __contains__(self, key: object) -> bool:
        return self.lookup(self._part(), key) is not None  # type: ignore[arg-type]

    def get(self, key: K, default: Any = None) -> Any:
        """The values of the key by the starts of its windows, or `default` if there are none."""
        found = self.lookup(self._part(), key)
        return default if found is None else found

    def lookup(self, part: Part, key: K) -> Any:
        assert isinstance(part, KeptWindowCache), "the spec of a window table makes such a cache"
        return {where.start: value for where, value in part.windows_of(key)} or None

    def entries(
        self, part: Part, start: bytes | None = None, end: bytes | None = None, *, reverse: bool = False
    ) -> Iterator[tuple[K, Any]]:
        """Keys with their values by the starts of their windows, as they are when the iteration comes to them."""
        first, last = (None if bound is None else first_of(bound) for bound in (start, end))
        for key, windows in groupby(part.range(first, last, reverse=reverse), lambda entry: entry[0].key):
            found = {where.start: value for where, value in windows}
            yield key, dict(reversed(found.items())) if reverse else found

    def changing(self) -> tuple[Graph, str]:
        assert self.graph is not None, "a window table is declared with the step that keeps it"
        return self.graph, step_of(self.name)

    def specs(self) -> tuple[StoreSpec, ...]:
        return (self.kept_spec,)

    def reader(self, context: TaskContext) -> Reader:
        return self._kept(context).stamped

    def known_values(self, what: str) -> Codec[Any]:  # noqa: ARG002 - a table's are always known
        return self._of_window

    def _values(self) -> Codec[Any]:
        return self._of_window

    def _kept(self, context: TaskContext) -> KeptWindowCache:
        return cast(KeptWindowCache, self._store(context))


def declared_windows(
    graph: Graph,
    name: str,
    key: Codec[Any],
    values: Codec[Any],
    retention_ms: int,
    changelog: Changelog = True,
) -> WindowTable[Any, Any]:
    """Declares a window table, of which `keep_windows` says what it is made of."""
    table: WindowTable[Any, Any] = WindowTable(graph.app_id, name, key, values, retention_ms, graph)
    table.changelog = checked_changelog(f"table {name!r}", changelog)
    graph.table(table)
    return table


def keep_windows(graph: Graph, table: WindowTable[Any, Any], step: str, of: HandedOn) -> None:
    """Adds the step that keeps a window table of what a step hands on."""
    graph.add(
        step_of(table.name),
        "table",
        lambda context, own: KeepWindows(context, own, table.spec.name, of),
        parents=(step,),
        tables=(table,),
    )


class KeepWindows(ChangeStep):
    """Keeps a window table, and hands on how it changes. A result without a value takes back an earlier one."""

    def __init__(self, context: TaskContext, name: str, store: str, of: HandedOn) -> None:
        super().__init__()
        self._context = context
        self._name = name
        self._store = cast(KeptWindowCache, context.stores[store])
        self._of = of

    @property
    def takes_old(self) -> bool:
        return False

    async def receive(self, batch: Batch) -> None:
        values = batch.values
        if self._of == "changes":
            values = [change.new for change in values]
        elif self._of == "results":
            keys = [WindowKey(result.key, result.start, result.end) for result in batch.values]
            values = [result.value for result in values]
            batch = Batch(keys, values, batch.timestamps, batch.origins)
        columns = (batch.keys, values, batch.timestamps)
        batch, changes = call(self._context, self._name, self._change, batch, *columns)
        await self.forward(batch.with_values(changes))

    def _change(self, key: WindowKey[Any], value: Any, timestamp: int) -> Change[Any]:
        old = self._store.get(key)
        self._store.write(key, value, timestamp)
        return Change(old, value)


def _no_bytes(value: Any) -> Any:
    raise ConfigError(f"the windows {value!r} are kept one by one and have no encoded form of their own")
