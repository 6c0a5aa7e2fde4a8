"""Set tables: each key has a set, and an element is an entry of its own.

So membership is one look-up and a change costs one record of the changelog, however large the set is. An entry's key is
the encoded key and behind it the encoded element; the elements of a key are neighbours, in their order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, MutableSet
from itertools import groupby
from operator import itemgetter
from typing import Any, Generic, TypeVar

from ottla.errors import ConfigError
from ottla.serdes import Codec
from ottla.state.pairs import behind_prefix, first_of, pair_codec
from ottla.state.store import Part
from ottla.tables.table import REQUIRED, Table, table_spec

K = TypeVar("K")
E = TypeVar("E")

_key = itemgetter(0)
PRESENT: Codec[bool] = Codec("present", lambda _: b"\x01", lambda _: True, bool)
"""What is kept for an element: that it is there."""


class SetTable(Table[K, "TableSet[E]"], Generic[K, E]):
    """A table whose values are sets: `members[team].add(name)`. Made by `App.SetTable`.

    `table[key]` is the live set of the key, empty if there is none: what is done to it is done to the table. A key is
    in the table as long as its set has an element. Assigning any iterable replaces the set.
    """

    tells_writes = False

    def __init__(
        self,
        app_id: str,
        name: str,
        key_codec: Codec[K],
        element_codec: Codec[E],
        *,
        partitions: int | None = None,
        ttl_ms: int | None = None,
    ) -> None:
        spec = table_spec(app_id, name, pair_codec(key_codec, element_codec), PRESENT, ttl_ms)
        super().__init__(app_id, name, key_codec, sets_codec(element_codec), partitions=partitions, spec=spec)

    def __getitem__(self, key: K) -> TableSet[E]:
        self._part()
        return TableSet(self, key)

    def __setitem__(self, key: K, value: Iterable[E] | None) -> None:
        context = self._context()
        store = self._store(context)
        wanted = set() if value is None else set(value)
        for element in list(self.elements(store, key)):
            if element in wanted:
                wanted.discard(element)
            else:
                self._write(context, store, (key, element), None)
        for element in sorted(wanted, key=lambda element: store.spec.encode_key((key, element))):
            self._write(context, store, (key, element), True)

    def __contains__(self, key: object) -> bool:
        return self.lookup(self._part(), key) is not None  # type: ignore[arg-type]

    def get(self, key: K, default: Any = None) -> Any:
        """The live set of the key, or `default` if it is empty."""
        live = self[key]
        return live if live else default

    def pop(self, key: K, default: Any = REQUIRED) -> Any:
        """Removes the set of the key and returns it as a `set`, or `default`. Raises `KeyError` if there is neither."""
        found = self.lookup(self._part(), key)
        if found is None:
            if default is REQUIRED:
                raise KeyError(key)
            return default
        self[key] = None
        return found

    def setdefault(self, key: K, default: Iterable[E] | None = None) -> TableSet[E]:
        """The set of the key; one that is empty gets the elements of `default`."""
        if default is not None and key not in self:
            self[key] = default
        return self[key]

    def lookup(self, part: Part, key: K) -> Any:
        return set(self.elements(part, key)) or None

    def entries(
        self, part: Part, start: bytes | None = None, end: bytes | None = None, *, reverse: bool = False
    ) -> Iterator[tuple[K, Any]]:
        """Keys with their sets as they are when the iteration comes to them."""
        first, last = (None if bound is None else first_of(bound) for bound in (start, end))
        for key, pairs in groupby((pair for pair, _ in part.range(first, last, reverse=reverse)), _key):
            yield key, {element for _, element in pairs}

    def elements(self, part: Part, key: K) -> Iterator[E]:
        """The elements of a key, in the order of their encoded form."""
        start = first_of(self.key_codec.encode(key))
        return (element for (_, element), _ in part.range(start, behind_prefix(start)))

    def change(self, key: K, element: E, *, present: bool) -> None:
        """Adds or removes an element, if that changes anything."""
        context = self._context()
        store = self._store(context)
        if ((key, element) in store) is not present:
            self._write(context, store, (key, element), True if present else None)

    def holds(self, key: K, element: object) -> bool:
        """Whether the set of the key has the element."""
        return (key, element) in self._part()

    def iterate(self, key: K) -> Iterator[E]:
        """The elements of a key in the running task's part."""
        return self.elements(self._part(), key)


class TableSet(MutableSet[E]):
    """The set of one key, as it is in the table. Iteration is in the order of the encoded elements; `len` counts."""

    __slots__ = ("_key", "_table")

    def __init__(self, table: SetTable[Any, E], key: Any) -> None:
        self._table = table
        self._key = key

    def __contains__(self, element: object) -> bool:
        return self._table.holds(self._key, element)

    def __iter__(self) -> Iterator[E]:
        return self._table.iterate(self._key)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __bool__(self) -> bool:
        return any(True for _ in self)

    def __repr__(self) -> str:
        return f"<{self._key!r} of {self._table!r}: {set(self)!r}>"

    @classmethod
    def _from_iterable(cls, elements: Iterable[Any]) -> set[Any]:
        """What `|`, `&`, `-` and `^` give: a set of its own."""
        return set(elements)

    def add(self, element: E) -> None:
        self._table.change(self._key, element, present=True)

    def discard(self, element: E) -> None:
        self._table.change(self._key, element, present=False)

    def clear(self) -> None:
        self._table[self._key] = None

    def update(self, *others: Iterable[E]) -> None:
        """Adds the elements of all the others."""
        for other in others:
            for element in other:
                self.add(element)

    def difference_update(self, *others: Iterable[E]) -> None:
        """Removes the elements of all the others."""
        for other in others:
            for element in list(other):
                self.discard(element)

    def intersection_update(self, *others: Iterable[E]) -> None:
        """Keeps only what all the others have."""
        kept = set(self).intersection(*others)
        self._table[self._key] = kept

    def symmetric_difference_update(self, other: Iterable[E]) -> None:
        """Removes what the other has, and adds what only the other has."""
        self._table[self._key] = set(self) ^ set(other)

    def union(self, *others: Iterable[E]) -> set[E]:
        return set(self).union(*others)

    def intersection(self, *others: Iterable[E]) -> set[E]:
        return set(self).intersection(*others)

    def difference(self, *others: Iterable[E]) -> set[E]:
        return set(self).difference(*others)


def sets_codec(element_codec: Codec[Any]) -> Codec[Any]:
    """The codec of a set table's values, which only says what they are."""
    return Codec(f"set[{element_codec.name}]", _no_bytes, _no_bytes, set)


def _no_bytes(value: Any) -> Any:
    raise ConfigError(f"the set {value!r} is kept element by element and has no encoded form of its own")
