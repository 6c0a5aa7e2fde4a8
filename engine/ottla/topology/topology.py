"""The graph of an app, fixed before its first event: steps, the stores they use, the topics they meet.

What users declare becomes `Step`s, which `split` cuts into sub-topologies, the parts that share
neither a stream nor a store. Partition p of a sub-topology's inputs is one task. Names come from the user's own
names, never from a counter over the whole app, so that adding a step elsewhere moves no state.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from ottla.deadletters import StepPolicy
from ottla.errors import CopartitionError, TopologyError
from ottla.state.store import StoreSpec
from ottla.task.processor import Processor, TaskContext
from ottla.topology.copartition import describe_mismatch
from ottla.topology.patterns import Pattern
from ottla.transport.contract import ANY_TIME, TopicSpec

_COMPACTED = {"cleanup.policy": "compact", **ANY_TIME}


class TaskId(NamedTuple):
    """A task: one partition of one sub-topology."""

    subtopology: int
    partition: int

    def __str__(self) -> str:
        return f"{self.subtopology}_{self.partition}"


@dataclass(frozen=True, eq=False, slots=True)
class Step:
    """One step of the graph. `build` makes its processor for a task.

    `source` and `sink` name the topic of a step that reads or writes one; a step of kind "sink" without one chooses the
    topic for each event. `detail` is what `describe` adds. A
    source whose events must go through the graph one by one, and not batch by batch, is `record_by_record`. `errors` is
    what becomes of events that it fails on, where that is not what the app says. `pattern` is that of a step which
    reads the topics that match: see `patterns.py`.
    """

    name: str
    kind: str
    build: Callable[[TaskContext], Processor]
    parents: tuple[str, ...] = ()
    stores: tuple[StoreSpec, ...] = ()
    source: str | None = None
    sink: str | None = None
    detail: str = ""
    record_by_record: bool = False
    errors: StepPolicy | None = None
    pattern: Pattern | None = None


@dataclass(frozen=True, eq=False, slots=True)
class Subtopology:
    """Steps that share streams or stores, in an order in which every step follows its parents.

    `limits` are the partition counts of inputs that need not have as many as the others.
    """

    index: int
    steps: tuple[Step, ...]

    def __post_init__(self) -> None:
        for spec in self.stores:
            assert spec.format.kind, (
                f"store {spec.name!r} does not say what it holds, so an upgrade could not be checked"
            )

    limits: Mapping[str, int] = field(default_factory=dict)

    @property
    def inputs(self) -> tuple[str, ...]:
        """The topics it reads. On equal timestamps the earlier one goes first: topics of tables come before others."""
        tables = {parent for step in self.steps if step.kind == "table" for parent in step.parents}
        sources = [step for step in self.steps if step.source is not None]
        sources.sort(key=lambda step: step.name not in tables)
        return tuple(step.source for step in sources if step.source is not None)

    def inputs_at(self, partition: int) -> tuple[str, ...]:
        """The topics that the task of a partition reads: those that have it."""
        return tuple(topic for topic in self.inputs if partition < self.limits.get(topic, partition + 1))

    @property
    def logged_stores(self) -> tuple[StoreSpec, ...]:
        """Those that are built again from their changelogs."""
        return tuple(spec for spec in self.stores if spec.logged)

    @property
    def local_stores(self) -> tuple[StoreSpec, ...]:
        """Those that are only where they were written."""
        return tuple(spec for spec in self.stores if not spec.logged)

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

    `topics` are those the user declared: one with a partition count is created when it is missing, one without must
    exist. `repartitions` are those through which events go to the partition of another key; one without a count has as
    many partitions as what writes it, or as the topics it meets. `table_partitions` are the counts declared for tables
    by name. `preparations` are what the codecs of written topics ask for before the first event (`Codec.prepare`).
    `global_tables` are the stores that every worker holds whole; `changelog` is the topic each is read from.
    `warnings` are sentences for the user about names that will not last. `starts` says of topics that are not read from
    their beginning where else: at the end, or so many milliseconds before now.
    """

    app_id: str
    subtopologies: tuple[Subtopology, ...]
    topics: tuple[TopicSpec, ...]
    repartitions: tuple[TopicSpec, ...]
    dead_letter: TopicSpec
    table_partitions: Mapping[str, int]
    preparations: tuple[Callable[[], None], ...] = ()
    global_tables: tuple[StoreSpec, ...] = ()
    warnings: tuple[str, ...] = ()
    starts: Mapping[str, Literal["latest"] | int] = field(default_factory=dict)

    @property
    def input_topics(self) -> tuple[str, ...]:
        """Every topic the app reads, its own among them: what a worker subscribes to."""
        return tuple(topic for part in self.subtopologies for topic in part.inputs)

    def plan(self, partition_counts: Mapping[str, int]) -> Plan:
        """The tasks and the internal topics (repartition topics, changelogs, dead letters) for these partition counts
        of the declared topics.

        Raises `TopologyError` for an input that does not exist, and `CopartitionError` where inputs of one sub-topology
        differ in their counts.
        """
        counts = self._with_repartitions(partition_counts)
        tasks: list[TaskId] = []
        internal = [TopicSpec(spec.name, counts[spec.name], spec.config) for spec in self.repartitions]
        for part in self.subtopologies:
            count = self._partitions(part, counts)
            if not count:
                continue  # Its pattern matches no topic yet.
            tasks += [TaskId(part.index, partition) for partition in range(count)]
            internal += [
                TopicSpec(spec.changelog, count, {**_COMPACTED, **spec.changelog_config}) for spec in part.logged_stores
            ]
        if any(part.stores for part in self.subtopologies):
            internal.append(stores_topic(self.app_id))
        return Plan(tuple(tasks), (*internal, self.dead_letter))

    def describe(self) -> str:
        """The graph as text, as Kafka Streams prints one: sub-topologies, their steps with topics and stores."""
        from ottla.drawing.text import describe

        return describe(self)

    def mermaid(self) -> str:
        """The graph as a Mermaid flowchart."""
        from ottla.drawing.mermaid import mermaid

        return mermaid(self)

    def svg(self) -> str:
        """The graph as an SVG picture."""
        from ottla.drawing.svg import svg

        return svg(self)

    def _with_repartitions(self, declared: Mapping[str, int]) -> dict[str, int]:
        """The counts of the declared topics and of the repartition topics.

        The readers of a repartition topic have as many tasks as the other topics and tables that meet there, or else as
        the most of those that write their repartition topics.
        """
        repartitions = {spec.name: spec.partitions for spec in self.repartitions}
        counts = {topic: count for topic, count in declared.items() if topic not in repartitions}
        counts |= {topic: count for topic, count in repartitions.items() if count is not None}
        found: dict[int, int] = {}

        def tasks_of(part: Subtopology) -> int:
            if part.index not in found:
                if not part.inputs:
                    raise TopologyError(
                        f"no topic matches {part.steps[0].name!r} yet, so it is not known how many partitions the "
                        "topics need through which its events go on: say it, as in .group_by(..., partitions=6)"
                    )
                stated = [counts[topic] for topic in part.inputs if topic in counts]
                stated += [
                    self.table_partitions[store.name] for store in part.stores if store.name in self.table_partitions
                ]
                found[part.index] = max(stated, default=0) or max(
                    (
                        tasks_of(writer)
                        for topic in part.inputs
                        if topic in repartitions
                        for writer in self._writers(topic)
                    ),
                    default=1,
                )
            return found[part.index]

        for part in self.subtopologies:
            for topic in part.inputs:
                if topic in repartitions:
                    counts.setdefault(topic, tasks_of(part))
        return counts

    def _writers(self, topic: str) -> list[Subtopology]:
        return [part for part in self.subtopologies if any(step.sink == topic for step in part.steps)]

    def _partitions(self, part: Subtopology, counts: Mapping[str, int]) -> int:
        if not part.inputs and all(step.pattern is None for step in part.steps):
            raise TopologyError(
                f"{part.steps[0].kind} {part.steps[0].name!r} reads no topic, and neither does what shares its state: "
                "nothing would ever happen there"
            )
        missing = [topic for topic in part.inputs if topic not in counts]
        if missing:
            raise TopologyError(
                f"topic {missing[0]!r} does not exist; create it, or declare it with partitions=, "
                "so that the app creates it"
            )
        topics = {topic: counts[topic] for topic in part.inputs}
        names = [spec.name for spec in part.stores]
        tables = {name: self.table_partitions[name] for name in names if name in self.table_partitions}
        if not part.limits and len({*topics.values(), *tables.values()}) > 1:
            raise CopartitionError(describe_mismatch(part.steps, topics, tables))
        return max(topics.values(), default=0)


