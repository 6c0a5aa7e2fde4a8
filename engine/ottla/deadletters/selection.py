"""Which dead letters are meant, as the command line says it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from ottla.deadletters.letters import DeadLetter
from ottla.errors import ConfigError

Number = tuple[int, int]
"""A letter's partition and offset in its topic, by which it is called."""

_UNITS_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_AGO = re.compile(r"(\d+)([smhd])")
_NUMBER = re.compile(r"(?:(\d+):)?(\d+)")


@dataclass(frozen=True, slots=True)
class Selection:
    """What letters must have in common; what is None or empty is not looked at.

    `reason` is part of the reason, in any case of its letters; `step` and `type` are whole, `origin` is a topic.
    `since_ms` and `until_ms` bound when the event failed, the second exclusively.
    """

    numbers: frozenset[Number] = frozenset()
    kind: str | None = None
    reason: str | None = None
    type: str | None = None
    step: str | None = None
    origin: str | None = None
    since_ms: int | None = None
    until_ms: int | None = None

    def has(self, letter: DeadLetter) -> bool:
        return (
            (not self.numbers or letter.number in self.numbers)
            and self.kind in (None, letter.kind)
            and (self.reason is None or self.reason.casefold() in letter.reason.casefold())
            and self.type in (None, letter.type)
            and self.step in (None, letter.step)
            and (self.origin is None or (letter.origin is not None and letter.origin[0] == self.origin))
            and (self.since_ms is None or letter.failed_ms >= self.since_ms)
            and (self.until_ms is None or letter.failed_ms < self.until_ms)
        )


def parse_time(text: str, now_ms: int) -> int:
    """`90s`, `15m`, `2h` or `7d` ago, or an ISO 8601 time, which is local if it names no zone. Raises `ConfigError`."""
    if ago := _AGO.fullmatch(text):
        return now_ms - int(ago[1]) * _UNITS_MS[ago[2]]
    try:
        return int(datetime.fromisoformat(text).timestamp() * 1000)
    except ValueError:
        raise ConfigError(f"{text!r} is no time: give 90s, 15m, 2h or 7d ago, or 2026-01-31T12:00") from None


def parse_number(text: str) -> Number:
    """`17`, or `2:17` for a letter in another partition than the first. Raises `ConfigError`."""
    found = _NUMBER.fullmatch(text)
    if found is None:
        raise ConfigError(f"{text!r} is no letter's number, such as 17, or 2:17 in another partition than the first")
    return int(found[1] or 0), int(found[2])


def show_number(number: Number) -> str:
    """A number as `parse_number` reads it."""
    partition, offset = number
    return f"{partition}:{offset}" if partition else str(offset)
