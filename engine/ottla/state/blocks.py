"""How the panes of a store are in its changelog: many entries of one pane in a record, a block.

A window's entries come and go together, so that nothing is gained from a record for each: a commit writes those of a
pane that changed as blocks, and what closes it deletes its blocks.

    BLOCKS TIME NUMBER  ->  keys and values, as msgpack       in the changelog
    BLOCKS TIME NUMBER  ->  how many entries it has           in the store, beside the entries themselves

An entry is what the last block that has its key says. When all blocks of a pane are deleted, the pane is over, with all
its entries. The number of a block is never given again: a tombstone that compaction has not removed yet says of nothing
newer that it is over.

**Why the changelog does not grow with the age of a pane.** Compaction knows nothing of the keys inside blocks. So when
a pane's blocks have many more entries than the pane, they are made anew, as a log-structured file system is cleaned
(Rosenblum and Ousterhout, 1992): commit by commit a part of what is stored goes into new blocks, in the order of the
keys, and when all has, and that is committed, those from before are deleted. Each key is in a newer block by then.

A pane that is stored and has no blocks is from before there were blocks: each of its entries has a record of its own
until it is over.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice
from struct import Struct
from typing import Final

import msgspec

from ottla.state.changes import Change, Changes, KeyRange, Packed
from ottla.state.pairs import behind_prefix
from ottla.state.store import KeyValueStore

_number = Struct(">Q").pack
_count = Struct(">I").pack

BLOCKS: Final = Struct(">q").pack(-3)
"""Times below zero are for what a store remembers besides (`task/slots.py`)."""
_BEHIND_BLOCKS: Final = Struct(">q").pack(-2)
_PANE: Final = slice(8, 16)

AROUND_AN_ENTRY: Final = 48
"""So many bytes more than its key and value, at most, a record has that holds one entry."""
_MOST_ENTRIES: Final = 256
_MOST_BYTES: Final = 64 * 1024
_AROUND_PACKED: Final = 400
"""What the objects around the data of a block take in memory, while the store has not unpacked it."""
_MOST_READ: Final = 128
"""So many blocks are unpacked at once."""

_SPREAD: Final = 4
"""Blocks are made anew when they have so many times the entries of their pane, and these more:"""
_FEW: Final = 20_000
_PER_BLOCK: Final = 16
"""A block costs a restore, and the changelog, as much as so many entries."""
_LEAST_SWEPT: Final = 1_000
"""So many entries at least are written anew with a commit, or else as many as it changed."""

_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(tuple[list[bytes], list[bytes]]).decode


class _Blocks:
    """The blocks of a pane, by their keys, and how many entries each has."""

    __slots__ = ("counts", "found", "obsolete", "position", "weight")

    def __init__(self) -> None:
        self.counts: dict[bytes, int] = {}
        self.weight = 0
        # Where making them anew goes on, the blocks that are obsolete then, and how many entries were found so far, or
        # by the last time.
        self.position: bytes | None = None
        self.obsolete: list[bytes] = []
        self.found = 0

    def add(self, key: bytes, count: int) -> None:
        self.discard(key)  # one that is read once more
        self.counts[key] = count
        self.weight += count + _PER_BLOCK

    def discard(self, key: bytes) -> None:
        if (count := self.counts.pop(key, None)) is not None:
            self.weight -= count + _PER_BLOCK


class BlockStore:
    """A `KeyValueStore` that is given records of the changelog as they are.

    The cache before it reads and writes `entries`, and asks for the records of a commit:

        begin  ->  add, delete for each pane  ->  take  ->  committed
                                                        ->  (a cache begins anew)  ->  begin_anew
    """

    def __init__(self, entries: KeyValueStore) -> None:
        self.entries = entries
        self._panes: dict[bytes, _Blocks] = {}
        self._next = 0
        # Blocks that were handed out, and are not known to be in the changelog; and those that never will be known.
        self._in_flight: list[bytes] = []
        self._doubtful: list[bytes] = []
        # Panes whose end was handed out, and is not known to be in the changelog; and those that go on all the same.
        self._ending: set[bytes] = set()
        self._torn: set[bytes] = set()
        # The commit in the making: what the changelog and what the store is told.
        self._records = Changes([], [])
        self._marks = Changes([], [])
        self._most = 0
        self._largest = 0
        self._load()

    # -- as a store

    @property
    def offset(self) -> int | None:
        return self.entries.offset

    @property
    def age_ms(self) -> int | None:
        return self.entries.age_ms

    def get(self, key: bytes) -> bytes | None:
        return self.entries.get(key)

    def range(
        self, start: bytes | None = None, end: bytes | None = None, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        return self.entries.range(start, end, reverse=reverse)

    def write_batch(self, changes: Sequence[Change], offset: int | None, dropped: Sequence[KeyRange] = ()) -> None:
        read, over = self._read(changes)
        self.entries.write_batch(read, offset, [*dropped, *over])

    def restore(self, changes: Sequence[Change], offset: int | None, dropped: Sequence[KeyRange] = ()) -> None:
        for first in range(0, max(len(changes), 1), _MOST_READ):
            behind = first + _MOST_READ
            read, over = self._read(changes[first:behind])
            # Until all is read its offset stays: what is read once more then changes nothing.
            self.entries.restore(read, offset if behind >= len(changes) else None, [*dropped, *over])
            dropped = ()

    def clear(self) -> None:
        self.entries.clear()
        self._load()

    def close(self) -> None:
        self.entries.close()

    def _read(self, records: Sequence[Change]) -> tuple[Changes, list[KeyRange]]:
        """What records of the changelog change in the store, and the panes that are over before that."""
        others: list[Change] = []
        written: dict[bytes, Changes] = {}
        over: dict[bytes, None] = {}
        for key, value in records:
            if not key.startswith(BLOCKS):
                others.append((key, value))
                continue
            pane = key[_PANE]
            blocks = self._panes.setdefault(pane, _Blocks())
            if value is not None:
                entries = _unpacked(pane, value)
                blocks.add(key, len(entries))
                of_pane = written.setdefault(pane, Changes([], []))
                of_pane += entries
                others.append((key, _count(len(entries))))
                continue
            blocks.discard(key)
            others.append((key, None))
            if not blocks.counts:
                del self._panes[pane]
                written.pop(pane, None)
                over[pane] = None
        changes = Changes.of(others)
        for of_pane in written.values():
            changes += of_pane
        return changes, [range_of(pane) for pane in over]

    # -- for the cache before it

    def begin_anew(self) -> None:
        """A cache begins with what is stored. What was handed out and not committed may be in the changelog all the
        same, at least once: the next commit deletes it there, and tells anew of panes that ended with it."""
        self._doubtful += self._in_flight
        self._torn |= self._ending
        self._ending = set()
        self._load()

    def has_blocks(self, pane: bytes) -> bool:
        return pane in self._panes

    def begin(self, most: int) -> None:
        """Begins a commit, of which no record of several entries may have more bytes."""
        # A block takes an offset at least, so those that were numbered before have lower numbers than where it ends.
        self._next = max(self._next, self.entries.offset or 0)
        self._most, self._largest = min(most, _MOST_BYTES), 0
        self._records, self._marks = Changes([], []), Changes([], [])
        doubtful, self._doubtful = self._doubtful, []
        self._in_flight += doubtful  # until that is committed
        self._tell(doubtful, [None] * len(doubtful), [None] * len(doubtful))
        for pane in self._torn & self._panes.keys():
            self._tell_anew(pane, self._panes[pane])

    def add(self, pane: bytes, keys: list[bytes], values: list[bytes], held: int) -> list[Packed]:
        """Entries of a pane, their keys without its time. It is known to have so many at least. Returns what the store
        is to be told of them."""
        blocks = self._panes.setdefault(pane, _Blocks())
        if blocks.position is not None:
            self._sweep(pane, blocks, max(len(keys), _LEAST_SWEPT))
        elif blocks.obsolete:
            self._delete(blocks, blocks.obsolete)
            blocks.obsolete = []
        elif blocks.weight > _SPREAD * max(held, blocks.found) + _FEW:
            blocks.position, blocks.obsolete, blocks.found = pane, list(blocks.counts), 0
        within = range_of(pane)
        return [
            Packed(within, count, len(data) + _AROUND_PACKED, partial(_unpacked, pane, data))
            for data, count in self._write(pane, blocks, keys, values)
        ]

    def delete(self, pane: bytes) -> None:
        """A pane is over."""
        if (blocks := self._panes.pop(pane, None)) is not None:
            self._delete(blocks, list(blocks.counts))
            self._ending.add(pane)

    @property
    def largest(self) -> int:
        """No record of the commit has more bytes."""
        return self._largest

    def take(self) -> tuple[Changes, Changes]:
        """The records of the commit, and what the store is to be told of the blocks."""
        return self._records, self._marks

    def committed(self) -> None:
        """The records are in the changelog, and the store has what goes with them."""
        self._in_flight = []
        self._ending, self._torn = set(), set()

    def _tell_anew(self, pane: bytes, blocks: _Blocks) -> None:
        """Writes all that is stored of a pane, whose blocks may be deleted in the changelog already."""
        told = list(blocks.counts)
        stored = list(self.entries.range(*range_of(pane)))
        self._write(pane, blocks, [key[len(pane) :] for key, _ in stored], [value for _, value in stored])
        self._delete(blocks, told)

    def _sweep(self, pane: bytes, blocks: _Blocks, most: int) -> None:
        """Writes some of what is stored anew: what was changed since comes behind it."""
        _, end = range_of(pane)
        stored = list(islice(self.entries.range(blocks.position, end), most))
        self._write(pane, blocks, [key[len(pane) :] for key, _ in stored], [value for _, value in stored])
        blocks.found += len(stored)
        # Obsolete blocks are deleted by the next commit: where records of one that failed are in the changelog, the
        # new blocks must be known to be there before the old ones are not.
        blocks.position = stored[-1][0] + b"\x00" if len(stored) == most else None

    def _write(self, pane: bytes, blocks: _Blocks, keys: list[bytes], values: list[bytes]) -> list[tuple[bytes, int]]:
        """Makes blocks of entries. Returns the data of each, and how many entries it has."""
        if len(keys) > _MOST_ENTRIES:
            written = []
            for first in range(0, len(keys), _MOST_ENTRIES):
                behind = first + _MOST_ENTRIES
                written += self._write(pane, blocks, keys[first:behind], values[first:behind])
            return written
        data = _pack((keys, values))
        size = len(data) + AROUND_AN_ENTRY
        if size > self._most and len(keys) > 1:
            half = len(keys) // 2
            return [
                *self._write(pane, blocks, keys[:half], values[:half]),
                *self._write(pane, blocks, keys[half:], values[half:]),
            ]
        if keys:
            key = BLOCKS + pane + _number(self._next)
            self._next += 1
            self._largest = max(self._largest, size)
            blocks.add(key, len(keys))
            self._in_flight.append(key)
            self._tell([key], [data], [_count(len(keys))])
            return [(data, len(keys))]
        return []

    def _delete(self, blocks: _Blocks, keys: list[bytes]) -> None:
        for key in keys:
            blocks.discard(key)
        self._tell(keys, [None] * len(keys), [None] * len(keys))

    def _tell(self, keys: list[bytes], data: list[bytes | None], marks: list[bytes | None]) -> None:
        self._records += Changes(keys, data)
        self._marks += Changes(keys, marks)

    def _load(self) -> None:
        self._panes = {}
        self._in_flight = []
        for key, count in self.entries.range(BLOCKS, _BEHIND_BLOCKS):
            self._panes.setdefault(key[_PANE], _Blocks()).add(key, int.from_bytes(count, "big"))
            self._next = max(self._next, int.from_bytes(key[_PANE.stop :], "big") + 1)


def _unpacked(pane: bytes, data: bytes) -> Changes:
    """The entries of a block."""
    keys, values = _unpack(data)
    return Changes([pane + each for each in keys], [*values])


def range_of(pane: bytes) -> KeyRange:
    """All encoded slots of a pane's time."""
    end = behind_prefix(pane)
    assert end is not None, "the first byte of a time is below 0x80"
    return pane, end
