"""What was committed to a store and is not on disk yet. Pure.

A key that changes again before it is written costs the disk nothing, and neither does one that is deleted soon: of the
keys of a window, most. As `MemoryStore` and a log-structured store's own memtable, but a dict: at a commit it costs a
twentieth of what the other takes. What comes packed stays so until somebody reads, or it is written: of windows most is
deleted before.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from operator import gt, lt
from typing import Final

from ottla.state.changes import Change, Changes, KeyRange, Packed, PackedChanges

UNKNOWN: Final = object()
"""What `get` returns for a key that did not change."""

_ENTRY_BYTES = 170
"""What the dict and the objects take besides the bytes of key and value."""


class Unwritten:
    """The ranges of keys that were deleted at once, and the last change since then of each key, in their order."""

    __slots__ = ("_added_bytes", "_changes", "_keys", "_packed", "_ranges", "count", "dropped", "told_bytes")

    def __init__(self) -> None:
        self.dropped: list[KeyRange] = []
        """The ranges; the changes are later than they."""
        self._changes: dict[bytes, bytes | None] = {}
        # The keys in order, but for those that came behind them in the dict since the last range.
        self._keys: list[bytes] = []
        # What came packed, by the ranges of its keys, which have nothing in common: later than the changes.
        self._packed: dict[KeyRange, list[Packed]] = {}
        self._ranges = 0
        self._added_bytes = 0
        self.told_bytes = 0
        """What `add` and `reckon` said last."""
        self.count = 0
        """How many changes came, those of one key counted each."""

    @property
    def held_bytes(self) -> int:
        """What it takes in memory, at most: values that were replaced are counted until `reckon`."""
        return self._added_bytes + _ENTRY_BYTES * len(self._changes)

    def add(self, changes: Sequence[Change], dropped: Sequence[KeyRange] = ()) -> int:
        """First deletes the ranges, then makes the changes. Returns how many bytes more it holds than it said last."""
        self.count += len(changes)
        if dropped:
            self._drop(dropped)
        if isinstance(changes, PackedChanges):
            self._merge(changes.plain)
            for part in changes.packed:
                self._keep(part)
        else:
            self._merge(Changes.of(changes))
        before, self.told_bytes = self.told_bytes, self.held_bytes
        return self.told_bytes - before

    def reckon(self) -> int:
        """What it takes in memory, looked up."""
        self._added_bytes = Changes(list(self._changes), list(self._changes.values())).size
        self._added_bytes += sum(part.size for parts in self._packed.values() for part in parts)
        self.told_bytes = self.held_bytes
        return self.told_bytes

    def get(self, key: bytes) -> bytes | object | None:
        """The new value of the key, None if it was deleted, or `UNKNOWN`."""
        if self._packed and _is_in(key, self._packed):
            self._unpack()
        value = self._changes.get(key, UNKNOWN)
        return None if value is UNKNOWN and self.dropped and _is_in(key, self.dropped) else value

    def items(self) -> Iterator[Change]:
        """The changes, in the order of the keys."""
        keys, changes = self._in_order(), self._changes
        return ((key, changes[key]) for key in keys)

    def clear(self) -> None:
        self._changes, self._keys, self._packed, self.dropped = {}, [], {}, []
        self._added_bytes = self.told_bytes = self.count = 0

    def over(
        self, stored: Iterator[tuple[bytes, bytes]], start: bytes | None, end: bytes | None, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """The entries with start <= key < end as they are with the changes over those that are stored there.

        What is stored comes in key order, or `reverse`, and so does what is given.
        A range under way goes on in what was there when its first entry was asked for.
        """
        keys, changes = self._in_order(), self._changes
        first = 0 if start is None else bisect_left(keys, start)
        last = len(keys) if end is None else bisect_left(keys, end, first)
        if dropped := self.dropped:
            stored = (entry for entry in stored if not _is_in(entry[0], dropped))
        earlier = gt if reverse else lt
        self._ranges += 1
        try:
            entry = next(stored, None)
            for place in reversed(range(first, last)) if reverse else range(first, last):
                key = keys[place]
                while entry is not None and earlier(entry[0], key):
                    yield entry
                    entry = next(stored, None)
                if entry is not None and entry[0] == key:
                    entry = next(stored, None)
                value = changes[key]
                if value is not None:
                    yield key, value
            if entry is not None:
                yield entry
                yield from stored
        finally:
            self._ranges -= 1

    def _merge(self, changes: Changes) -> None:
        if self._packed and any(_is_in(key, self._packed) for key, _ in changes):
            self._unpack()
        if self._ranges:
            self._changes = dict(self._changes)  # A range under way goes on in what was there.
        self._changes.update(changes)
        self._added_bytes += changes.size

    def _keep(self, part: Packed) -> None:
        if part.within not in self._packed and self._is_packed(part.within):
            self._unpack()
        self._packed.setdefault(part.within, []).append(part)
        self._added_bytes += part.size

    def _is_packed(self, within: KeyRange) -> bool:
        first, last = within
        return any(start < last and first < end for start, end in self._packed)

    def _unpack(self) -> None:
        packed, self._packed = self._packed, {}
        for part in chain.from_iterable(packed.values()):
            self._added_bytes -= part.size
            self._merge(part.unpack())

    def _drop(self, dropped: Sequence[KeyRange]) -> None:
        for within in dropped:
            self._packed.pop(within, None)
            if self._is_packed(within):
                self._unpack()
        changes = self._changes
        for start, end in dropped:
            changes = {key: value for key, value in changes.items() if not start <= key < end}
        self._changes = changes
        self._keys = []
        self.dropped = [*self.dropped, *dropped]
        self.reckon()

    def _in_order(self) -> list[bytes]:
        """All keys in order, in a list that is never changed. A dict keeps the place of a key that changes again: new
        ones are at its end."""
        self._unpack()
        if len(self._keys) < len(self._changes):
            # Two sorted runs, which `sort` merges.
            added = sorted(islice(self._changes, len(self._keys), None))
            self._keys = [*self._keys, *added]
            self._keys.sort()
        return self._keys


def _is_in(key: bytes, ranges: Iterable[KeyRange]) -> bool:
    return any(start <= key < end for start, end in ranges)
