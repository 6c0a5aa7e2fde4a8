"""The write-back cache before a store: what tasks read and write.

A task's writes stay here, decoded, until the worker commits. Then the keys written since are encoded once each,
however often they changed, go to the changelog, and only after the transaction committed to the store:

    put, delete, get, range  ->  changes()  ->  (changelog, transaction commit)  ->  committed(offset)  ->  store
                                            ->  (transaction aborted)            ->  discard()

Uncommitted state never reaches the store, so that a crash needs no wipe: the store is always exact for its own offset.
"""

from __future__ import annotations

import sys
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from operator import ge, itemgetter, le
from typing import Any, Final

from ottla.errors import DecodeError, EncodeError, Unavailable
from ottla.state.budget import CacheBudget
from ottla.state.changes import Change, Changes, KeyRange
from ottla.state.store import KeyValueStore, StoreSpec

_MISSING: Final = object()
_ABSENT: Final = object()
"""Stands in the cache for the value of a key that is known not to exist."""

_encoded = itemgetter(0)

# Measured with values of a few fields: what the dict, the key and the objects take, and how much larger than encoded.
_ENTRY_BYTES = 250
DECODED_TIMES = 3
SAMPLED_CHANGES = 16
_MOST_SAMPLED = 10_000


def open_cache(
    spec: StoreSpec, store: KeyValueStore, *, capacity: int = 100_000, budget: CacheBudget | None = None
) -> StoreCache:
    """The cache before a store, of the kind that its spec asks for. With a budget that says how much it may hold."""
    cache: StoreCache = (spec.cache or StoreCache)(spec, store, capacity=capacity)
    if budget is not None:
        cache.share(budget)
    return cache


