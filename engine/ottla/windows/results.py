"""Results of windows in the making."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ottla.aggregations import State
from ottla.task.batch import Batch, Rows
from ottla.windows.definitions import Windowed


class Results:
    """The results of one batch of events, in the order in which they are added."""

    __slots__ = ("_rows",)

    def __init__(self) -> None:
        self._rows = Rows()

    def add(self, key: Any, start: int, end: int, value: Any, timestamp: int, batch: Batch | None, row: int) -> None:
        """A result, with the headers of the event in the row if one gave it, without if a window closed."""
        origin = None if batch is None else batch.origins[row]
        self._rows.add(key, Windowed(key, start, end, value), timestamp, origin)

    def add_closed(
        self, start: int, end: int, entries: Sequence[tuple[Any, State]], result: Callable[[State], Any]
    ) -> None:
        """The results of a window that closed: of each key, of its state, whose first slot is its newest time."""
        self._rows.add_all(
            [key for key, _ in entries],
            [Windowed(key, start, end, result(state)) for key, state in entries],
            [state[0] for _, state in entries],
        )

    def batch(self) -> Batch:
        return self._rows.batch()
