"""What was written to a store, column by column. Pure.

A commit of a busy task has ten thousands of changes, so they are kept as batches are: in lists, without an object for
each.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import overload

Change = tuple[bytes, bytes | None]
"""A key and its new value; None: it is deleted."""


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
