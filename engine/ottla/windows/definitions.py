"""What windows there are, as users define them, and what a result in one looks like.

A window is half-open: it holds the events with start <= timestamp < end. Windows are aligned to the epoch.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Generic, Literal, TypeVar

import msgspec

from ottla.errors import ConfigError
from ottla.time import Duration, duration_ms

K = TypeVar("K")
V = TypeVar("V")

Emit = Literal["close", "update"]


class Windowed(msgspec.Struct, Generic[K, V], frozen=True):
    """The value of one key in one window: start <= event time < end, in milliseconds since the epoch."""

    key: K
    start: int
    end: int
    value: V


@dataclass(frozen=True, slots=True)
class Window:
    """Windows of `size_ms` that begin every `advance_ms`, from the epoch on. Made by `tumbling` and `hopping`."""

    size_ms: int
    advance_ms: int
    grace_ms: int = 0

    def __post_init__(self) -> None:
        if self.size_ms <= 0:
            raise ConfigError("a window's size must be positive, as in tumbling(hours=1)")
        if not 0 < self.advance_ms <= self.size_ms:
            raise ConfigError("a hopping window's advance must be positive and at most its size")

    def __str__(self) -> str:
        size = timedelta(milliseconds=self.size_ms)
        grace = f" grace {timedelta(milliseconds=self.grace_ms)}"
        if self.advance_ms == self.size_ms:
            return f"tumbling {size}{grace}"
        return f"hopping {size} every {timedelta(milliseconds=self.advance_ms)}{grace}"

    def starts(self, timestamp: int) -> range:
        """The starts of the windows that hold the timestamp, in order. No window starts before the epoch."""
        last = timestamp - timestamp % self.advance_ms
        first = max(0, last - (self.size_ms - 1 - timestamp % self.advance_ms) // self.advance_ms * self.advance_ms)
        return range(first, last + 1, self.advance_ms)


def tumbling(
    size: Duration | None = None,
    *,
    days: float = 0,
    hours: float = 0,
    minutes: float = 0,
    seconds: float = 0,
    grace: Duration = 0,
) -> Window:
    """Windows side by side: `tumbling(hours=1)`, or a timedelta or seconds as `size`.

    `grace` is how long after its end, by stream time, a window still takes late events.
    """
    size_ms = _size_ms(size, timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds))
    return Window(size_ms, size_ms, duration_ms(grace, "a window's grace"))


def hopping(size: Duration, advance: Duration, *, grace: Duration = 0) -> Window:
    """Windows of `size` that begin every `advance`; an event is in each window that covers its time."""
    return Window(
        duration_ms(size, "a window's size"),
        duration_ms(advance, "a window's advance"),
        duration_ms(grace, "a window's grace"),
    )


def _size_ms(size: Duration | None, parts: timedelta) -> int:
    if size is not None and parts:
        raise ConfigError("give a window's size once: as a duration, or as days=, hours=, minutes=, seconds=")
    return duration_ms(parts if size is None else size, "a window's size")
