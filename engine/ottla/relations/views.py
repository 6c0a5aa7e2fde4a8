"""Views at work: the changes of a table filtered and mapped, and told as a stream."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ottla.relations.change import Change, ChangeStep, old_is_taken
from ottla.task.batch import Batch
from ottla.task.operators import call
from ottla.task.processor import TaskContext

Stamped = tuple[Any, int]
"""A value and its time."""

Reader = Callable[[Any], Stamped | None]
"""What a table holds for a key, in one task."""


class FilterChanges(ChangeStep):
    """A value for which the function is false is none. What is none before and after is no change."""

    def __init__(self, context: TaskContext, name: str, function: Callable[[Any], object]) -> None:
        super().__init__()
        self._context = context
        self._name = name
        self._function = function

    async def receive(self, batch: Batch) -> None:
        batch, changes = call(self._context, self._name, self._filter, batch, batch.values)
        seen = [change.old is not None or change.new is not None for change in changes]
        batch = batch.with_values(changes)
        await self.forward(batch if all(seen) else batch.where(seen))

    def _filter(self, change: Change[Any]) -> Change[Any]:
        return Change(passed(self._function, change.old), passed(self._function, change.new))


class MapChanges(ChangeStep):
    """The function's value in the place of each value."""

    def __init__(self, context: TaskContext, name: str, function: Callable[[Any], Any]) -> None:
        super().__init__()
        self._context = context
        self._name = name
        self._function = function

    @property
    def takes_old(self) -> bool:
        return old_is_taken(self.children)

    async def receive(self, batch: Batch) -> None:
        change = self._both if self.takes_old else self._new
        batch, changes = call(self._context, self._name, change, batch, batch.values)
        await self.forward(batch.with_values(changes))

    def _both(self, change: Change[Any]) -> Change[Any]:
        return Change(mapped(self._function, change.old), mapped(self._function, change.new))

    def _new(self, change: Change[Any]) -> Change[Any]:
        return Change(None, mapped(self._function, change.new))


class NewValues(ChangeStep):
    """The new values of changes, None for what was deleted."""

    @property
    def takes_old(self) -> bool:
        return False

    async def receive(self, batch: Batch) -> None:
        await self.forward(batch.with_values([change.new for change in batch.values]))


class ComputedPart:
    """What a task holds of a view."""

    def __init__(self, read: Reader) -> None:
        self._read = read

    def get(self, key: Any, default: Any = None) -> Any:
        """The value of the key, or `default`."""
        found = self._read(key)
        return default if found is None else found[0]


def filtered_reader(read: Reader, function: Callable[[Any], object]) -> Reader:
    def read_filtered(key: Any) -> Stamped | None:
        found = read(key)
        return found if found is not None and function(found[0]) else None

    return read_filtered


def mapped_reader(read: Reader, function: Callable[[Any], Any]) -> Reader:
    def read_mapped(key: Any) -> Stamped | None:
        found = read(key)
        return None if found is None else stamped(function(found[0]), found[1])

    return read_mapped


def stamped(value: Any, timestamp: int) -> Stamped | None:
    """A value with its time, if there is one."""
    return None if value is None else (value, timestamp)


def passed(function: Callable[[Any], object], value: Any) -> Any:
    return value if value is not None and function(value) else None


def mapped(function: Callable[[Any], Any], value: Any) -> Any:
    return None if value is None else function(value)
