"""Tables by key and window as what changes: a `KTable<Windowed<K>, V>`.

Their changes are under a `WindowKey`. Functions are given the values alone; `current_event().key` has the window. What
is told as a stream is under the key again, as the results of windows are: a `Windowed` with the bounds in it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, cast, overload

from ottla.hints import Selector
from ottla.relations.change import Change, ChangeStep, change_codec
from ottla.relations.relation import Relation, View
from ottla.relations.suppress import WhenFull
from ottla.relations.views import Reader
from ottla.serdes import Codec, state_codec_for
from ottla.state.kept_windows import window_key_codec
from ottla.state.logged import Changelog, Configured
from ottla.state.store import StoreSpec
from ottla.task.batch import Batch
from ottla.task.processor import TaskContext
from ottla.time import Duration
from ottla.windows.definitions import Windowed, WindowKey

if TYPE_CHECKING:
    from ottla.stream import Stream
    from ottla.tables.window_table import WindowTable

K = TypeVar("K")
V = TypeVar("V")
T = TypeVar("T")
R = TypeVar("R")


class WindowRelation(Relation[K, V]):
    """Values by key and window that change. Windows are kept until stream time is `retention_ms` past their ends."""

    retention_ms: int

    @property
    def change_keys(self) -> Codec[Any]:
        return window_key_codec(self.key_codec)

    def filter(self, function: Callable[[V], object]) -> WindowView[K, V]:
        """The keys and windows for whose value the function is true."""
        return cast("WindowView[K, V]", super().filter(function))

    def map_values(self, function: Callable[[V], R], *, type: Any = None) -> WindowView[K, R]:  # noqa: A002 - as in map
        """The function's value in the place of each value; None is no value. `type` is as for `Stream.map`."""
        return cast("WindowView[K, R]", super().map_values(function, type=type))

    @overload  # type: ignore[override]
    def join(
        self, other: WindowRelation[K, T], joiner: Callable[[V, T], R], *, name: str | None = None, type: Any = None
    ) -> WindowView[K, R]: ...
    @overload
    def join(
        self,
        other: Relation[Any, T],
        joiner: Callable[[V, T], R],
        *,
        on: Selector,
        name: str | None = None,
        type: Any = None,
    ) -> WindowTable[K, R]: ...
    def join(
        self,
        other: Relation[Any, Any],
        joiner: Callable[[Any, Any], Any],
        *,
        on: Selector | None = None,
        name: str | None = None,
        type: Any = None,  # noqa: A002 - as in map
    ) -> WindowView[K, Any] | WindowTable[K, Any]:
        """`joiner(value, other)` for each key and window that both have. A change of either is a change of the result.

        With `on`, each value meets that of another table, of keys alone, for the key that it names. The arguments are
        as for `Table.join`.
        """
        if on is not None:
            return cast("WindowTable[K, Any]", super().join(other, joiner, on=on, name=name, type=type))
        return cast("WindowView[K, Any]", super().join(other, joiner, name=name, type=type))

    @overload  # type: ignore[override]
    def left_join(
        self,
        other: WindowRelation[K, T],
        joiner: Callable[[V, T | None], R],
        *,
        name: str | None = None,
        type: Any = None,
    ) -> WindowView[K, R]: ...
    @overload
    def left_join(
        self,
        other: Relation[Any, T],
        joiner: Callable[[V, T | None], R],
        *,
        on: Selector,
        name: str | None = None,
        type: Any = None,
    ) -> WindowTable[K, R]: ...
    def left_join(
        self,
        other: Relation[Any, Any],
        joiner: Callable[[Any, Any], Any],
        *,
        on: Selector | None = None,
        name: str | None = None,
        type: Any = None,  # noqa: A002 - as in map
    ) -> WindowView[K, Any] | WindowTable[K, Any]:
        """As `join`, and `joiner(value, None)` for what the other lacks, or a value that names nothing."""
        if on is not None:
            return cast("WindowTable[K, Any]", super().left_join(other, joiner, on=on, name=name, type=type))
        return cast("WindowView[K, Any]", super().left_join(other, joiner, name=name, type=type))

    def outer_join(  # type: ignore[override]
        self,
        other: WindowRelation[K, T],
        joiner: Callable[[V | None, T | None], R],
        *,
        name: str | None = None,
        type: Any = None,  # noqa: A002 - as in map
    ) -> WindowView[K, R]:
        """As `left_join`, and `joiner(None, other)` for a key and window that this one lacks."""
        return cast("WindowView[K, R]", self._join(other, joiner, "outer", name, type))

    def suppress(
        self,
        within: Duration,
        *,
        max_records: int | None = None,
        max_bytes: int | None = None,
        when_full: WhenFull = "emit",
        name: str | None = None,
        changelog: Changelog = True,
    ) -> WindowView[K, V]:
        """The same table, of which less is told: as `Table.suppress`, of each key and window the last change."""
        suppressed = super().suppress(
            within, max_records=max_records, max_bytes=max_bytes, when_full=when_full, name=name, changelog=changelog
        )
        return cast("WindowView[K, V]", suppressed)

    def to_stream(self) -> Stream[Windowed[K, V | None]]:  # type: ignore[override]
        """The new value of each change as a `Windowed` under its key; None in it is a value that was deleted."""
        return self._told("to_stream", "to stream", lambda key, change: in_window(key, change.new), self._results())

    def changes(self) -> Stream[Change[Windowed[K, V]]]:  # type: ignore[override]
        """Each change as an event under its key, with the value before it, both as `Windowed`."""
        results = self._results()
        return self._told(
            "changes",
            "changes",
            lambda key, change: Change(
                *(None if each is None else in_window(key, each) for each in (change.old, change.new))
            ),
            None if results is None else change_codec(results),
        )

    def to_table(self, name: str, *, changelog: Configured = True) -> WindowTable[K, V]:  # type: ignore[override]
        """A table that is kept under this name, with a changelog, for as long as the windows that it is made of.

        `changelog` are configs of that, as for `App.Table`.
        """
        from ottla.tables.window_table import declared_windows, keep_windows

        graph, step = self.changing()
        values = self.known_values(f"to_table({name!r})")
        table = declared_windows(graph, name, self.key_codec, values, self.retention_ms, changelog)
        keep_windows(graph, table, step, "changes")
        return table

    def derived(self, name: str, values: Codec[Any]) -> tuple[WindowTable[K, Any], Callable[[str], None]]:
        from ottla.tables.window_table import declared_windows, keep_windows

        graph, _ = self.changing()
        table = declared_windows(graph, name, self.key_codec, values, self.retention_ms)
        return table, lambda step: keep_windows(graph, table, step, "values")

    def _view(
        self,
        step: str,
        values: Codec[Any] | None,
        reader: Callable[[TaskContext], Reader],
        specs: tuple[StoreSpec, ...],
    ) -> WindowView[K, Any]:
        return WindowView(self, step, values, reader, specs, self.retention_ms)

    def _told(
        self, label: str, kind: str, tell: Callable[[WindowKey[Any], Change[Any]], Any], values: Codec[Any] | None
    ) -> Stream[Any]:
        from ottla.stream import Stream

        graph, step = self.changing()
        name = graph.unique(f"{self.name}.{label}")
        graph.add(name, kind, lambda _, __: TellResults(tell, takes_old=label == "changes"), parents=(step,))
        return Stream(graph, name, self.key_codec, values)

    def _results(self) -> Codec[Any] | None:
        """How the values are written with their windows, if their type is known."""
        values = self._values()
        if values is None:
            return None
        return state_codec_for(Windowed[self.key_codec.type, values.type | None])  # type: ignore[name-defined]


class WindowView(View[K, V], WindowRelation[K, V]):
    """A table by key and window that is computed of others. Made by the methods of those; `to_table` keeps it."""

    def __init__(
        self,
        parent: Relation[K, Any],
        step: str,
        values: Codec[V] | None,
        reader: Callable[[TaskContext], Reader],
        specs: tuple[StoreSpec, ...],
        retention_ms: int,
    ) -> None:
        super().__init__(parent, step, values, reader, specs)
        self.retention_ms = retention_ms


class TellResults(ChangeStep):
    """Changes as events under their keys: what `tell` makes of the key with its window, and the change."""

    def __init__(self, tell: Callable[[WindowKey[Any], Change[Any]], Any], *, takes_old: bool) -> None:
        super().__init__()
        self._tell = tell
        self._takes_old = takes_old

    @property
    def takes_old(self) -> bool:
        return self._takes_old

    async def receive(self, batch: Batch) -> None:
        told = list(map(self._tell, batch.keys, batch.values))
        await self.forward(Batch([key.key for key in batch.keys], told, batch.timestamps, batch.origins))


def in_window(key: WindowKey[K], value: V) -> Windowed[K, V]:
    """A value in its window."""
    return Windowed(key.key, key.start, key.end, value)
