"""Events that an agent acknowledges itself, at least once: offsets are committed up to the first that waits for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from ottla.errors import OttlaError
from ottla.transport.contract import TopicPartition

MOST_UNACKED = 100_000
"""How many events of a partition may wait: they are what is processed again after a crash."""


class Unacked:
    """Those of one task. `moved` says that one was acknowledged since that was last reset."""

    def __init__(self) -> None:
        self.moved = False
        self._held: dict[TopicPartition, Counter[int]] = {}

    def hold(self, where: TopicPartition, offset: int) -> None:
        """An agent has taken an event, and will acknowledge it. Raises `OttlaError` where too many wait already."""
        held = self._held.setdefault(where, Counter())
        if len(held) >= MOST_UNACKED:
            raise OttlaError(
                f"{MOST_UNACKED} events of {where.topic}-{where.partition} wait to be acknowledged already"
            )
        held[offset] += 1

    def release(self, where: TopicPartition, offset: int) -> None:
        """The event is acknowledged."""
        held = self._held[where]
        held[offset] -= 1
        if not held[offset]:
            del held[offset]
            self.moved = True

    def held_back(self, positions: Mapping[TopicPartition, int]) -> dict[TopicPartition, int]:
        """Positions, each no further than to the first event of its partition that waits."""
        return {
            where: min(offset, *held) if (held := self._held.get(where)) else offset
            for where, offset in positions.items()
        }
