"""What agents of this worker ask of others in the middle of an event, where that is possible: at least once.

A commit waits until no task is in the middle of a batch, and one whose agent waits for an answer is. So the tasks that
are to answer go on although a commit is due (`wanted`). A request that leads back to a task which waits for its answer
would never be answered: it is refused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ottla.errors import NotInTask
from ottla.outlet import Outlet
from ottla.topology.topology import TaskId
from ottla.transport.contract import TopicPartition


class Questions:
    """The requests that wait for their answers, by the tasks that made them. They are sent by the `outlet`, outside of
    the commit of the event at hand; `owner_of` tells which of this worker's tasks reads a partition."""

    def __init__(self, outlet: Outlet, owner_of: Callable[[TopicPartition], TaskId | None]) -> None:
        self.outlet = outlet
        self._owner_of = owner_of
        self._waiting: dict[TaskId, Counter[TopicPartition]] = {}

    @property
    def wanted(self) -> set[TopicPartition]:
        """The partitions that the requests are in."""
        return {where for asked in self._waiting.values() for where in asked}

    @contextmanager
    def waiting(self, task: TaskId, where: TopicPartition) -> Iterator[None]:
        """While the task waits for the answer to a request in that partition. Raises `NotInTask` if the answer would
        have to come from the task itself, or from one that waits for it."""
        if self._leads_to(task, where):
            raise NotInTask(
                f"an agent of task {task} cannot wait for an answer from partition {where.partition} of topic "
                f"{where.topic!r}: the task that reads it is the same one, or waits for an answer of this one; use "
                "send(reply_to=another_agent)"
            )
        asked = self._waiting.setdefault(task, Counter())
        asked[where] += 1
        try:
            yield
        finally:
            asked[where] -= 1
            if not asked[where]:
                del asked[where]
            if not asked:
                self._waiting.pop(task, None)

    def _leads_to(self, task: TaskId, where: TopicPartition) -> bool:
        """Whether the task that reads the partition is this one, or waits for it. None waits for itself so far."""
        owner = self._owner_of(where)
        if owner is None:
            return False
        return owner == task or any(self._leads_to(task, each) for each in self._waiting.get(owner, ()))
