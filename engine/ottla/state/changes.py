"""What was written to a store, column by column. Pure.

A commit of a busy task has ten thousands of changes, so they are kept as batches are: in lists, without an object for
each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import overload

Change = tuple[bytes, bytes | None]
"""A key and its new value; None: it is deleted."""

KeyRange = tuple[bytes, bytes]
"""Keys from the first, inclusive, to the second, exclusive."""


class Changes(Sequence[Change]):
    """Changes in their order: `keys`, and beside each its value in `values`, two lists of one length."""

    __slots__ = ("_keys", "_size", "_values")

    def __init__(self, keys: list[bytes], values: list[bytes | None]) -> None:
        self._keys = keys
        self._values = values
        self._size: int | None = None

    @classmethod
    def of(cls, changes: Sequence[Change]) -> Changes:
        """The same changes, which may be in columns already."""
        if isinstance(changes, cls):
            return changes
        return cls([key for key, _ in changes], [value for _, value in changes])

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[Change]:
        return zip(self._keys, self._values, strict=True)

    @overload
    def __getitem__(self, place: int) -> Change: ...
    @overload
    def __getitem__(self, place: slice) -> Changes: ...
    def __getitem__(self, place: int | slice) -> Change | Changes:
        if isinstance(place, slice):
            return Changes(self._keys[place], self._values[place])
        return self._keys[place], self._values[place]

    def __add__(self, more: Changes) -> Changes:
        return Changes(self._keys + more._keys, self._values + more._values)

    def __iadd__(self, more: Changes) -> Changes:
        self._keys += more._keys
        self._values += more._values
        self._size = None
        return self

    @property
    def size(self) -> int:
        """How many bytes all keys and values have together."""
        if self._size is None:
            self._size = sum(map(len, self._keys)) + sum(map(len, filter(None, self._values)))
        return self._size

    def may_exceed(self, most: int) -> bool:
        """Whether one of the changes may have more bytes than that; False if surely none has."""
        if self.size <= most:
            return False
        return max(map(len, self._keys)) + max(map(len, filter(None, self._values)), default=0) > most


@dataclass(frozen=True, slots=True)
class Packed:
    """Changes in a form that takes less room, and no time as long as nobody asks for them."""

    within: KeyRange
    """Where all their keys are."""
    count: int
    size: int
    """How many bytes the form takes."""
    unpack: Callable[[], Changes]


class PackedChanges(Sequence[Change]):
    """Changes, and packed ones behind them. Going through them unpacks."""

    __slots__ = ("packed", "plain")

    def __init__(self, plain: Changes, packed: Sequence[Packed]) -> None:
        self.plain = plain
        self.packed = packed

    def __len__(self) -> int:
        return len(self.plain) + sum(part.count for part in self.packed)

    def __iter__(self) -> Iterator[Change]:
        return chain(self.plain, *(part.unpack() for part in self.packed))

    @overload
    def __getitem__(self, place: int) -> Change: ...
    @overload
    def __getitem__(self, place: slice) -> list[Change]: ...
    def __getitem__(self, place: int | slice) -> Change | list[Change]:
        return list(self)[place]
