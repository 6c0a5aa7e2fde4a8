"""Topics by pattern: which there are, a worker finds out when it begins, and again when others appear.

While an app is declared, a pattern is a step without a source. `resolved` puts the topics that match before it, each as
a source of its own, and everything else goes on as if they had been named.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ottla.errors import TopologyError
from ottla.transport.contract import TopicSpec

if TYPE_CHECKING:
    from ottla.topology.topology import Step, Subtopology, Topology


@dataclass(frozen=True, eq=False, slots=True)
class Pattern:
    """What a topic's whole name must match, and the step that reads such a topic."""

    regex: re.Pattern[str]
    source: Callable[[str], Step]


def has_patterns(topology: Topology) -> bool:
    return any(step.pattern is not None for part in topology.subtopologies for step in part.steps)


def matching(topology: Topology, topics: Collection[str]) -> set[str]:
    """Those of the topics that the patterns of the topology match: none of the app's own, nor of Kafka's (`__...`)."""
    return {topic for found in _matches(topology, topics).values() for topic in found}


def resolved(topology: Topology, counts: Mapping[str, int]) -> Topology:
    """The topology that reads the topics which match, of those that there are with their partition counts.

    Raises `TopologyError` for a topic that is read twice: by its name and by a pattern, or by two patterns.
    """
    if not has_patterns(topology):
        return topology
    matches = _matches(topology, counts)
    named = {step.source for part in topology.subtopologies for step in part.steps if step.source is not None}
    for name, topics in matches.items():
        if twice := named.intersection(topics):
            raise TopologyError(
                f"topic {min(twice)!r} matches {name!r} and is read by its name or another pattern, too: change one of "
                "them, so that each topic is read in one place"
            )
        named.update(topics)
    parts = tuple(_resolved_part(part, matches, counts) for part in topology.subtopologies)
    declared = {spec.name for spec in topology.topics}
    fresh = sorted(topic for topics in matches.values() for topic in topics if topic not in declared)
    return replace(topology, subtopologies=parts, topics=(*topology.topics, *(TopicSpec(topic) for topic in fresh)))


def _matches(topology: Topology, topics: Collection[str]) -> dict[str, list[str]]:
    """The topics that each pattern's step reads, in order."""
    own = {spec.name for spec in topology.repartitions} | {topology.dead_letter.name}
    own |= {spec.changelog for part in topology.subtopologies for spec in part.stores}
    own |= {f"{topology.app_id}-{name}" for name in ("assignment", "stores", "replies")}
    candidates = sorted(topic for topic in topics if topic not in own and not topic.startswith("__"))
    return {
        step.name: [topic for topic in candidates if pattern.regex.fullmatch(topic)]
        for step, pattern in _patterns(topology)
    }


def _patterns(topology: Topology) -> Iterator[tuple[Step, Pattern]]:
    for part in topology.subtopologies:
        for step in part.steps:
            if step.pattern is not None:
                yield step, step.pattern


def _resolved_part(part: Subtopology, matches: Mapping[str, list[str]], counts: Mapping[str, int]) -> Subtopology:
    from ottla.topology.topology import record_by_record

    steps: list[Step] = []
    limits: dict[str, int] = {}
    for step in part.steps:
        if step.pattern is None:
            steps.append(step)
            continue
        sources = [step.pattern.source(topic) for topic in matches[step.name]]
        steps += [*sources, replace(step, parents=tuple(source.name for source in sources))]
        limits |= {topic: counts[topic] for topic in matches[step.name]}
    alone = record_by_record(steps)
    steps = [replace(step, record_by_record=step.name in alone) for step in steps]
    # Without state nothing has to meet, so that each topic may have as many partitions as it has.
    only_matched = {step.source for step in steps if step.source is not None} <= limits.keys()
    return replace(part, steps=tuple(steps), limits=limits if only_matched and not part.stores else {})
