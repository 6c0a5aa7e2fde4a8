"""librdkafka's own log lines, in Python's log."""

from __future__ import annotations

import logging
import time

log = logging.getLogger("ottla.kafka")

_REPEAT_AFTER_S = 10.0


class ClientLog:
    """Takes the lines of one client, as `logger=` of confluent-kafka.

    A client whose broker is away says so for every attempt, dozens a second: each kind of line is let through once in a
    while. None is above a warning, since librdkafka goes on trying; what it gives up is raised as an error.
    """

    def __init__(self) -> None:
        self._said: dict[str, float] = {}

    def log(self, level: int, form: str, kind: str, *details: object) -> None:
        now = time.monotonic()
        if now - self._said.get(kind, -_REPEAT_AFTER_S) >= _REPEAT_AFTER_S:
            self._said[kind] = now
            log.log(min(level, logging.WARNING), form, kind, *details)
