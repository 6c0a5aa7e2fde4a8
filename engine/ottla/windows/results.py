"""Results of windows in the making."""

from __future__ import annotations

from typing import Any

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

    def batch(self) -> Batch:
        return self._rows.batch()
