"""Table-table joins by equal keys, change by change as Kafka Streams' `KTableKTableJoin`s.

A change of either table makes a change of the result, from what the other table holds for the key at that time. The
result has the later of the two times. It is not kept: who looks it up joins what both tables hold.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from ottla.relations.change import Change, ChangeStep, old_is_taken
from ottla.relations.views import Reader, Stamped, stamped
from ottla.task.batch import Batch, Rows
from ottla.task.processor import TaskContext

Kind = Literal["inner", "left", "outer"]
Joiner = Callable[[Any, Any], Any]


@dataclass(frozen=True, slots=True)
class TableJoin:
    """A join as declared. `joiner` is called with the left value first."""

    name: str
    kind: Kind
    joiner: Joiner

    @property
    def needs_left(self) -> bool:
        return self.kind != "outer"

    @property
    def needs_right(self) -> bool:
        return self.kind == "inner"

    def value(self, left: Any, right: Any) -> Any:
        """The value of the result, None if there is none."""
        if (left is None and (self.needs_left or right is None)) or (right is None and self.needs_right):
            return None
        return self.joiner(left, right)

    def reader(self, read_left: Reader, read_right: Reader) -> Reader:
        """Looks the result up in a task."""

        def read(key: Any) -> Stamped | None:
            left, right = read_left(key) or _NOTHING, read_right(key) or _NOTHING
            return stamped(self.value(left[0], right[0]), max(left[1], right[1]))

        return read


_NOTHING: Stamped = (None, -1)


class TableJoinSide(ChangeStep):
    """The changes of one side of a join, each with what the other side holds. `read` looks that up."""

    def __init__(self, context: TaskContext, join: TableJoin, read: Reader, *, is_left: bool) -> None:
        super().__init__()
        self._context = context
        self._join = join
        self._read = read
        self._is_left = is_left
        self._needs_other = join.needs_right if is_left else join.needs_left

    @property
    def takes_old(self) -> bool:
        return not self._needs_other or old_is_taken(self.children)

    async def receive(self, batch: Batch) -> None:
        out = Rows()
        with_old = old_is_taken(self.children)
        for row, (key, change, timestamp) in enumerate(zip(batch.keys, batch.values, batch.timestamps, strict=True)):
            try:
                other, other_timestamp = self._read(key) or _NOTHING
                if other is None and (self._needs_other or (change.old is None and change.new is None)):
                    continue
                joined = Change(self._value(change.old, other) if with_old else None, self._value(change.new, other))
            except Exception as error:
                self._context.reject(self._join.name, error, batch, row)
            else:
                out.add(key, joined, max(timestamp, other_timestamp), batch.origins[row])
        await self.forward(out.batch())

    def _value(self, own: Any, other: Any) -> Any:
        return self._join.value(own, other) if self._is_left else self._join.value(other, own)
