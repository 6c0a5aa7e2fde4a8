"""When the tasks of a bounded run are at the end of their input.

The end of a topic is where it ends when that is first asked. For a topic that the app itself writes, that can be
asked only after the tasks that write it have ended and committed, so tasks end sub-topology by sub-topology. Workers
know only their own tasks: where several share an app, each asks when its own are done.

Sub-topologies that write to each other in a circle (the two sides of a foreign-key join) have no first one to end.
They end together: when all of them have come to the ends that were asked last, and asking again finds the same ends.
Then they are told, and what that made (the results of windows) goes round once more before they are over.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ottla.topology.topology import Subtopology
from ottla.transport.contract import TopicPartition
from ottla.worker.assignment import AssignedTask

Circle = frozenset[int]
"""Sub-topologies each of which leads to all others; most are alone."""


class Endings:
    """The end of each input partition, as far as it is known."""

    def __init__(self, subtopologies: Sequence[Subtopology]) -> None:
        self._writers = writers(subtopologies)
        self._circles = _circular_topics(subtopologies)
        self._ends: dict[TopicPartition, int] = {}
        self._settled: set[Circle] = set()

    def unknown(self, tasks: Iterable[AssignedTask]) -> list[TopicPartition]:
        """The inputs whose end may be asked for now and is not known, or not for certain."""
        tasks = list(tasks)
        at_work = {task.subtopology.index for task in tasks if not task.ended}
        return [
            where
            for task in tasks
            for where in task.inputs
            if (where not in self._ends and not self._writers[where.topic] & at_work)
            or (where in self._ends and self._may_settle(where.topic, tasks))
        ]

    def learn(self, ends: Mapping[TopicPartition, int]) -> None:
        """Takes the ends of what was unknown, asked for after all that was processed is committed."""
        asked = {self._circles[where.topic] for where in ends if where.topic in self._circles}
        moved = {
            self._circles[where.topic]
            for where, end in ends.items()
            if where.topic in self._circles and self._ends.get(where) != end
        }
        self._settled = (self._settled | asked) - moved
        self._ends.update(ends)

    def reached(self, task: AssignedTask) -> bool:
        """Whether the task has processed its inputs up to their ends."""
        return self._circles_of(task) <= self._settled and self._is_through(task)

    def told(self, task: AssignedTask) -> bool:
        """The task was told that its input has ended. Returns whether it is over: in a circle, the second time since it
        was made, for one that was made anew has to do again what the first time led to."""
        circles = self._circles_of(task)
        if not circles or task.told_end:
            return True
        task.told_end = True
        self._settled -= circles
        return False

    def _circles_of(self, task: AssignedTask) -> set[Circle]:
        return {self._circles[topic] for topic in task.subtopology.inputs if topic in self._circles}

    def _may_settle(self, topic: str, tasks: Iterable[AssignedTask]) -> bool:
        """Whether the topic's circle waits for nothing but to hear that its ends are still the same."""
        circle = self._circles.get(topic)
        if circle is None or circle in self._settled:
            return False
        return all(self._is_through(task) for task in tasks if task.subtopology.index in circle)

    def _is_through(self, task: AssignedTask) -> bool:
        """Whether the task has processed its inputs up to the ends that are known."""
        if task.running is not None or not task.task.is_drained:
            return False
        return all(where in self._ends and task.seen.get(where, -1) >= self._ends[where] for where in task.inputs)


def writers(subtopologies: Sequence[Subtopology]) -> dict[str, set[int]]:
    """For each input topic, the sub-topologies that write it and must end before its end can be known.

    One in a circle with those that read it is left out.
    """
    written = _written(subtopologies)
    circles = _circles(subtopologies)
    return {
        topic: {index for index, sinks in written.items() if topic in sinks} - circles[part.index]
        for part in subtopologies
        for topic in part.inputs
    }


def _circular_topics(subtopologies: Sequence[Subtopology]) -> dict[str, Circle]:
    """The topics that a sub-topology reads and one of its circle writes, with the circle."""
    written = _written(subtopologies)
    circles = _circles(subtopologies)
    return {
        topic: circles[part.index]
        for part in subtopologies
        for topic in part.inputs
        if any(topic in written[index] for index in circles[part.index])
    }


def _circles(subtopologies: Sequence[Subtopology]) -> dict[int, Circle]:
    written = _written(subtopologies)
    after = {
        part.index: {other.index for other in subtopologies if written[part.index].intersection(other.inputs)}
        for part in subtopologies
    }
    reached = {index: _reached(index, after) for index in after}
    return {index: frozenset(other for other in reached[index] if index in reached[other]) for index in after}


def _written(subtopologies: Sequence[Subtopology]) -> dict[int, set[str]]:
    """What each sub-topology writes. Where a step chooses its topics it may be any that the app reads."""
    read = {topic for part in subtopologies for topic in part.inputs}
    written = {}
    for part in subtopologies:
        sinks = {step.sink for step in part.steps if step.sink is not None}
        chooses = any(step.kind == "sink" and step.sink is None for step in part.steps)
        written[part.index] = sinks | read if chooses else sinks
    return written


def _reached(start: int, after: Mapping[int, set[int]]) -> set[int]:
    reached, pending = {start}, [start]
    while pending:
        fresh = after[pending.pop()] - reached
        reached |= fresh
        pending += fresh
    return reached
