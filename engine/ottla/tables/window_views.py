"""What a table with windows gives to look at: the windows of one key, and the keys of one window."""

from __future__ import annotations

import operator
from collections.abc import Callable, ItemsView, Iterator, KeysView, ValuesView
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from ottla.time import Duration

if TYPE_CHECKING:
    from ottla.tables.windowed import WindowedTable

K = TypeVar("K")
V = TypeVar("V")


class WindowSet(Generic[V]):
    """The values of one key in its windows. Operators like `+=` work on all windows of the time at hand."""

    __slots__ = ("_key", "_table")

    def __init__(self, table: WindowedTable[Any, V], key: Any) -> None:
        self._table = table
        self._key = key

    def value(self) -> V:
        """The value in the newest window of the time that the table is relative to."""
        return self._table.at(self._key, self._table.relative)

    def now(self) -> V:
        """The value in the oldest window of the time on the clock."""
        return self._table.at(self._key, self._table.now)

    def current(self) -> V:
        """The value in the newest window of the event at hand."""
        return self._table.at(self._key, self._table.current)

    def delta(self, before: Duration) -> V:
        """The value in the newest window of so long before the event at hand."""
        return self._table.at(self._key, self._table.delta(before))

    def __repr__(self) -> str:
        return f"<windows of {self._key!r} in {self._table!r}>"

    def _apply(self, operation: Callable[[Any, Any], Any], operand: Any) -> WindowSet[V]:
        self._table.apply(operation, self._key, operand)
        return self

    def __iadd__(self, other: Any) -> WindowSet[V]:
        return self._apply(operator.add, other)

    def __isub__(self, other: Any) -> WindowSet[V]:
        return self._apply(operator.sub, other)

    def __imul__(self, other: Any) -> WindowSet[V]:
        return self._apply(operator.mul, other)

    def __itruediv__(self, other: Any) -> WindowSet[V]:
        return self._apply(operator.truediv, other)

    def __ifloordiv__(self, other: Any) -> WindowSet[V]:
        return self._apply(operator.floordiv, other)

    def __imod__(self, other: Any) -> WindowSet[V]:
        return self._apply(operator.mod, other)

    def __ipow__(self, other: Any) -> WindowSet[V]:
        return self._apply(operator.pow, other)

    def __ilshift__(self, other: Any) -> WindowSet[V]:
        return self._apply(operator.lshift, other)

    def __irshift__(self, other: Any) -> WindowSet[V]:
        return self._apply(operator.rshift, other)

    def __iand__(self, other: Any) -> WindowSet[V]:
        return self._apply(operator.and_, other)

    def __ior__(self, other: Any) -> WindowSet[V]:
        return self._apply(operator.or_, other)

    def __ixor__(self, other: Any) -> WindowSet[V]:
        return self._apply(operator.xor, other)


class WindowedItems(ItemsView[K, V]):
    """The keys and values of the newest window of the time that the table is relative to, and those of other windows.

    Only keys that have a value in the window are there, in the order of their encoded form.
    """

    def __init__(self, table: WindowedTable[K, V]) -> None:
        self._table = table
        super().__init__(cast(Any, table))

    def __iter__(self) -> Iterator[tuple[K, V]]:
        return self._table.in_window(self._table.relative)

    def __contains__(self, item: object) -> bool:
        return any(item == each for each in self)

    def now(self) -> Iterator[tuple[K, V]]:
        """Those of the oldest window of the time on the clock."""
        return self._table.in_window(self._table.now)

    def current(self) -> Iterator[tuple[K, V]]:
        """Those of the newest window of the event at hand."""
        return self._table.in_window(self._table.current)

    def delta(self, before: Duration) -> Iterator[tuple[K, V]]:
        """Those of the newest window of so long before the event at hand."""
        return self._table.in_window(self._table.delta(before))


class WindowedKeys(KeysView[K]):
    """The keys of a window, as `WindowedItems`."""

    def __init__(self, table: WindowedTable[K, Any]) -> None:
        self._table = table
        super().__init__(table)

    def now(self) -> Iterator[K]:
        return (key for key, _ in self._table.items().now())

    def current(self) -> Iterator[K]:
        return (key for key, _ in self._table.items().current())

    def delta(self, before: Duration) -> Iterator[K]:
        return (key for key, _ in self._table.items().delta(before))


class WindowedValues(ValuesView[V]):
    """The values of a window, as `WindowedItems`."""

    def __init__(self, table: WindowedTable[Any, V]) -> None:
        self._table = table
        super().__init__(cast(Any, table))

    def __iter__(self) -> Iterator[V]:
        return (value for _, value in self._table.items())

    def __contains__(self, value: object) -> bool:
        return any(value == each for each in self)

    def now(self) -> Iterator[V]:
        return (value for _, value in self._table.items().now())

    def current(self) -> Iterator[V]:
        return (value for _, value in self._table.items().current())

    def delta(self, before: Duration) -> Iterator[V]:
        return (value for _, value in self._table.items().delta(before))
