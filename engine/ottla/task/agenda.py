"""What is due by time, in the order of time: marks in a store of slots, of which only the next few are in memory.

Windows that end, sessions that may have ended, events that wait: each is marked under the time at which something is to
be done. Marks are state, so that a restart finds them. Asking the store at every event whether one is due would cost
more than the event, so they are read a stretch of time ahead.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heappop, heappush
from typing import Any

from ottla.state.cache import StoreCache
from ottla.task.slots import Slot, prefix


class Agenda:
    """The slots of a store whose time is not below zero, as a queue.

    `ahead_ms` is how far it reads ahead: a small part of the span of time over which marks lie. A slot that was deleted
    since it was marked is passed over.
    """

    def __init__(self, store: StoreCache, ahead_ms: int) -> None:
        self._store = store
        self._ahead_ms = max(ahead_ms, 1)
        # All marks before the horizon are in memory: time, encoded slot and slot, as a heap.
        self._horizon = 0
        self._near: list[tuple[int, bytes, Slot]] = []

    def put(self, time: int, key: Any, value: Any) -> None:
        """Marks a key under a time, with a value that belongs to it; marked twice it is there once."""
        slot = (time, key)
        if time < self._horizon and slot not in self._store:
            heappush(self._near, (time, self._store.spec.encode_key(slot), slot))
        self._store.put(slot, value)

    def due(self, time: int) -> bool:
        """Whether there may be marks before this time. Cheap, for every event."""
        return time > self._horizon or (bool(self._near) and self._near[0][0] < time)

    def take(self, time: int) -> Iterator[tuple[int, Any, Any]]:
        """Removes the marks before this time: time, key and value, in the order of time and then of encoded keys."""
        if time > self._horizon:
            self._read(time + self._ahead_ms)
        near = self._near
        while near and near[0][0] < time:
            slot = heappop(near)[2]
            value = self._store.get(slot)
            if value is not None:
                self._store.delete(slot)
                yield *slot, value

    def _read(self, horizon: int) -> None:
        for slot, _ in self._store.range(prefix(self._horizon), prefix(horizon)):
            heappush(self._near, (slot[0], self._store.spec.encode_key(slot), slot))
        self._horizon = horizon
