"""The topology as boxes and arrows: what the drawings have in common.

A topic is one box, whoever reads and writes it, so the steps that only read or write one are not drawn. Stores belong
to the steps that use them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from ottla.topology.topology import Step, Topology


@dataclass(frozen=True, slots=True)
class Box:
    """A topic or a step. `part` is the step's sub-topology; None for topics and global tables."""

    kind: Literal["topic", "step", "global table"]
    name: str
    title: str = ""
    detail: str = ""
    stores: tuple[str, ...] = ()
    part: int | None = None


@dataclass(slots=True)
class Diagram:
    """Boxes in the order of the steps, and arrows between their names. A box's name is unique."""

    boxes: dict[str, Box] = field(default_factory=dict)
    arrows: list[tuple[str, str]] = field(default_factory=list)

    def topic(self, name: str) -> str:
        box = self.boxes.setdefault(f"topic.{name}", Box("topic", f"topic.{name}", name))
        return box.name

    def chosen(self, step: Step) -> str:
        """The topics that a step chooses, as one box."""
        self.boxes[step.name] = Box("topic", step.name, f"chosen by {step.detail}")
        return step.name

    def arrow(self, start: str, end: str) -> None:
        if (start, end) not in self.arrows:
            self.arrows.append((start, end))


def diagram(topology: Topology) -> Diagram:
    """What is to be drawn of a topology."""
    drawn = Diagram()
    for part in topology.subtopologies:
        place: dict[str, str] = {}  # where arrows to and from a step end: its box, or its topic's
        for step in part.steps:
            if step.source is not None:
                place[step.name] = drawn.topic(step.source)
                continue
            if step.pattern is not None and not step.parents:
                drawn.boxes[step.name] = Box("topic", step.name, step.pattern.regex.pattern)
                place[step.name] = step.name
            elif step.kind == "sink":
                place[step.name] = drawn.topic(step.sink) if step.sink is not None else drawn.chosen(step)
            else:
                place[step.name] = step.name
                stores = tuple(spec.name for spec in step.stores)
                detail = f"{step.kind}, {step.detail}" if step.detail else step.kind
                drawn.boxes[step.name] = Box("step", step.name, step.name, detail, stores, part.index)
                if step.sink is not None:
                    drawn.arrow(step.name, drawn.topic(step.sink))
            for parent in step.parents:
                drawn.arrow(place[parent], place[step.name])
    for spec in topology.global_tables:
        name = f"global table {spec.name}"
        drawn.boxes[name] = Box("global table", name, spec.name, "global table", (spec.name,))
        drawn.arrow(drawn.topic(spec.changelog), name)
    return drawn
