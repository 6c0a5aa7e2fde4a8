"""When the tasks of a bounded run are at the end of their input.

The end of a topic is where it ends when that is first asked. For a topic that the app itself writes, that can be
asked only after the tasks that write it have ended and committed, so tasks end sub-topology by sub-topology. Workers
know only their own tasks: where several share an app, each asks when its own are done.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ottla.assignment import AssignedTask
from ottla.topology import Subtopology
from ottla.transport.contract import TopicPartition


class Endings:
    """The end of each input partition, as far as it is known."""

    def __init__(self, subtopologies: Sequence[Subtopology]) -> None:
        self._writers = writers(subtopologies)
        self._ends: dict[TopicPartition, int] = {}

    def unknown(self, tasks: Iterable[AssignedTask]) -> list[TopicPartition]:
        """The inputs whose end may be asked for now and is not known."""
        tasks = list(tasks)
        at_work = {task.subtopology.index for task in tasks if not task.ended}
        return [
            where
            for task in tasks
            for where in task.inputs
            if where not in self._ends and not self._writers[where.topic] & at_work
        ]

    def learn(self, ends: Mapping[TopicPartition, int]) -> None:
        self._ends.update(ends)

    def reached(self, task: AssignedTask) -> bool:
        """Whether the task has processed its inputs up to their ends."""
        if task.running is not None or any(task.task.buffered.values()):
            return False
        return all(where in self._ends and task.seen.get(where, -1) >= self._ends[where] for where in task.inputs)


def writers(subtopologies: Sequence[Subtopology]) -> dict[str, set[int]]:
    """For each input topic, the sub-topologies that write it and must end before its end can be known.

    One that the topic itself leads to is left out: of such a circle none could ever be the first to end.
    """
    written = {part.index: {step.sink for step in part.steps if step.sink is not None} for part in subtopologies}
    after = {
        part.index: {other.index for other in subtopologies if written[part.index].intersection(other.inputs)}
        for part in subtopologies
    }
    return {
        topic: {index for index, sinks in written.items() if topic in sinks} - _reached(part.index, after)
        for part in subtopologies
        for topic in part.inputs
    }


def _reached(start: int, after: Mapping[int, set[int]]) -> set[int]:
    reached, pending = {start}, [start]
    while pending:
        fresh = after[pending.pop()] - reached
        reached |= fresh
        pending += fresh
    return reached
