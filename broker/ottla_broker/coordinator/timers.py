"""Deadlines of one coordinator: a heap of what is due when, without a clock of its own. Pure.

A session timer is pushed back with every heartbeat and hardly ever fires, so `set` to a later deadline only writes a
dictionary; the heap keeps the earlier entry and finds the true deadline once that entry comes up.
"""

from heapq import heappop, heappush
from typing import Generic, Protocol, TypeVar


class TimerKey(Protocol):
    """Names a timer: hashable, ordered among its equals, and knows the partition whose state it concerns."""

    @property
    def partition(self) -> int: ...


K = TypeVar("K", bound=TimerKey)


class Timers(Generic[K]):
    """At most one deadline per key; times are milliseconds of whichever clock the caller uses throughout."""

    __slots__ = ("_deadlines", "_heap", "_queued", "_sequence")

    def __init__(self) -> None:
        self._deadlines: dict[K, int] = {}
        # The earliest heap entry of each key. Entries that no longer agree with it are dropped when they come up.
        self._queued: dict[K, int] = {}
        self._heap: list[tuple[int, int, K]] = []
        self._sequence = 0

    def __len__(self) -> int:
        return len(self._deadlines)

    def __contains__(self, key: K) -> bool:
        return key in self._deadlines

    def deadline(self, key: K) -> int | None:
        """When `key` is due, or None if it is not set."""
        return self._deadlines.get(key)

    def set(self, key: K, deadline_ms: int) -> None:
        """Let `key` come due at `deadline_ms`, in place of any deadline it had."""
        self._deadlines[key] = deadline_ms
        queued = self._queued.get(key)
        if queued is None or deadline_ms < queued:
            self._push(key, deadline_ms)

    def cancel(self, key: K) -> None:
        """Forget `key`; no matter if it is not set."""
        self._deadlines.pop(key, None)

    def cancel_partition(self, partition: int) -> None:
        """Forget all timers of a partition whose state is being dropped."""
        for key in [key for key in self._deadlines if key.partition == partition]:
            del self._deadlines[key]

    def shift(self, milliseconds: int) -> None:
        """Move all deadlines, because the clock that they are measured by has been set."""
        self._deadlines = {key: deadline_ms + milliseconds for key, deadline_ms in self._deadlines.items()}
        self._queued = {key: due_ms + milliseconds for key, due_ms in self._queued.items()}
        self._heap = [(due_ms + milliseconds, sequence, key) for due_ms, sequence, key in self._heap]

    def next_deadline(self) -> int | None:
        """The earliest deadline of all, or None when nothing is set."""
        while self._heap:
            due_ms, _, key = self._heap[0]
            if self._queued.get(key) != due_ms:
                heappop(self._heap)
                continue
            deadline_ms = self._deadlines.get(key)
            if deadline_ms == due_ms:
                return due_ms
            heappop(self._heap)
            del self._queued[key]
            if deadline_ms is not None:
                self._push(key, deadline_ms)
        return None

    def pop_due(self, now_ms: int) -> K | None:
        """Remove and return the key that has been due longest, or None if none is due at `now_ms`.

        One at a time: what follows from the first may cancel the second.
        """
        deadline_ms = self.next_deadline()
        if deadline_ms is None or deadline_ms > now_ms:
            return None
        _, _, key = heappop(self._heap)
        del self._queued[key]
        del self._deadlines[key]
        return key

    def _push(self, key: K, deadline_ms: int) -> None:
        self._queued[key] = deadline_ms
        self._sequence += 1  # keys need no order of their own, and equal deadlines keep theirs
        heappush(self._heap, (deadline_ms, self._sequence, key))
