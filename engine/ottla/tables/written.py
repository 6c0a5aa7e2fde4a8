"""The step that hands on the changes of a table which agents write, once what they did stays."""

from __future__ import annotations

from collections.abc import Sequence

from ottla.relations.change import Change, ChangeStep
from ottla.task.batch import Rows
from ottla.task.processor import TaskContext, Written


class WrittenChanges(ChangeStep):
    """Hands on every write of a batch as a change, with the time and headers of the event at which it was made.

    It has no parents: the task context tells it when a batch is done, since until then an event that fails takes its
    writes back.
    """

    def __init__(self, context: TaskContext, store: str, times: str) -> None:
        super().__init__()
        self._times = context.stores[times]
        context.followers[store] = self

    async def tell(self, written: Sequence[Written]) -> None:
        """Writes to the table, in order."""
        out = Rows()
        for each in written:
            if each.new is None:
                self._times.delete(each.key)
            else:
                self._times.put(each.key, each.timestamp)
            if each.old is not None or each.new is not None:
                out.add(each.key, Change(each.old, each.new), each.timestamp, each.origin)
        await self.forward(out.batch())
