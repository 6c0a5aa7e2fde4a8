"""How many requests of each kind there were, and how long they took: counted with as little work as possible. Pure.

A request's time runs from when it is started to when its response is ready, waiting included (Kafka's TotalTimeMs).
"""

import struct
from bisect import bisect_left
from collections.abc import Iterator

from ottla_broker.dispatch import APIS

# Upper bounds of the buckets, in milliseconds; one more bucket takes all that is above.
BOUNDS_MS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000)

_KEY_AND_VERSION = struct.Struct(">hh")


class Timing:
    """The requests of one API in one version."""

    __slots__ = ("buckets", "total_ms")

    def __init__(self) -> None:
        self.buckets = [0] * (len(BOUNDS_MS) + 1)
        self.total_ms = 0.0

    def observe(self, took_ms: float) -> None:
        self.buckets[bisect_left(BOUNDS_MS, took_ms)] += 1
        self.total_ms += took_ms


class RequestTimings:
    """The timings of one broker: no more than there are APIs and versions."""

    def __init__(self) -> None:
        self._timings: dict[bytes, Timing] = {}
        self._others = Timing()

    def of(self, frame: bytearray | memoryview) -> Timing:
        """Where the request in a frame is to be counted; what is no request of ours is counted nowhere that shows."""
        head = bytes(frame[: _KEY_AND_VERSION.size])
        timing = self._timings.get(head)
        return self._first_of(head) if timing is None else timing

    def _first_of(self, head: bytes) -> Timing:
        if len(head) < _KEY_AND_VERSION.size:
            return self._others
        api_key, version = _KEY_AND_VERSION.unpack(head)
        api = APIS.get(api_key)
        if api is None or version not in api.versions:
            return self._others
        return self._timings.setdefault(head, Timing())

    def __iter__(self) -> Iterator[tuple[int, int, Timing]]:
        """(API key, version, timing) of everything that was asked for."""
        for head, timing in self._timings.items():
            api_key, version = _KEY_AND_VERSION.unpack(head)
            yield api_key, version, timing
