"""Results of windows in the making."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from ottla.aggregations import State
from ottla.task.batch import Batch, Rows
from ottla.windows.definitions import Windowed

_MOST = 2048
"""So many results of a window that closed are made, and handed on, before the next ones are: about what a processor's
cache holds."""


class Results:
    """The results of one batch of events, in the order in which they are added."""

    __slots__ = ("_parts", "_rows")

    def __init__(self) -> None:
        self._rows = Rows()
        self._parts: list[Rows | _Closed] = [self._rows]

    def add(self, key: Any, start: int, end: int, value: Any, timestamp: int, batch: Batch | None, row: int) -> None:
        """A result, with the headers of the event in the row if one gave it, without if a window closed."""
        origin = None if batch is None else batch.origins[row]
        self._rows.add(key, Windowed(key, start, end, value), timestamp, origin)

    def add_closed(
        self, start: int, end: int, keys: list[Any], states: list[State], result: Callable[[State], Any]
    ) -> None:
        """The results of a window that closed: of each key, of its state, whose first slot is its newest time."""
        closed = _Closed(start, end, keys, states, result)
        if len(keys) < _MOST:
            closed.add_to(self._rows, 0, len(keys))
        else:
            self._rows = Rows()
            self._parts += [closed, self._rows]

    def batches(self) -> Iterator[Batch]:
        """All results, those of a window with many keys in several batches."""
        for part in self._parts:
            if isinstance(part, Rows):
                yield part.batch()
            else:
                yield from part.batches()


@dataclass(frozen=True, slots=True)
class _Closed:
    """A window that closed, and its keys, whose results are yet to be made."""

    start: int
    end: int
    keys: list[Any]
    states: list[State]
    result: Callable[[State], Any]

    def batches(self) -> Iterator[Batch]:
        for first in range(0, len(self.keys), _MOST):
            rows = Rows()
            self.add_to(rows, first, first + _MOST)
            yield rows.batch()

    def add_to(self, rows: Rows, first: int, behind: int) -> None:
        start, end, result = self.start, self.end, self.result
        keys, states = self.keys[first:behind], self.states[first:behind]
        rows.add_all(
            keys,
            [Windowed(key, start, end, result(state)) for key, state in zip(keys, states, strict=True)],
            [state[0] for state in states],
        )
