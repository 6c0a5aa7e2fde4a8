"""The topology as text, in the form in which Kafka Streams prints one, so that its tools read it.

What Kafka Streams does not say stands behind a step, after a hash: its kind, what it is told, how it is taken.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ottla.topology.topology import Step, Subtopology, Topology


def describe(topology: Topology) -> str:
    lines = ["Topologies:"]
    for part in topology.subtopologies:
        lines.append(f"   Sub-topology: {part.index}")
        lines += _steps(part)
    for number, spec in enumerate(topology.global_tables, len(topology.subtopologies)):
        source = f"topic.{spec.changelog}"
        lines += [
            f"   Sub-topology: {number} for global store (will not generate tasks)",
            f"    Source: {source} (topics: [{spec.changelog}])",
            f"      --> {spec.name}",
            f"    Processor: {spec.name} (stores: [{spec.name}])  # global table",
            "      --> none",
            f"      <-- {source}",
        ]
    return "\n".join(lines) + "\n"


def _steps(part: Subtopology) -> Iterable[str]:
    children: dict[str, list[str]] = {step.name: [] for step in part.steps}
    for step in part.steps:
        for parent in step.parents:
            children[parent].append(step.name)
    for step in part.steps:
        yield f"    {_title(step)}{_remark(step)}"
        if step.kind != "sink":
            yield f"      --> {_listed(children[step.name])}"
        if step.parents or (step.source is None and step.pattern is None):
            yield f"      <-- {_listed(step.parents)}"


def _title(step: Step) -> str:
    if step.pattern is not None and not step.parents:
        return f"Source: {step.name} (topics: {step.pattern.regex.pattern})"
    if step.source is not None:
        return f"Source: {step.name} (topics: [{step.source}])"
    if step.kind == "sink":
        return f"Sink: {step.name} ({f'topic: {step.sink}' if step.sink else f'extractor class: {step.detail}'})"
    return f"Processor: {step.name} (stores: [{', '.join(spec.name for spec in step.stores)}])"


def _remark(step: Step) -> str:
    said = [] if step.kind in ("source", "sink", "pattern") else [step.kind]
    if step.detail and step.kind != "sink":
        said.append(step.detail)
    if step.sink is not None and step.kind != "sink":
        said.append(f"writes {step.sink}")
    if step.record_by_record:
        said.append("event by event, since its branches meet again")
    return f"  # {', '.join(said)}" if said else ""


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"
