"""Matching clients' regular expressions in a thread: whoever sends one that takes long holds up nobody else."""

import asyncio
from collections.abc import Sequence

from ottla_broker.coordinator.regexes import Regex, matching

STRETCH = 1_000
"""How many names are matched before the thread is given back, so that stopping need not wait for all of them."""


class Matcher:
    """Matches for one client at a time."""

    def __init__(self) -> None:
        self._turn = asyncio.Semaphore(1)

    async def matching(self, regex: str, names: Sequence[str]) -> frozenset[str]:
        """Those of `names` that the expression stands for. Raises KafkaError INVALID_REGULAR_EXPRESSION."""
        Regex(regex)
        found: set[str] = set()
        async with self._turn:
            for start in range(0, len(names), STRETCH):
                found |= await asyncio.to_thread(matching, regex, names[start : start + STRETCH])
        return frozenset(found)
