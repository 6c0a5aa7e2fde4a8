"""What a worker knows of topics that its steps choose while they run: whether they are there, with how many partitions.

What is known is good for a minute, as producers' metadata is refreshed; that a topic is missing for a second, so that
events for it neither wait for the broker one by one nor miss the topic for long once it was created.
"""

from __future__ import annotations

import time
from collections.abc import Collection

from ottla.transport.contract import Transport

_KNOWN_S = 60.0
_MISSING_S = 1.0
_MOST = 10_000


class Destinations:
    """The partition counts of topics, asked for when they are needed and remembered for a while."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._found: dict[str, tuple[int | None, float]] = {}

    @property
    def topics(self) -> list[str]:
        """Those that were asked for of late, and exist."""
        return [topic for topic, (count, _) in self._found.items() if count is not None]

    async def partition_counts(self, topics: Collection[str]) -> dict[str, int]:
        """The partition count of each of the topics that exists. Raises `TransportError`."""
        now = time.monotonic()
        known = {topic: self._found[topic] for topic in topics if self._found.get(topic, (None, 0.0))[1] > now}
        if unknown := [topic for topic in topics if topic not in known]:
            counts = await self._transport.partition_counts(unknown)
            for topic in unknown:
                count = counts.get(topic)
                known[topic] = count, now + (_MISSING_S if count is None else _KNOWN_S)
            if len(self._found) > _MOST:
                self._found.clear()
            self._found |= known
        return {topic: count for topic, (count, _) in known.items() if count is not None}