def stores_topic(app_id: str) -> TopicSpec:
    """The topic in which the formats of an app's stores are kept: see `worker/upgrades.py`."""
    return TopicSpec(f"{app_id}-stores", 1, _COMPACTED)


def record_by_record(steps: Iterable[Step]) -> set[str]:
    """The sources whose events must be taken one by one: from them, two steps that share a store or a topic, or two
    branches that meet again, can be reached; or a step that chooses its topics and another that writes one. Batch by
    batch the second would see what the first made of later events.

    Punctuators do not count: a task cuts its batches where they are due.
    """
    steps = [step for step in steps if step.kind != "punctuator"]
    children: dict[str, list[Step]] = {}
    for step in steps:
        for parent in step.parents:
            children.setdefault(parent, []).append(step)
        if step.kind == "written table":  # It follows who writes its table.
            for other in steps:
                if other is not step and step.stores[-1] in other.stores:
                    children.setdefault(other.name, []).append(step)
    alone = set()
    for source in steps:
        if source.source is None:
            continue
        reached: list[Step] = []
        pending = list(children.get(source.name, ()))
        while pending:
            step = pending.pop()
            reached.append(step)
            # A step that is reached twice is shared itself; following it once more would only find more of the same.
            if reached.count(step) == 1:
                pending += children.get(step.name, ())
        used = [
            *(("step", step.name) for step in reached),
            *(("store", spec.name) for step in reached if step.kind != "written table" for spec in step.stores),
            *(("topic", step.sink) for step in reached if step.sink is not None),
        ]
        writing = [step for step in reached if step.sink is not None or step.kind == "sink"]
        chooses = any(step.sink is None for step in writing)
        if len(set(used)) < len(used) or (chooses and len(writing) > 1):
            alone.add(source.name)
    return alone


def split(steps: Iterable[Step]) -> tuple[Subtopology, ...]:
    """Cuts the graph into sub-topologies, numbered in the order in which their first steps were declared."""
    steps = list(steps)
    leader: dict[tuple[str, str], tuple[str, str]] = {}

    def find(member: tuple[str, str]) -> tuple[str, str]:
        while leader.setdefault(member, member) != member:
            member = leader[member]
        return member

    for step in steps:
        for parent in step.parents:
            leader[find(("step", parent))] = find(("step", step.name))
        for spec in step.stores:
            leader[find(("store", spec.name))] = find(("step", step.name))
    groups: dict[tuple[str, str], list[Step]] = {}
    for step in steps:
        groups.setdefault(find(("step", step.name)), []).append(step)
    return tuple(Subtopology(index, tuple(group)) for index, group in enumerate(groups.values()))
