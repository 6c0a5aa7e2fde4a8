"""Event time: integer milliseconds since the epoch, never negative.

Time only ever comes in as a number: from an event, or from whoever drives a task. Nothing here reads a clock.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from ottla.errors import ConfigError, InvalidTimestamp
from ottla.hints import selected

if TYPE_CHECKING:
    from ottla.serdes import Codec

Duration = timedelta | float
"""A `timedelta`, or seconds."""

Extractor = Callable[[Any], int | datetime]
"""Takes an event's decoded value and returns its event time: milliseconds since the epoch, or a `datetime`."""

_LAST_MS = 2**63 - 1
_MILLISECOND = timedelta(milliseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def duration_ms(duration: object, what: str) -> int:
    """A `Duration` in whole milliseconds. Raises `ConfigError`, naming `what`, if it is negative or no duration."""
    milliseconds = signed_duration_ms(duration, what)
    if milliseconds < 0:
        raise ConfigError(f"{what} must not be negative, it is {duration!r}")
    return milliseconds


def signed_duration_ms(duration: object, what: str) -> int:
    """As `duration_ms`, and may be negative."""
    if isinstance(duration, timedelta):
        return duration // _MILLISECOND
    if isinstance(duration, (int, float)) and not isinstance(duration, bool):
        return round(duration * 1000)
    raise ConfigError(f"{what} must be a timedelta or a number of seconds, not {duration!r}")


def timestamp_extractor(timestamp: str | Extractor | None, values: Codec[Any]) -> Extractor | None:
    """The function behind a topic's `timestamp=`: a field name or a function; None is the record's own timestamp.
    Raises `TopologyError` for a field that the values are known not to have."""
    return None if timestamp is None else selected(timestamp, values)


def timestamp_of(given: object) -> int:
    """The event time that an `Extractor` gave; a `datetime` without a zone is in UTC. Raises `InvalidTimestamp`."""
    if isinstance(given, datetime):
        given = ((given if given.tzinfo is not None else given.replace(tzinfo=UTC)) - _EPOCH) // _MILLISECOND
    return checked_timestamp(given)


def checked_timestamp(timestamp: object) -> int:
    """The timestamp, if it is one. Raises `InvalidTimestamp` otherwise."""
    if type(timestamp) is not int:
        raise InvalidTimestamp(f"event time must be an int of milliseconds since the epoch, not {timestamp!r}")
    if timestamp < 0:
        raise InvalidTimestamp(f"event time must not be negative, it is {timestamp}")
    if timestamp > _LAST_MS:
        raise InvalidTimestamp(f"event time is milliseconds in 64 bits, which {timestamp} is not")
    return timestamp
