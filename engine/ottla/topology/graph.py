"""The graph while an app is being declared: steps by name, until `topology` freezes them.

Which tables a user's function uses is read from its code when the topology is made, since a table may be declared after
the function; what cannot be seen there is named with `uses=`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from ottla.agents.answers import replies_topic
from ottla.deadletters import ErrorPolicy, StepPolicy
from ottla.errors import ConfigError, DuplicateName, TopologyError
from ottla.serdes import Codec
from ottla.state.logged import Changelog, checked_changelog
from ottla.state.store import StoreSpec
from ottla.tables import GlobalTable, Table, TableSource
from ottla.tables.written import WrittenChanges
from ottla.tables.written_global import WrittenGlobalTable
from ottla.task.operators import Pass, Source
from ottla.task.processor import Processor, TaskContext
from ottla.topic import Topic, TopicPattern, is_topic_name
from ottla.topology.discovery import tables_used_by
from ottla.topology.patterns import Pattern
from ottla.topology.topology import Step, Topology, record_by_record, split
from ottla.transport.contract import TopicSpec
from ottla.worker.leader import leader_step

T = TypeVar("T")

Build = Callable[[TaskContext, str], Processor]


@dataclass(frozen=True, slots=True)
class _Declared:
    """A step as declared: its tables are not looked for yet."""

    name: str
    kind: str
    build: Build
    parents: tuple[str, ...]
    stores: tuple[StoreSpec, ...]
    tables: tuple[Table[Any, Any], ...]
    functions: tuple[Callable[..., Any], ...]
    source: str | None
    sink: str | None
    detail: str


class Graph:
    """The steps, topics and tables of one app."""

    def __init__(self, app_id: str) -> None:
        self.app_id = app_id
        self._steps: dict[str, _Declared] = {}
        self._topics: dict[str, Topic[Any, Any]] = {}
        self._tables: dict[str, Table[Any, Any]] = {}
        self._global_tables: dict[str, GlobalTable[Any, Any]] = {}
        self._patterns: dict[str, TopicPattern[Any, Any]] = {}
        self._stores: dict[str, str] = {}
        self._errors: dict[str, StepPolicy] = {}
        self._has_leader = False
        self._answers = False
        # Names with the number of their repetition, and the names that they repeat.
        self._numbered: dict[str, str] = {}

    def unique(self, name: str) -> str:
        """The name, or the name with the number of its repetition: steps without a name of the user's own."""
        number = 1
        candidate = name
        while candidate in self._steps:
            number += 1
            candidate = f"{name}-{number}"
        if number > 1:
            self._numbered[candidate] = name
        return candidate

    def add(
        self,
        name: str,
        kind: str,
        build: Build,
        *,
        parents: tuple[str, ...] = (),
        stores: tuple[StoreSpec, ...] = (),
        reads: tuple[StoreSpec, ...] = (),
        tables: tuple[Table[Any, Any], ...] = (),
        functions: Iterable[Callable[..., Any]] = (),
        awaited: Iterable[Callable[..., Any]] = (),
        source: Topic[Any, Any] | None = None,
        sink: Topic[Any, Any] | None = None,
        detail: str = "",
        owner: str | None = None,
    ) -> None:
        """Adds a step. Raises `DuplicateName` if a step or a store of one of its names exists, and `TopologyError` for
        a function that is none, or is async; those that are `awaited` may be.

        Steps that share stores name one `owner`. `reads` are stores that other steps keep.
        """
        functions, awaited = tuple(functions), tuple(awaited)
        for function in (*functions, *awaited):
            if not callable(function):
                raise TopologyError(f"step {name!r} ({kind}) takes a function, not {function!r}")
        for function in functions:
            if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
                raise TopologyError(
                    f"{kind} {name!r}: {getattr(function, '__qualname__', function)} is async, and what it returns is "
                    "taken as it is; make it a plain function, or await in an agent"
                )
        if name in self._steps:
            raise DuplicateName(f"there are two steps named {name!r}; give one of them another name")
        for spec in stores:
            self._claim(spec.name, owner or f"{kind} {name!r}")
        for topic in (source, sink):
            if topic is not None:
                self.topic(topic)
        self._steps[name] = _Declared(
            name,
            kind,
            build,
            parents,
            (*stores, *reads),
            tables,
            (*functions, *awaited),
            None if source is None else source.name,
            None if sink is None else sink.name,
            detail,
        )

    def errors_at(self, step: str, policy: StepPolicy) -> None:
        """Says what becomes of the events that a step fails on. Raises `ConfigError`."""
        ErrorPolicy().at(policy)
        self._errors[step] = policy

    def topic(self, topic: Topic[Any, Any]) -> Topic[Any, Any]:
        """The topic, or the equal one that was declared before. Raises `DuplicateName` if they differ."""
        known = self._topics.setdefault(topic.name, topic)
        if not known.same_as(topic):
            raise DuplicateName(
                f"topic {topic.name!r} is declared twice, with different types or options; declare it once and share it"
            )
        return known

    def declared_topic(self, name: str) -> Topic[Any, Any]:
        return _declared("topic", name, self._topics)

    def known_topic(self, name: str) -> Topic[Any, Any] | None:
        """The topic that is declared under this name, if there is one."""
        return self._topics.get(name)

    def declared_table(self, name: str) -> Table[Any, Any]:
        return _declared("table", name, {**self._tables, **self._global_tables})

    @property
    def tables(self) -> list[Table[Any, Any]]:
        return [*self._tables.values(), *self._global_tables.values()]

    @property
    def topics(self) -> list[Topic[Any, Any]]:
        return list(self._topics.values())

    def table(self, table: Table[Any, Any]) -> None:
        """Adds a table, and if it is read from a topic the steps that read it."""
        self._claim(table.name, f"table {table.name!r}")
        self._tables[table.name] = table
        table.home = self
        if table.source is not None:
            self.keep(table, self.source(table.source))

    def derived_table(
        self, name: str, key_codec: Codec[Any], value_codec: Codec[Any], changelog: Changelog = True
    ) -> Table[Any, Any]:
        """Adds a table that a step of the graph is to make: `keep` says which."""
        table: Table[Any, Any] = Table(self.app_id, name, key_codec, value_codec)
        table.changelog = checked_changelog(f"table {name!r}", changelog)
        self.table(table)
        return table

    def keep(self, table: Table[Any, Any], step: str, *, of_changes: bool = False) -> None:
        """Makes a table of what a step hands on: values, or changes of another table."""
        table.graph = self
        store, times = table.spec.name, table.times.name

        def build(context: TaskContext, name: str) -> Processor:
            asked = times if times in context.stores else None
            return TableSource(context, name, store, times=asked, of_changes=of_changes)

        self.add(f"table.{table.name}", "table", build, parents=(step,), tables=(table,))

    def written_changes_of(self, table: Table[Any, Any]) -> str:
        """The name of the step that hands on what agents write to a table, with the times: added once asked for."""
        name, store, times = f"table.{table.name}", table.spec.name, table.times
        if name not in self._steps:
            self.add(
                name,
                "written table",
                lambda context, _: WrittenChanges(context, store, times.name),
                stores=(times,),
                tables=(table,),
                owner=f"table {table.name!r}",
            )
        return name

    def changes_of(self, table: Table[Any, Any]) -> str:
        """The name of the step that hands on the changes of a table, which it does, with their times, once asked."""
        name = f"table.{table.name}"
        declared, times = self._steps[name], table.times
        if times.name not in {spec.name for spec in declared.stores}:
            self._claim(times.name, f"table {table.name!r}")
            self._steps[name] = replace(declared, stores=(times,))
        return name

    def global_table(self, table: GlobalTable[Any, Any]) -> None:
        """Adds a table that every worker holds whole; no step reads its topic."""
        self._claim(table.name, f"global table {table.name!r}")
        table.home = self
        if isinstance(table, WrittenGlobalTable):
            self._claim(table.part_spec.name, f"global table {table.name!r}")
        elif table.source is not None:
            self.topic(table.source)
        for other in self._global_tables.values():
            if other.spec.changelog == table.spec.changelog and not (table.is_derived or other.is_derived):
                raise DuplicateName(f"topic {table.spec.changelog!r} is global table {other.name!r} already: use that")
        self._global_tables[table.name] = table

    def source(self, topic: Topic[Any, Any]) -> str:
        """The name of the step that reads the topic; all its readers share it."""
        name = f"topic.{topic.name}"
        if name not in self._steps:
            self.add(name, "source", lambda context, step: Source(context, step, topic), source=topic)
        return name

    @property
    def is_empty(self) -> bool:
        return not self._steps

    def answer(self) -> None:
        """One of the app's agents can be asked, so there is a topic for answers."""
        self._answers = True

    @property
    def answer_topics(self) -> dict[str, int | None]:
        """The topics that agents can answer to, with the partitions that are known: those that a worker has made sure
        of."""
        counts = {topic.name: topic.spec.partitions for topic in self._topics.values() if not topic.internal}
        replies = replies_topic(self.app_id)
        return {**counts, replies.name: replies.partitions}

    def pattern(self, pattern: TopicPattern[Any, Any]) -> str:
        """The name of the step that hands on what topics of a pattern hold; all readers of the pattern share it."""
        name = f"pattern.{pattern.regex.pattern}"
        known = self._patterns.setdefault(name, pattern)
        if not known.same_as(pattern):
            raise DuplicateName(f"the pattern {pattern.regex.pattern!r} is declared twice, with different types")
        if name not in self._steps:
            self.add(name, "pattern", lambda _, __: Pass())
        return name

    def pattern_of(self, topic: str) -> TopicPattern[Any, Any] | None:
        """The pattern that a topic's name matches, unless the topic is declared itself."""
        if topic in self._topics:
            return None
        return next((each for each in self._patterns.values() if each.regex.fullmatch(topic)), None)

    def lead(self) -> None:
        """One of the app's workers at a time is to be its leader."""
        self._has_leader = True

    def freeze(self, dead_letter: TopicSpec) -> Topology:
        """The topology of all that was declared. Raises `TopologyError` for a graph that cannot run."""
        if not self._steps and not self._has_leader:
            raise TopologyError(f"app {self.app_id!r} has nothing to run: declare an agent or a stream")
        steps = [self._step(declared) for declared in self._steps.values()]
        internal = [topic.spec for topic in self._topics.values() if topic.internal]
        if self._answers:
            internal.append(replies_topic(self.app_id))
        if self._has_leader:
            # Last, so that no other sub-topology changes its number, by which its state is known.
            leader, topic = leader_step(self.app_id)
            steps.append(leader)
            internal.append(topic)
        used = {spec.name for step in steps for spec in step.stores}
        unused = [name for name in self._tables if name not in used]
        if unused:
            raise TopologyError(
                f"table {unused[0]!r} is used by no agent or operator as far as their code shows; "
                f"name it, as in @app.agent(..., uses=[{unused[0]}]), or remove it"
            )
        written = [table for table in self._global_tables.values() if isinstance(table, WrittenGlobalTable)]
        for table in written:
            if table.part_spec.name not in used:
                raise TopologyError(
                    f"global table {table.name!r} has no source=, and is named by nobody who writes it: name it, as in "
                    f"@app.agent(..., uses=[{table.name}])"
                )
        for step in steps:
            if not step.parents and not step.stores and step.source is None and step.pattern is None:
                raise TopologyError(
                    f"{step.kind} {step.name!r} uses no table as far as its code shows, so it is not known in "
                    "which tasks it runs: name a topic or agent of theirs, or its tables with uses="
                )
        alone = record_by_record(steps)
        parts = split([replace(step, record_by_record=step.name in alone) for step in steps])
        counts = {table.name: table.partitions for table in self._tables.values() if table.partitions is not None}
        counts |= {table.part_spec.name: table.partitions for table in written if table.partitions is not None}
        topics = self._topics.values()
        sinks = [self._topics[step.sink] for step in steps if step.sink is not None]
        codecs = [codec for topic in sinks for codec in (topic.key_codec, topic.value_codec)]
        kept = [*(table for table in self._tables.values() if table.source is None), *written]
        codecs += [codec for table in kept for codec in (table.key_codec, table.value_codec)]
        return Topology(
            self.app_id,
            parts,
            tuple(topic.spec for topic in topics if not topic.internal),
            tuple(internal),
            dead_letter,
            counts,
            tuple({codec.prepare: None for codec in codecs if codec.prepare is not None}),
            tuple(table.spec for table in self._global_tables.values()),
            tuple(self._warnings()),
            {topic.name: topic.start for topic in topics if topic.start != "earliest"},
        )

    def _warnings(self) -> Iterator[str]:
        """What keeps state or has a topic under a name that depends on the order of the code."""
        for name, repeated in self._numbered.items():
            step = self._steps.get(name)
            if step is not None and (step.stores or step.kind == "group_by"):
                yield (
                    f"{step.kind} {name!r} is told from {repeated!r} by nothing but the order in which the code "
                    "declares them: give both a name=, or they take each other's state when they change places"
                )

    def _step(self, declared: _Declared) -> Step:
        tables = {table.name: table for table in (*declared.tables, *tables_used_by(declared.functions))}
        for table in tables.values():
            if table.declared not in (self._tables.get(table.name), self._global_tables.get(table.name)):
                raise TopologyError(f"{declared.kind} {declared.name!r} uses table {table.name!r} of another app")
        return Step(
            declared.name,
            declared.kind,
            lambda context: declared.build(context, declared.name),
            declared.parents,
            (*declared.stores, *self._stores_of(declared, tables.values())),
            declared.source,
            declared.sink,
            declared.detail,
            errors=self._errors.get(declared.name),
            pattern=self._matched_by(declared.name),
        )

    def _stores_of(self, declared: _Declared, tables: Iterable[Table[Any, Any]]) -> Iterator[StoreSpec]:
        """The stores of the tables that a step uses. Of a global table those have a part that name it to write it."""
        for table in tables:
            if not isinstance(table, GlobalTable):
                yield table.kept_spec
            elif isinstance(table, WrittenGlobalTable) and table in declared.tables:
                yield table.part_spec

    def _matched_by(self, name: str) -> Pattern | None:
        """The pattern that a step reads by, if it does: each topic by a step of its own."""
        pattern, errors = self._patterns.get(name), self._errors.get(name)
        if pattern is None:
            return None

        def source(topic: str) -> Step:
            own = f"topic.{topic}"
            return Step(
                own, "source", lambda context: Source(context, own, pattern.topic(topic)), source=topic, errors=errors
            )

        return Pattern(pattern.regex, source)

    def _claim(self, store: str, owner: str) -> None:
        if not (is_topic_name(store) and is_topic_name(f"{self.app_id}-{store}-changelog")):
            raise ConfigError(
                f"{owner} cannot have that name, which is part of its changelog's: it is of letters, digits, dots, "
                "dashes and underscores, and not too long"
            )
        known = self._stores.setdefault(store, owner)
        if known != owner or store in self._tables or store in self._global_tables:
            raise DuplicateName(f"{owner} needs a name of its own: {known} has it already")


def _declared(kind: str, name: str, known: dict[str, T]) -> T:
    if name not in known:
        names = ", ".join(sorted(known)) or "none at all"
        raise TopologyError(f"no {kind} {name!r} is declared; there is {names}")
    return known[name]
