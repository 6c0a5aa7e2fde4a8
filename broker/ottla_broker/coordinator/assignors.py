"""Server-side assignors: which member of a consumer group is to have which partition (KIP-848). Pure.

Both give every partition of every subscribed topic to exactly one member that subscribes to it.

- `range` gives each member a consecutive range of every topic, so that members have partitions of the same numbers in
  topics of the same size, as a join of the topics needs. It does not look at who has what.
- `uniform` gives members equally many partitions, as far as their subscriptions allow, and of all such assignments one
  that moves few.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

from ottla_broker.coordinator.balancing import balance
from ottla_broker.coordinator.partitions import TopicIdPartition

Target = dict[str, frozenset[TopicIdPartition]]
"""Every member's part of an assignment, by member id."""


class Subscriber(NamedTuple):
    """A member as an assignor sees it; `topics` are those that exist, `assigned` is its part of the last target."""

    member_id: str
    instance_id: str | None
    topics: frozenset[UUID]
    assigned: frozenset[TopicIdPartition]


Assignor = Callable[[Sequence[Subscriber], Mapping[UUID, int]], Target]
"""Takes the members and the number of partitions of each topic. The answer is the same for the same arguments."""


def assign_range(subscribers: Sequence[Subscriber], partitions: Mapping[UUID, int]) -> Target:
    """See the module's text. Static members come first, by instance id, so that they keep their ranges (KIP-345)."""
    ordered = sorted(subscribers, key=lambda s: (s.instance_id is None, s.instance_id or s.member_id))
    target: dict[str, list[TopicIdPartition]] = {subscriber.member_id: [] for subscriber in ordered}
    of_topic = _subscribers_of_topics(ordered)
    for topic_id, members in of_topic.items():
        share, extra = divmod(partitions[topic_id], len(members))
        start = 0
        for position, member_id in enumerate(members):
            end = start + share + (position < extra)
            target[member_id] += [(topic_id, index) for index in range(start, end)]
            start = end
    return {member_id: frozenset(assigned) for member_id, assigned in target.items()}


def assign_uniform(subscribers: Sequence[Subscriber], partitions: Mapping[UUID, int]) -> Target:
    """See the module's text."""
    ordered = sorted(subscribers, key=lambda s: s.member_id)
    of_topic = _subscribers_of_topics(ordered)
    everything = {(topic_id, index) for topic_id in of_topic for index in range(partitions[topic_id])}
    kept = {
        s.member_id: {partition for partition in s.assigned & everything if partition[0] in s.topics} for s in ordered
    }
    everything.difference_update(*kept.values())
    free = sorted(everything, key=lambda partition: (partition[0].int, partition[1]))
    if all(subscriber.topics == ordered[0].topics for subscriber in ordered):
        _share_out(kept, free)
    else:
        _give_to_the_least_loaded(kept, free, of_topic)
        balance(kept, of_topic)
    return {member_id: frozenset(assigned) for member_id, assigned in kept.items()}


ASSIGNORS: Mapping[str, Assignor] = {"uniform": assign_uniform, "range": assign_range}
"""By the names under which group.consumer.assignors and members know them."""


def _subscribers_of_topics(subscribers: Sequence[Subscriber]) -> dict[UUID, list[str]]:
    of_topic: dict[UUID, list[str]] = {}
    for subscriber in subscribers:
        for topic_id in subscriber.topics:
            of_topic.setdefault(topic_id, []).append(subscriber.member_id)
    return of_topic


def _share_out(kept: dict[str, set[TopicIdPartition]], free: list[TopicIdPartition]) -> None:
    """All subscribe alike: who has most keeps one more where the partitions do not divide evenly, the rest moves."""
    members = sorted(kept, key=lambda member_id: -len(kept[member_id]))
    if not members:
        return
    share, extra = divmod(len(free) + sum(map(len, kept.values())), len(members))
    quotas = {member_id: share + (position < extra) for position, member_id in enumerate(members)}
    for member_id, quota in quotas.items():
        surplus = len(kept[member_id]) - quota
        if surplus > 0:
            ordered = sorted(kept[member_id], key=lambda partition: (partition[0].int, partition[1]))
            free += ordered[-surplus:]
            kept[member_id].difference_update(ordered[-surplus:])
    position = 0
    for member_id, quota in quotas.items():
        missing = quota - len(kept[member_id])
        kept[member_id].update(free[position : position + missing])
        position += missing
    assert position == len(free), "every partition is given away"


def _give_to_the_least_loaded(
    kept: dict[str, set[TopicIdPartition]], free: list[TopicIdPartition], of_topic: Mapping[UUID, list[str]]
) -> None:
    """Those first that few members can take."""
    for partition in sorted(free, key=lambda partition: len(of_topic[partition[0]])):
        member_id = min(of_topic[partition[0]], key=lambda candidate: len(kept[candidate]))
        kept[member_id].add(partition)
