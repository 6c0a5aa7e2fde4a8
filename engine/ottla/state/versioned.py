"""Versioned stores: of every key the values it had, each with the time from which it was valid (KIP-889).

A version is an entry of its own, under the key and behind it the time, counted down, so that the versions of a key are
neighbours, the newest first, and what was valid at a time is the first one from there on. A deletion is a version too.
So in the changelog, which is compacted, no version hides another, and it can be restored like that of any store.

What is superseded is kept for `retention_ms` of stream time, which here is the newest time that was written, as in
Kafka Streams. What is older can neither be read nor written; the newest version of a key never ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain, groupby, pairwise
from typing import Any, Final, Generic, TypeVar

import msgspec

from ottla.serdes import Codec
from ottla.state.cache import StoreCache
from ottla.state.pairs import behind_prefix, first_of, pair_codec
from ottla.state.store import KeyValueStore, StoreSpec
from ottla.state.timed import Entry, TimedCache, timed_spec

V = TypeVar("V")

_ROUNDS = 8
LAST_TIME = (1 << 63) - 1
_DELETED: Final[Entry] = ()
_NOTHING: Final[tuple[Any, int | None]] = (object(), None)
_DELETED_BYTES, _VALUE = b"\x00", b"\x01"


class Version(msgspec.Struct, Generic[V], frozen=True):
    """A value and when it was valid: from `timestamp` on, and up to `valid_to`, exclusive; None is until now."""

    value: V
    timestamp: int
    valid_to: int | None


class VersionedCache(TimedCache):
    """Reads and writes versions. `get`, `put` and `delete` mean the newest, and the time of the event at hand."""

    __slots__ = ("_encode", "_newest", "_passed", "_retention_ms")

    def __init__(
        self,
        spec: StoreSpec,
        store: KeyValueStore,
        *,
        capacity: int,
        retention_ms: int,
        encode: Callable[[Any], bytes],
    ) -> None:
        super().__init__(spec, store, capacity=capacity, pace_ms=max(retention_ms // _ROUNDS, 1))
        self._retention_ms = retention_ms
        self._encode = encode
        # The time of the newest version of keys that were looked up, so that the next look-up is of one entry.
        self._newest: dict[Any, int] = {}
        # The key and time of the entry before the one at which a round goes on.
        self._passed = _NOTHING

    # -- reading

    def get(self, key: Any, default: Any = None) -> Any:
        newest = self.newest_time(key)
        entry = None if newest is None else StoreCache.get(self, (key, newest))
        return entry[0] if entry else default

    def __contains__(self, key: Any) -> bool:
        return self.get(key) is not None

    def range(
        self, start: bytes | None = None, end: bytes | None = None, *, reverse: bool = False
    ) -> Iterator[tuple[Any, Any]]:
        first, last = (None if bound is None else first_of(bound) for bound in (start, end))
        for key, versions in groupby(self.kept(first, last, reverse=reverse), lambda version: version[0][0]):
            entries = [entry for _, entry in versions]
            if newest := entries[-1 if reverse else 0]:
                yield key, newest[0]

    def find(self, key: Any, time: int) -> tuple[int, Any] | None:
        """The timestamp and the value of what was valid at a time. None if nothing was, or if it is too long ago."""
        newest = self.newest_time(key)
        if newest is None:
            return None
        if newest <= time:
            found, entry = newest, StoreCache.get(self, (key, newest))
        elif time < self.horizon or time < 0:
            return None
        else:
            encoded = first_of(self._encode(key))
            end = behind_prefix(encoded)
            found, entry = next(
                ((at, entry) for (_, at), entry in self.kept(encoded + _counted_down(time), end)), (0, _DELETED)
            )
        return (found, entry[0]) if entry else None

    def versions(self, key: Any) -> Iterator[Version[Any]]:
        """The versions of a key that can be read, the newest first."""
        encoded = first_of(self._encode(key))
        valid_to: int | None = None
        for (_, time), entry in self.kept(encoded, behind_prefix(encoded)):
            if valid_to is not None and valid_to <= self.horizon:
                return
            if entry:
                yield Version(entry[0], time, valid_to)
            valid_to = time

    @property
    def horizon(self) -> int:
        """What was superseded by then can neither be read nor written any more."""
        return self.stream_time - self._retention_ms

    # -- writing

    def put(self, key: Any, value: Any) -> None:
        self.write(key, value, self.time())

    def delete(self, key: Any) -> None:
        self.write(key, None, self.time())

    def write(self, key: Any, value: Any, time: int) -> bool:
        """Makes a value valid from a time on, None deletes from then on; what came later stays valid from its own time.

        Returns whether it was written: a time before the horizon is too late.
        """
        if time < self.horizon:
            return False
        self.advance(time)
        newest = self.newest_time(key)
        StoreCache.put(self, (key, time), _DELETED if value is None else (value,))
        if newest is None or time > newest:
            self._newest[key] = time
        return True

    def take_back(self, key: Any, stored: Any) -> None:
        super().take_back(key, stored)
        self._newest.pop(key[0], None)

    def discard(self) -> None:
        super().discard()
        self._newest.clear()
        self._passed = _NOTHING

    def over(self, entries: Iterator[tuple[Any, Entry]]) -> Iterator[tuple[Any, bool]]:
        """What a newer version superseded by the horizon, and a deletion before it that hides nothing any more."""
        horizon = self.horizon
        key, newer = self._passed
        for ((of, time), entry), follower in pairwise(chain(entries, [(None, _DELETED)])):
            if of != key:
                key, newer = of, None
            hides_nothing = follower[0] is None or follower[0][0] != of
            yield (
                (of, time),
                (newer is not None and newer <= horizon) or (not entry and time <= horizon and hides_nothing),
            )
            # Only now was it dealt with: a round that stops before an entry goes on with it.
            newer = time
            self._passed = (key, newer)
        self._passed = _NOTHING

    def newest_time(self, key: Any) -> int | None:
        """The time of the newest version of a key, be it a deletion; None if it has none."""
        newest = self._newest.get(key)
        if newest is None:
            encoded = first_of(self._encode(key))
            newest = next((time for (_, time), _ in self.kept(encoded, behind_prefix(encoded))), None)
            if newest is not None:
                if len(self._newest) >= self.capacity:
                    self._newest.clear()
                self._newest[key] = newest
        return newest


def _counted_down(time: int) -> bytes:
    return (LAST_TIME - time).to_bytes(8, "big")


_TIME: Codec[int] = Codec("time", _counted_down, lambda data: LAST_TIME - int.from_bytes(data, "big"), int)


def versioned_spec(name: str, changelog: str, key: Codec[Any], value: Codec[Any], retention_ms: int) -> StoreSpec:
    """The store of a versioned table."""
    versions = pair_codec(key, _TIME)
    encode, decode = value.encode, value.decode
    return timed_spec(
        name,
        changelog,
        partial(VersionedCache, retention_ms=retention_ms, encode=key.encode),
        versions.encode,
        versions.decode,
        lambda entry: _VALUE + encode(entry[0]) if entry else _DELETED_BYTES,
        lambda data: _DELETED if data == _DELETED_BYTES else (decode(data[1:]),),
    )
