"""The graph of an app, fixed before its first event: steps, the stores they use, the topics they meet.

What users declare becomes `Step`s; `build` checks them and cuts the graph into sub-topologies, the parts that share neither
a stream nor a store. Partition p of a sub-topology's inputs is one task. Names come from the user's own names, never from
a counter over the whole app, so that adding a step elsewhere moves no state.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from ottla.errors import CopartitionError, TopologyError
from ottla.processor import Processor, TaskContext
from ottla.state.store import StoreSpec
from ottla.transport.contract import TopicSpec


class TaskId(NamedTuple):
    """A task: one partition of one sub-topology."""

    subtopology: int
    partition: int

    def __str__(self) -> str:
        return f"{self.subtopology}_{self.partition}"


@dataclass(frozen=True, eq=False, slots=True)
class Step:
    """One step of the graph. `build` makes its processor for a task.

    `source` and `sink` name the topic of a step that reads or writes one. `detail` is what `describe` adds.
    """

    name: str
    kind: str
    build: Callable[[TaskContext], Processor]
    parents: tuple[str, ...] = ()
    stores: tuple[StoreSpec, ...] = ()
    source: str | None = None
    sink: str | None = None
    detail: str = ""


@dataclass(frozen=True, eq=False, slots=True)
class Subtopology:
    """Steps that share streams or stores, in an order in which every step follows its parents."""

    index: int
    steps: tuple[Step, ...]

    @property
    def inputs(self) -> tuple[str, ...]:
        """The topics it reads. On equal timestamps the earlier one goes first; tables come before streams."""
        return tuple(step.source for step in self.steps if step.source is not None)

    @property
    def stores(self) -> tuple[StoreSpec, ...]:
        return tuple({spec.name: spec for step in self.steps for spec in step.stores}.values())


@dataclass(frozen=True, slots=True)
class Plan:
    """What a worker runs, once the partition counts of the topics are known."""

    tasks: tuple[TaskId, ...]
    internal_topics: tuple[TopicSpec, ...]


@dataclass(frozen=True, eq=False, slots=True)
class Topology:
    """The whole graph of an app.

    `topics` are those the user declared: one with a partition count is created when it is missing, one without must exist.
    """

    app_id: str
    subtopologies: tuple[Subtopology, ...]
    topics: tuple[TopicSpec, ...]
    dead_letter: TopicSpec | None = None
    _record_by_record: frozenset[str] = field(default=frozenset())

    @property
    def input_topics(self) -> tuple[str, ...]:
        """Every topic the app reads: what a worker subscribes to."""
        return tuple(topic for part in self.subtopologies for topic in part.inputs)

    def plan(self, partition_counts: Mapping[str, int]) -> Plan:
        """The tasks and the internal topics (changelogs, dead letters) for these partition counts of the input topics.

        Raises `TopologyError` for an input that does not exist, and `CopartitionError` where inputs of one sub-topology
        differ in their counts.
        """
        tasks: list[TaskId] = []
        internal: dict[str, TopicSpec] = {}
        for part in self.subtopologies:
            count = _common_count(part, partition_counts)
            tasks += [TaskId(part.index, partition) for partition in range(count)]
            for spec in part.stores:
                if not spec.source:
                    internal[spec.changelog] = TopicSpec(spec.changelog, count, {"cleanup.policy": "compact"})
        if self.dead_letter is not None:
            internal[self.dead_letter.name] = self.dead_letter
        return Plan(tuple(tasks), tuple(internal.values()))


def _common_count(part: Subtopology, counts: Mapping[str, int]) -> int:
    missing = [topic for topic in part.inputs if topic not in counts]
    if missing:
        raise TopologyError(
            f"topic {missing[0]!r} does not exist; create it, or declare it with partitions= so that the app creates it"
        )
    if len({counts[topic] for topic in part.inputs}) > 1:
        raise CopartitionError(describe_mismatch({topic: counts[topic] for topic in part.inputs}))
    return counts[part.inputs[0]]


def describe_mismatch(counts: Mapping[str, int]) -> str:
    """One sentence on topics that must have equal partition counts, and on what to change."""
    listed = ", ".join(f"{topic} has {count}" for topic, count in counts.items())
    most = max(counts.values())
    changed = " and ".join(repr(topic) for topic, count in counts.items() if count != most)
    return (
        f"these topics meet in one join or table and need equal partition counts, but {listed}; "
        f"recreate {changed} with {most} partitions, or read them through a topic that has {most}"
    )


def split(steps: Iterable[Step]) -> tuple[Subtopology, ...]:
    """Cuts the graph into sub-topologies, numbered in the order in which their first steps were declared."""
    steps = list(steps)
    leader: dict[str, str] = {}

    def find(name: str) -> str:
        while leader.setdefault(name, name) != name:
            name = leader[name]
        return name

    for step in steps:
        for other in (*step.parents, *(f"store {spec.name}" for spec in step.stores)):
            leader[find(other)] = find(step.name)
    groups: dict[str, list[Step]] = {}
    for step in steps:
        groups.setdefault(find(step.name), []).append(step)
    return tuple(Subtopology(index, tuple(group)) for index, group in enumerate(groups.values()))
