"""Windows as `app.Table(window=...)` takes them, and which of them a time is in. Times are seconds.

As in Faust a range's end is a tenth of a second before the next window begins.
"""

from __future__ import annotations

from datetime import timedelta
from math import ceil, floor
from typing import Any

WindowRange = tuple[float, float]

_GAP_S = 0.1

Seconds = float | timedelta


class Window:
    """What windows have in common: a size, how far apart they begin, and how long each is kept after its end."""

    def __init__(self, size: Seconds, step: Seconds, expires: Seconds | None = None) -> None:
        self.size = _seconds(size)
        self.step = _seconds(step)
        self.expires = None if expires is None else _seconds(expires)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: size={self.size} step={self.step} expires={self.expires}>"

    def on(self, table: Any) -> Any:
        """The table, with these windows."""
        return table.hopping(self.size, self.step, self.expires)

    def ranges(self, timestamp: float) -> list[WindowRange]:
        """The windows that a time is in, the oldest first."""
        newest = floor(timestamp / self.step)
        return [self._range(number) for number in range(newest - ceil(self.size / self.step) + 1, newest + 1)]

    def current(self, timestamp: float) -> WindowRange:
        """The newest window that a time is in."""
        return self._range(floor(timestamp / self.step))

    def delta(self, timestamp: float, d: Seconds) -> WindowRange:
        """The newest window of so long before a time."""
        return self.current(timestamp - _seconds(d))

    def earliest(self, timestamp: float) -> WindowRange:
        """The oldest window that a time is in."""
        return self.ranges(timestamp)[0]

    def stale(self, timestamp: float, latest_timestamp: float) -> bool:
        """Whether a window that begins at a time is kept no more at another."""
        return self.expires is not None and timestamp <= self.current(latest_timestamp - self.expires)[0]

    def _range(self, number: int) -> WindowRange:
        start = float(number * self.step)
        return start, start + self.size - _GAP_S


class HoppingWindow(Window):
    """Windows that begin every `step`."""


class TumblingWindow(Window):
    """Windows side by side."""

    def __init__(self, size: Seconds, expires: Seconds | None = None) -> None:
        super().__init__(size, size, expires)

    def on(self, table: Any) -> Any:
        return table.tumbling(self.size, self.expires)


def _seconds(given: Seconds) -> float:
    return given.total_seconds() if isinstance(given, timedelta) else float(given)
