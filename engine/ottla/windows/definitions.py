"""What windows there are, as users define them, and what a result in one looks like."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Generic, Literal, NamedTuple, TypeVar

import msgspec

from ottla.errors import ConfigError
from ottla.time import Duration, duration_ms

K = TypeVar("K")
V = TypeVar("V")

Emit = Literal["close", "update"]


class Windowed(msgspec.Struct, Generic[K, V], frozen=True):
    """The value of one key in one window, whose bounds are in milliseconds since the epoch.

    Tumbling and hopping windows hold start <= event time < end; in the others `end` is the time of an event that they
    can hold, too. A `value` of None takes back an earlier result: the session has become part of another.
    """

    key: K
    start: int
    end: int
    value: V


class WindowKey(NamedTuple, Generic[K]):
    """A key in a window, whose bounds are those of `Windowed`: what the changes of a window table are under."""

    key: K
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Window:
    """Windows of `size_ms` that begin every `advance_ms`, from the epoch on. Made by `tumbling` and `hopping`.

    Like those of every kind they take late events for `grace_ms` of stream time after their end. With `idle_ms`, stream
    time goes on with the wall clock when no event has come for that long.
    """

    size_ms: int
    advance_ms: int
    grace_ms: int = 0
    idle_ms: int | None = None

    def __post_init__(self) -> None:
        if self.size_ms <= 0:
            raise ConfigError("a window's size must be positive, as in tumbling(hours=1)")
        if not 0 < self.advance_ms <= self.size_ms:
            raise ConfigError("a hopping window's advance must be positive and at most its size")

    def __str__(self) -> str:
        if self.advance_ms == self.size_ms:
            return f"tumbling {_span(self.size_ms)}{_lasting(self)}"
        return f"hopping {_span(self.size_ms)} every {_span(self.advance_ms)}{_lasting(self)}"

    def starts(self, timestamp: int) -> range:
        """The starts of the windows that hold the timestamp, in order. No window starts before the epoch."""
        last = timestamp - timestamp % self.advance_ms
        first = max(0, last - (self.size_ms - 1 - timestamp % self.advance_ms) // self.advance_ms * self.advance_ms)
        return range(first, last + 1, self.advance_ms)

    def covering(self, timestamp: int) -> tuple[range, int, int]:
        """The starts of the windows that hold the timestamp, and between which times (half-open) it is the same ones:
        since the last of them began, or the one before the first ended, until the next begins, or the first ends."""
        starts = self.starts(timestamp)
        first, last = starts[0], starts[-1]
        ended = first - self.advance_ms + self.size_ms if first else 0  # no window starts before the epoch
        return starts, max(last, ended), min(last + self.advance_ms, first + self.size_ms)


@dataclass(frozen=True, slots=True)
class SlidingWindow:
    """For every event of a key the window of what came up to `difference_ms` before it, and the one of what came after.

    Both bounds belong to the window (KIP-450). Made by `sliding`.
    """

    difference_ms: int
    grace_ms: int = 0
    idle_ms: int | None = None

    def __post_init__(self) -> None:
        if self.difference_ms <= 0:
            raise ConfigError("a sliding window's difference must be positive, as in sliding(timedelta(minutes=10))")

    def __str__(self) -> str:
        return f"sliding {_span(self.difference_ms)}{_lasting(self)}"


@dataclass(frozen=True, slots=True)
class SessionWindow:
    """Events of a key with never more than `gap_ms` between one and the next (KIP-94). Made by `session`.

    An event that closes the gap between two sessions makes one of them. Both bounds are times of events.
    """

    gap_ms: int
    grace_ms: int = 0
    idle_ms: int | None = None

    def __post_init__(self) -> None:
        if self.gap_ms <= 0:
            raise ConfigError("a session's gap must be positive, as in session(minutes=30)")

    def __str__(self) -> str:
        return f"session {_span(self.gap_ms)}{_lasting(self)}"


@dataclass(frozen=True, slots=True)
class CountWindow:
    """`size` events of a key after one another, as they come, whatever their times. Made by `counting`.

    The bounds are the earliest and the latest of their times.
    """

    size: int

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ConfigError(f"counting({self.size}) holds no event: a window has at least one")

    def __str__(self) -> str:
        return f"counting {self.size}"


AnyWindow = Window | SlidingWindow | SessionWindow | CountWindow


def tumbling(
    size: Duration | None = None,
    *,
    days: float = 0,
    hours: float = 0,
    minutes: float = 0,
    seconds: float = 0,
    grace: Duration = 0,
    idle: Duration | None = None,
) -> Window:
    """Windows side by side: `tumbling(hours=1)`, or a timedelta or seconds as `size`.

    `grace` is how long after its end, by stream time, a window still takes late events. `idle` is how long no event may
    come until stream time goes on with the wall clock; without it a partition that falls silent keeps its last windows.
    """
    size_ms = _one_duration(size, "a window's size", days=days, hours=hours, minutes=minutes, seconds=seconds)
    return Window(size_ms, size_ms, duration_ms(grace, "a window's grace"), _idle_ms(idle))


def hopping(size: Duration, advance: Duration, *, grace: Duration = 0, idle: Duration | None = None) -> Window:
    """Windows of `size` that begin every `advance`; an event is in each window that covers its time."""
    return Window(
        duration_ms(size, "a window's size"),
        duration_ms(advance, "a window's advance"),
        duration_ms(grace, "a window's grace"),
        _idle_ms(idle),
    )


def sliding(difference: Duration, *, grace: Duration = 0, idle: Duration | None = None) -> SlidingWindow:
    """Windows that move with the events: two events of a key are in one window if at most `difference` lies between
    them."""
    return SlidingWindow(
        duration_ms(difference, "a sliding window's difference"),
        duration_ms(grace, "a window's grace"),
        _idle_ms(idle),
    )


def session(
    gap: Duration | None = None,
    *,
    days: float = 0,
    hours: float = 0,
    minutes: float = 0,
    seconds: float = 0,
    grace: Duration = 0,
    idle: Duration | None = None,
) -> SessionWindow:
    """Windows of activity: `session(minutes=30)` ends when nothing of its key came for longer than that."""
    gap_ms = _one_duration(gap, "a session's gap", days=days, hours=hours, minutes=minutes, seconds=seconds)
    return SessionWindow(gap_ms, duration_ms(grace, "a window's grace"), _idle_ms(idle))


def counting(size: int) -> CountWindow:
    """Windows of `size` events per key. What there is at the end of the input is a last, smaller window."""
    return CountWindow(size)


def _one_duration(given: Duration | None, what: str, **parts: float) -> int:
    named = timedelta(**parts)
    if given is not None and named:
        raise ConfigError(f"give {what} once: as a duration, or as days=, hours=, minutes=, seconds=")
    return duration_ms(named if given is None else given, what)


def _idle_ms(idle: Duration | None) -> int | None:
    return None if idle is None else duration_ms(idle, "a window's idle time")


def _span(milliseconds: int) -> str:
    return str(timedelta(milliseconds=milliseconds))


def _lasting(window: Window | SlidingWindow | SessionWindow) -> str:
    idle = "" if window.idle_ms is None else f" idle {_span(window.idle_ms)}"
    return f" grace {_span(window.grace_ms)}{idle}"
