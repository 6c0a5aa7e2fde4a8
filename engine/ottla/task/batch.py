"""The unit of work: events of one partition, column by column.

A step takes a batch and hands a batch on. Columns are plain lists, so that a step is a loop or a comprehension over
one of them; nothing is allocated per event, and headers are read from the origin only by the step that writes them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import compress
from typing import Any

from ottla.transport.contract import Headers, Message


class Batch:
    """Events as four columns of one length. Columns are never changed once a batch was handed on; they may be shared.

    `origins` holds the message each event came from, or None for an event that has no single one (a closed window).
    """

    __slots__ = ("keys", "origins", "timestamps", "values")

    def __init__(
        self, keys: list[Any], values: list[Any], timestamps: list[int], origins: Sequence[Message | None]
    ) -> None:
        self.keys = keys
        self.values = values
        self.timestamps = timestamps
        self.origins = origins

    def __len__(self) -> int:
        return len(self.values)

    def where(self, chosen: Sequence[object]) -> Batch:
        """The events whose place in `chosen` is true."""
        return Batch(
            list(compress(self.keys, chosen)),
            list(compress(self.values, chosen)),
            list(compress(self.timestamps, chosen)),
            list(compress(self.origins, chosen)),
        )

    def slice(self, start: int, end: int) -> Batch:
        """The events from `start` up to `end`, exclusive."""
        if start == 0 and end == len(self.values):
            return self
        return Batch(self.keys[start:end], self.values[start:end], self.timestamps[start:end], self.origins[start:end])

    def events(self) -> Iterator[Batch]:
        """Each event as a batch."""
        return (self.slice(row, row + 1) for row in range(len(self.values)))

    def with_values(self, values: list[Any]) -> Batch:
        """The same events with other values."""
        return Batch(self.keys, values, self.timestamps, self.origins)

    def rows(self, rows: list[int], values: list[Any]) -> Batch:
        """One event per entry of `values`, with the key, time and origin of the row given beside it."""
        if rows == list(range(len(self.values))):
            return self.with_values(values)
        keys, timestamps, origins = self.keys, self.timestamps, self.origins
        return Batch(
            [keys[row] for row in rows], values, [timestamps[row] for row in rows], [origins[row] for row in rows]
        )

    def headers(self, row: int) -> Headers | None:
        """The headers of the message the event came from."""
        origin = self.origins[row]
        return None if origin is None else origin.headers()


class Rows:
    """A batch in the making, event by event."""

    __slots__ = ("_keys", "_origins", "_timestamps", "_values")

    def __init__(self) -> None:
        self._keys: list[Any] = []
        self._values: list[Any] = []
        self._timestamps: list[int] = []
        self._origins: list[Message | None] = []

    def add(self, key: Any, value: Any, timestamp: int, origin: Message | None = None) -> None:
        self._keys.append(key)
        self._values.append(value)
        self._timestamps.append(timestamp)
        self._origins.append(origin)

    def add_all(self, keys: list[Any], values: list[Any], timestamps: list[int]) -> None:
        """Events that come from no single message."""
        self._keys += keys
        self._values += values
        self._timestamps += timestamps
        self._origins += [None] * len(values)

    def batch(self) -> Batch:
        return Batch(self._keys, self._values, self._timestamps, self._origins)
