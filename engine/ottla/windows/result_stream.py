"""The results of windows as a stream, which can be kept as a table by key and window."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Generic, TypeVar

from ottla.errors import TopologyError
from ottla.serdes import Codec
from ottla.state.logged import Changelog
from ottla.stream import Stream
from ottla.tables.window_table import WindowTable, declared_windows, keep_windows
from ottla.time import Duration, duration_ms
from ottla.windows.definitions import AnyWindow, CountWindow, SessionWindow, Windowed

K = TypeVar("K")
V = TypeVar("V")


class WindowResults(Stream[Windowed[K, V]], Generic[K, V]):
    """A `Windowed` for each key and window, under the key. Made by the `aggregate` of windows."""

    def __init__(self, results: Stream[Any], window: AnyWindow, values: Codec[V]) -> None:
        super().__init__(results.graph, results.step, results.key_codec, results.value_codec)
        self._window = window
        self._of_window = values

    def to_window_table(self, name: str, *, retention: Duration, changelog: Changelog = True) -> WindowTable[K, V]:
        """A table of the results by key and window, kept under the name: a `KTable<Windowed<K>, V>`.

        For queries of windows that are closed, too, and to be filtered, joined by key and window, grouped, followed.
        A window is in it until stream time, the newest time of the results, is `retention` past its end: at least for
        as long as it can change. That it goes then is told to nobody. `changelog` is as for `App.Table`.
        """
        retention_ms = duration_ms(retention, f"to_window_table({name!r}): retention")
        window = self._window
        if isinstance(window, CountWindow):
            raise TopologyError(
                f"to_window_table({name!r}): windows of a number of events have no bounds to be told apart by while "
                "they fill; .to_table(name) keeps the newest of each key"
            )
        changing_ms = window.grace_ms + (window.gap_ms if isinstance(window, SessionWindow) else 0)
        if retention_ms < max(changing_ms, 1):
            raise TopologyError(
                f"to_window_table({name!r}): retention={timedelta(milliseconds=retention_ms)} is less than the "
                f"{timedelta(milliseconds=max(changing_ms, 1))} for which a window may still change after its end"
            )
        table = declared_windows(self.graph, name, self.key_codec, self._of_window, retention_ms, changelog)
        keep_windows(self.graph, table, self.step, "results")
        return table
