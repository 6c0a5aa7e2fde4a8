"""Requests that wait for something to happen to a partition: today, fetches that wait for enough bytes.

A fetch with too little to answer parks here under each of its partitions, with the number of bytes it still misses.
Whoever advances a high watermark says so with `advanced`; whatever else may change the answer (the end of a
transaction, the deletion of a partition, a change of leader) says `wake`. Counting bytes instead of reading again at
each append keeps a fetch with a large `min_bytes` from costing a read per append.
"""

import asyncio
from collections.abc import Sequence

Partition = tuple[str, int]


class _Parked:
    """One parked fetch; it stands under every partition that it waits for."""

    __slots__ = ("future", "missing_bytes", "partitions", "timer")

    def __init__(
        self, future: asyncio.Future[None], partitions: Sequence[Partition], missing_bytes: int, timeout_ms: int
    ) -> None:
        self.future = future
        self.partitions = partitions
        self.missing_bytes = missing_bytes
        self.timer = future.get_loop().call_later(timeout_ms / 1000, self.release)

    def release(self) -> None:
        if not self.future.done():
            self.future.set_result(None)


class Waits:
    """The parked fetches of one broker, by partition."""

    def __init__(self) -> None:
        self._fetches: dict[Partition, set[_Parked]] = {}
        self.parked = 0  # fetches, each under all of its partitions

    def for_bytes(self, partitions: Sequence[Partition], missing_bytes: int, timeout_ms: int) -> "asyncio.Future[None]":
        """Done when `missing_bytes` more can be read from `partitions` together, on a wake, or after `timeout_ms`.

        The partitions are different ones. The caller reads again in any case: what woke it may have been an error or a
        transaction. To wait no longer, cancel it.
        """
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        parked = _Parked(future, partitions, missing_bytes, timeout_ms)
        for partition in partitions:
            self._fetches.setdefault(partition, set()).add(parked)
        self.parked += 1
        future.add_done_callback(lambda _: self._leave(parked))
        return future

    def _leave(self, parked: _Parked) -> None:
        self.parked -= 1
        parked.timer.cancel()
        for partition in parked.partitions:
            others = self._fetches[partition]
            others.discard(parked)
            if not others:
                del self._fetches[partition]

    def advanced(self, topic: str, index: int, size_bytes: int) -> None:
        """`size_bytes` more of a partition have become readable."""
        fetches = self._fetches.get((topic, index))
        if fetches:
            for parked in fetches:
                parked.missing_bytes -= size_bytes
                if parked.missing_bytes <= 0:
                    parked.release()

    def wake(self, topic: str, index: int) -> None:
        """Something about a partition has changed: every fetch that waits for it looks again."""
        for parked in self._fetches.get((topic, index), ()):
            parked.release()

    def __len__(self) -> int:
        """Partitions that something waits for."""
        return len(self._fetches)
