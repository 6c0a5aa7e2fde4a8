"""librdkafka's own log lines, in Python's log."""

from __future__ import annotations

import logging
import time

log = logging.getLogger("ottla.kafka")

_REPEAT_AFTER_S = 10.0
_OTHER_CLIENTS = "property and will be ignored by this"


class ClientLog:
    """Takes the lines of one client, as `logger=` of confluent-kafka.

    A client whose broker is away says so for every attempt, dozens a second: each kind of line is let through once in a
    while. None is above a warning, since librdkafka goes on trying; what it gives up is raised as an error. That a
    user's option concerns producers or consumers alone is not worth a line: all clients are given the same ones.
    `highest` is a lower bound than that, for a client of which somebody else says how it fares.
    """

    def __init__(self, highest: int = logging.WARNING) -> None:
        self._highest = highest
        self._said: dict[str, float] = {}

    def log(self, level: int, form: str, kind: str, *details: object) -> None:
        if kind == "CONFWARN" and any(_OTHER_CLIENTS in str(detail) for detail in details):
            return
        now = time.monotonic()
        if now - self._said.get(kind, -_REPEAT_AFTER_S) >= _REPEAT_AFTER_S:
            self._said[kind] = now
            log.log(min(level, self._highest), form, kind, *details)
