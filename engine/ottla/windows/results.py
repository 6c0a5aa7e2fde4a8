"""Results of windows in the making, column by column."""

from __future__ import annotations

from typing import Any

from ottla.batch import Batch
from ottla.windows.definitions import Windowed


class Results:
    """The results of one batch of events, in the order in which they are added."""

    __slots__ = ("keys", "origins", "timestamps", "values")

    def __init__(self) -> None:
        self.keys: list[Any] = []
        self.values: list[Any] = []
        self.timestamps: list[int] = []
        self.origins: list[Any] = []

    def add(self, key: Any, start: int, end: int, value: Any, timestamp: int, batch: Batch | None, row: int) -> None:
        """A result, with the headers of the event in the row if one gave it, without if a window closed."""
        self.keys.append(key)
        self.values.append(Windowed(key, start, end, value))
        self.timestamps.append(timestamp)
        self.origins.append(None if batch is None else batch.origins[row])

    def batch(self) -> Batch:
        return Batch(self.keys, self.values, self.timestamps, self.origins)
