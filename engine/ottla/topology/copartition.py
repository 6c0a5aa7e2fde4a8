"""What a user is told when topics that meet in one task have different partition counts: where, and what to change."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ottla.topology.topology import Step


def describe_mismatch(steps: Iterable[Step], topics: Mapping[str, int], tables: Mapping[str, int]) -> str:
    """What is wrong, if the counts of what meets in a sub-topology's steps differ.

    `topics` are the counts of its inputs and `tables` those that are declared for its tables, each by name.
    """
    where, met, stated = _meeting_place(list(steps), topics, tables)
    counts = {f"topic {topic!r}": topics[topic] for topic in topics if topic in met}
    counts |= {f"table {table!r}": tables[table] for table in tables if table in stated}
    listed = ", ".join(f"{what} has {count}" for what, count in counts.items())
    most = max(counts.values())
    changed = " and ".join(what for what, count in counts.items() if count != most)
    return (
        f"what meets in {where} needs equal partition counts, but {listed}: give {changed} {most} partitions, or send "
        f"the events through a topic that has them, as in .through(app.topic(..., partitions={most})) or "
        f".group_by(..., partitions={most})"
    )


def _meeting_place(
    steps: list[Step], topics: Mapping[str, int], tables: Mapping[str, int]
) -> tuple[str, set[str], set[str]]:
    """The first step at which different counts meet, with the topics and tables that do.

    What reaches a step came through its parents, or lies in a store that other steps fill.
    """
    through: dict[str, set[str]] = {}
    filled: dict[str, set[str]] = {}
    for step in steps:
        reached = through.setdefault(step.name, set() if step.source is None else {step.source})
        reached.update(*(through[parent] for parent in step.parents))
        for store in step.stores:
            filled.setdefault(store.name, set()).update(reached)
    for step in steps:
        if step.kind == "table":
            continue  # It keeps what others read: they are where it meets anything.
        met = through[step.name].union(*(filled[store.name] for store in step.stores))
        stated = {store.name for store in step.stores if store.name in tables}
        if len({*(topics[topic] for topic in met), *(tables[table] for table in stated)}) > 1:
            return f"{step.kind} {step.name!r}", met, stated
    return "one task", set(topics), set(tables)