class StoreCache:
    """The decoded, uncommitted and recently used entries of one store of one task.

    `capacity` bounds the clean entries; the worker commits early when `dirty_count` reaches it, which bounds the
    others. Caches that share a budget have theirs from it. Values are kept by reference: who changes one in place must
    `put` it for the change to count.
    """

    __slots__ = (
        "__weakref__",
        "_budget",
        "_changes",
        "_decode_key",
        "_decode_value",
        "_dirty",
        "_dropped",
        "_encode_key",
        "_encode_value",
        "_entries",
        "_fresh",
        "_in_flight",
        "_runs",
        "_sampled",
        "_sampled_bytes",
        "capacity",
        "spec",
        "store",
    )

    def __init__(self, spec: StoreSpec, store: KeyValueStore, *, capacity: int = 100_000) -> None:
        self.spec = spec
        self.store = store
        self.capacity = capacity
        self._encode_key = spec.encode_key
        self._decode_key = spec.decode_key
        self._encode_value = spec.encode_value
        self._decode_value = spec.decode_value
        self._entries: dict[Any, Any] = {}
        # Keys written since the last `changes`, and those handed out by it, each with its encoded form.
        self._dirty: dict[Any, bytes] = {}
        self._in_flight: dict[Any, bytes] = {}
        # What of them goes to the store, and the ranges of keys that are deleted there at once instead.
        self._changes: Sequence[Change] = Changes([], [])
        self._dropped: list[KeyRange] = []
        # The keys of both, for `range`: in sorted runs, each less than half as long as the one before, and those not
        # sorted yet. So a range costs a look into a few runs, and a key is merged a few times, however often the two
        # alternate; windows that close while others fill do little else.
        self._runs: list[list[tuple[bytes, Any]]] = []
        self._fresh: list[tuple[bytes, Any]] = []
        self._budget: CacheBudget | None = None
        # Of how many values the encoded size was added up.
        self._sampled = self._sampled_bytes = 0

    def share(self, budget: CacheBudget) -> None:
        """From now on the budget says how much this cache may hold."""
        self._budget = budget
        budget.join(self)

    @property
    def held(self) -> int:
        """How many entries are in memory."""
        return len(self._entries)

    @property
    def entry_bytes(self) -> int:
        """What an entry takes in memory, estimated from the encoded size of the values of late."""
        return _ENTRY_BYTES + DECODED_TIMES * self.value_bytes

    @property
    def value_bytes(self) -> int:
        """The mean encoded size of the values of late."""
        return self._sampled_bytes // max(self._sampled, 1)

    @property
    def dirty_count(self) -> int:
        """How many keys were written since the last `changes`."""
        return len(self._dirty)

    def get(self, key: Any, default: Any = None) -> Any:
        """The value of the key as this task last wrote it, or `default`."""
        value = self._entries.get(key, _MISSING)
        if value is _MISSING:
            value = self._load(key)
        return default if value is _ABSENT else value

    def __contains__(self, key: Any) -> bool:
        return self.get(key, _MISSING) is not _MISSING

    def put(self, key: Any, value: Any) -> None:
        """Sets the value of the key. Raises `EncodeError` for a key that cannot be encoded."""
        if key not in self._dirty:
            self._mark(key)
        self._entries[key] = value

    def delete(self, key: Any) -> None:
        """Removes the key; a key that does not exist is no error."""
        if key not in self._dirty:
            self._mark(key)
        self._entries[key] = _ABSENT

    def use_clock(self, clock: Callable[[], int | None]) -> None:
        """Says where the time of the event at hand comes from, for the kinds of cache that have to do with time."""

    def stored(self, key: Any) -> Any:
        """What `take_back` needs to know before the key is written."""
        return StoreCache.get(self, key)

    def take_back(self, key: Any, stored: Any) -> None:
        """Makes the key again what `stored` said it was."""
        if stored is None:
            StoreCache.delete(self, key)
        else:
            StoreCache.put(self, key, stored)

    def range(
        self, start: bytes | None = None, end: bytes | None = None, *, reverse: bool = False
    ) -> Iterator[tuple[Any, Any]]:
        """The entries with start <= encoded key < end in the order of the encoded keys, or the last first, uncommitted
        ones included.

        Entries may be written and deleted during the iteration: a deletion ahead of it is seen, a new key may be
        missed.
        """
        entries = self._entries
        unsaved = self._unsaved(start, end)
        pending = reversed(unsaved) if reverse else iter(unsaved)
        not_behind = ge if reverse else le
        head = next(pending, None)
        for encoded, data in self.store.range(start, end, reverse=reverse):
            while head is not None and not_behind(head[0], encoded):
                value = entries[head[1]]
                if value is not _ABSENT:
                    yield head[1], value
                passed = head[0]
                head = next(pending, None)
                if passed == encoded:
                    break
            else:
                key = self._decode_key(encoded)
                value = entries.get(key, _MISSING)
                if value is _MISSING:
                    yield key, self._decoded(key, data)
                elif value is not _ABSENT:
                    yield key, value
        while head is not None:
            value = entries[head[1]]
            if value is not _ABSENT:
                yield head[1], value
            head = next(pending, None)

    def changes(self, most: int = sys.maxsize) -> Changes:  # noqa: ARG002 - for kinds with several entries in a record
        """What was written since the last call, as records of the changelog: encoded, one change per key (None:
        deleted). No record that has several entries has more than `most` bytes.

        `committed` or `discard` must follow before the next call; reads and writes may come in between.
        """
        if self._in_flight:
            raise RuntimeError(
                f"store {self.spec.name}: changes were handed out twice without committed() or discard()"
            )
        encode, written = self._encode_value, map(self._entries.__getitem__, self._dirty)
        values = [None if value is _ABSENT else encode(value) for value in written]
        changes = Changes(list(self._dirty.values()), values)
        self._in_flight, self._dirty, self._changes = self._dirty, {}, changes
        for _, data in changes[:SAMPLED_CHANGES]:
            self._sample(data)
        return changes

    def committed(self, offset: int | None) -> None:
        """The changes last handed out are committed: writes them and the changelog offset to the store in one batch.

        Without an offset the store keeps the one it has.
        """
        if self._changes or self._dropped or offset is not None:
            self.store.write_batch(self._changes, offset, self._dropped)
        self._in_flight, self._changes, self._dropped = {}, Changes([], []), []
        self._runs = []
        self._fresh = [(encoded, key) for key, encoded in self._dirty.items()]
        if self._budget is not None:
            self._budget.settled()
        self._evict()

    def discard(self) -> None:
        """The commit failed: forgets everything that is not in the store."""
        self._entries.clear()
        self._dirty.clear()
        self._in_flight, self._changes, self._dropped = {}, Changes([], []), []
        self._runs, self._fresh = [], []

    def _mark(self, key: Any) -> None:
        try:
            encoded = self._encode_key(key)
        except Unavailable:
            raise
        except Exception as error:  # whatever a codec raises
            raise self._no_key(key, error) from error
        self._dirty[key] = encoded
        if key not in self._in_flight:
            self._fresh.append((encoded, key))

    def _load(self, key: Any) -> Any:
        try:
            encoded = self._encode_key(key)
        except Unavailable:
            raise
        except Exception as error:  # whatever a codec raises
            raise self._no_key(key, error) from error
        data = self.store.get(encoded)
        value = _ABSENT if data is None else self._decoded(key, data)
        self._entries[key] = value
        self._sample(data)
        self._evict()
        return value

    def _decoded(self, key: Any, data: bytes) -> Any:
        try:
            return self._decode_value(data)
        except Unavailable:
            raise
        except Exception as error:  # whatever a codec raises
            raise DecodeError(f"{self.spec.name!r} has under {key!r:.200} what cannot be read: {error}") from error

    def _no_key(self, key: Any, error: Exception) -> EncodeError:
        return EncodeError(f"{key!r:.200} cannot be a key of {self.spec.name!r}: {error}")

    def _sample(self, data: bytes | None) -> None:
        if data is None:
            return
        self._sampled += 1
        self._sampled_bytes += len(data)
        if self._sampled == _MOST_SAMPLED:
            self._sampled //= 2
            self._sampled_bytes //= 2

    def _unsaved(self, start: bytes | None, end: bytes | None) -> list[tuple[bytes, Any]]:
        runs = self._runs
        if self._fresh:
            run = sorted(self._fresh, key=_encoded)
            self._fresh.clear()
            while runs and len(runs[-1]) <= 2 * len(run):
                run = sorted(runs.pop() + run, key=_encoded)
            runs.append(run)
        found: list[tuple[bytes, Any]] = []
        for run in runs:
            first = 0 if start is None else bisect_left(run, start, key=_encoded)
            last = len(run) if end is None else bisect_left(run, end, first, key=_encoded)
            found += run[first:last]
        if len(runs) > 1:
            found.sort(key=_encoded)
        return found

    def _evict(self) -> None:
        """Drops the clean entries that came first when there are more than `capacity`, an eighth of them at once.

        First in, first out: a hot key that is dropped comes back with its next read, which is cheaper than moving
        every key at every read.
        """
        entries, dirty, in_flight = self._entries, self._dirty, self._in_flight
        excess = len(entries) - len(dirty) - len(in_flight) - self.capacity
        if excess <= 0:
            return
        clean = (key for key in entries if key not in dirty and key not in in_flight)
        for key in list(islice(clean, excess + self.capacity // 8)):
            del entries[key]
