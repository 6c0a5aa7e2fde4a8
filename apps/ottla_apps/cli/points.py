"""Positions in a partition as people write them: `start`, `end`, `42`, `+5`, `-5`, `@2013-01-01`. Pure.

    start, earliest     the first record that is there
    end, latest         after the last record
    N                   offset N
    +N, -N              N after the start, N before the end
    @T                  the first record from time T on

T is milliseconds since 1970 (or seconds, where it has ten digits), a date or time of ISO 8601 in UTC unless it names an
offset, or an age such as `-90m`, `-36h` or `-1d12h`. A range is `FROM:TO`, where TO itself is left out, `FROM:` or
`:TO`. The notation is that of rpk.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum, auto

from ottla_apps.cli.errors import BadArgument

_NAMED = {"start": "START", "earliest": "START", "end": "END", "latest": "END"}
_UNITS_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 7 * 86_400_000}
_AGE = re.compile(r"-((?:\d+(?:ms|[smhdw]))+)")
_AGE_PART = re.compile(r"(\d+)(ms|[smhdw])")
_NUMBER = re.compile(r"[+-]?[0-9]+")
_DIGITS_OF_SECONDS = 10
_MAX_OFFSET = 2**63 - 1


class Kind(Enum):
    """What the number of a `Point` counts."""

    START = auto()  # nothing
    END = auto()  # nothing
    OFFSET = auto()  # an offset
    AFTER_START = auto()  # offsets
    BEFORE_END = auto()  # offsets
    TIME = auto()  # milliseconds since 1970


@dataclass(frozen=True, slots=True)
class Point:
    """A position that only a partition can turn into an offset."""

    kind: Kind
    number: int = 0

    def __str__(self) -> str:
        match self.kind:
            case Kind.AFTER_START:
                return f"+{self.number}"
            case Kind.BEFORE_END:
                return f"-{self.number}"
            case Kind.TIME:
                return f"@{self.number}"
            case Kind.OFFSET:
                return str(self.number)
        return self.kind.name.lower()


START = Point(Kind.START)
END = Point(Kind.END)


@dataclass(frozen=True, slots=True)
class Range:
    """From a point up to, and without, another one; without an end where `stop` is None."""

    start: Point
    stop: Point | None = None


def parse_point(text: str, now_ms: int) -> Point:
    """Read one position. Raises BadArgument."""
    if named := _NAMED.get(text):
        return Point(Kind[named])
    if text.startswith("@"):
        return Point(Kind.TIME, parse_time(text[1:], now_ms))
    if not _NUMBER.fullmatch(text):
        raise BadArgument(f"{text!r} is no position: write start, end, an offset, +N, -N or @TIME.")
    number = abs(int(text))
    if number > _MAX_OFFSET:
        raise BadArgument(f"{text} is larger than any offset.")
    kinds = {"+": Kind.AFTER_START, "-": Kind.BEFORE_END}
    return Point(kinds.get(text[0], Kind.OFFSET), number)


def parse_range(text: str, now_ms: int) -> Range:
    """Read a position, or a range of them. Raises BadArgument."""
    try:
        return Range(parse_point(text, now_ms))
    except BadArgument as error:
        failure = error
    # A time has colons of its own, so each of them may be the one between the two positions.
    for colon in re.finditer(":", text):
        first, second = text[: colon.start()], text[colon.end() :]
        try:
            start = parse_point(first, now_ms) if first else START
            return Range(start, parse_point(second, now_ms) if second else None)
        except BadArgument:
            continue
    if ":" in text:
        raise BadArgument(f"{text!r} is no range: write FROM:TO, where each is start, end, an offset, +N, -N or @TIME.")
    raise failure


def parse_time(text: str, now_ms: int) -> int:
    """Read a time as milliseconds since 1970. Raises BadArgument."""
    if text.isascii() and text.isdigit():
        number = int(text)
        if number > _MAX_OFFSET:
            raise BadArgument(f"The time {text} lies beyond all that can be written.")
        return number * 1000 if len(text) == _DIGITS_OF_SECONDS else number
    if age := _AGE.fullmatch(text):
        elapsed = sum(int(count) * _UNITS_MS[unit] for count, unit in _AGE_PART.findall(age[1]))
        return max(0, now_ms - elapsed)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise BadArgument(
            f"{text!r} is no time: write milliseconds since 1970, 2013-01-31, 2013-01-31T10:30Z, or an age like -90m."
        ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0, round(moment.timestamp() * 1000))


def format_time(timestamp_ms: int) -> str:
    """A time as people read it, in UTC with milliseconds; the number itself where no calendar has it."""
    try:
        moment = datetime.fromtimestamp(timestamp_ms / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return str(timestamp_ms)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{timestamp_ms % 1000:03d}Z"
