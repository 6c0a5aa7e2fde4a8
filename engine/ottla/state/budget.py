"""How much the caches of a worker may hold together.

A worker has a cache for each store of each task, of which a few are large and hot and most are neither. They share one
bound: small caches keep what they have, and the large ones get equal parts of the rest. The memory that entries take is
estimated from their encoded size, so that large values do not take more than small ones.
"""

from __future__ import annotations

from typing import Protocol
from weakref import WeakSet

LEAST_ENTRIES = 200
"""Every cache may hold so many, or a store that is used seldom would be of no use to anybody."""


class Bounded(Protocol):
    """What shares a budget: a cache that holds `held` entries of `entry_bytes` each, of `capacity` that it may."""

    capacity: int

    @property
    def held(self) -> int: ...
    @property
    def entry_bytes(self) -> int: ...


class CacheBudget:
    """Shares `limit_bytes` among caches, anew each time that all of them have settled a commit."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._caches: WeakSet[Bounded] = WeakSet()
        self._settled = 0

    def join(self, cache: Bounded) -> None:
        """Lets a cache have its share, until it is thrown away."""
        self._caches.add(cache)
        self.share()

    def settled(self) -> None:
        """One of the caches has settled a commit."""
        self._settled += 1
        if self._settled >= len(self._caches):
            self.share()

    def share(self) -> None:
        """Says to each cache how much it may hold."""
        self._settled = 0
        caches = sorted(self._caches, key=_bytes_held)
        left = self._limit_bytes
        for number, cache in enumerate(caches):
            part = left // (len(caches) - number)
            left -= min(_bytes_held(cache), part)
        # Nobody is above the part of the largest: who needs less may grow up to it, until this is reckoned anew.
        level = (min(_bytes_held(caches[-1]), part) if caches else 0) + left
        for cache in caches:
            cache.capacity = max(level // cache.entry_bytes, LEAST_ENTRIES)


def _bytes_held(cache: Bounded) -> int:
    return cache.held * cache.entry_bytes
