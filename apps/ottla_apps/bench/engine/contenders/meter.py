"""Counts what a contender processes. Standard library only: peers run it in environments of their own."""

import json
import os
import sys
import time

CHECK_EVERY = 1024
"""A contender reports its count every so many events, so that reporting costs none of them anything."""


class Meter:
    """Ends the process once enough was processed; the figures are its last words."""

    def __init__(self, count: int, seconds: float) -> None:
        self._count = count - count % CHECK_EVERY
        self._seconds = seconds
        self._started: float | None = None

    def start(self) -> None:
        """The first event is here."""
        self._started = time.perf_counter()

    def passed(self, events: int) -> None:
        """`events` were processed since the start."""
        assert self._started is not None
        seconds = time.perf_counter() - self._started
        if events >= self._count or seconds >= self._seconds:
            os.write(1, json.dumps({"events": events, "seconds": seconds}).encode() + b"\n")  # faust captures print
            os._exit(0)  # at once: how long a contender takes to stop is not what is measured


def arguments() -> tuple[str, str, str, Meter]:
    """Job, broker address, topic and meter from the command line."""
    job, broker, topic, count, seconds = sys.argv[1:]
    return job, broker, topic, Meter(int(count), float(seconds))
