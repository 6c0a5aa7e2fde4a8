"""Evening out an assignment between members that subscribe to different topics. Pure.

An assignment is uneven as long as partitions can be handed on along a chain (one that A has goes to B, for which one
that B has goes to C, and so on) such that the last member, who has one more for it, still has fewer than the first had.
When there is no such chain left, no assignment is more even (Harvey et al., "Semi-matchings for bipartite graphs and
load balancing", 2003). Each chain moves as few partitions as it can.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from uuid import UUID

from ottla_broker.coordinator.partitions import TopicIdPartition

MOST_STEPS = 1_000_000
"""How far chains are looked for in all, so that a large group cannot stall the broker: a few tenths of a second. What
has been evened out until then stands; most of it is in the first, short chains."""

Chain = list[tuple[str, UUID, str]]
"""Who hands on a partition of which topic to whom."""


def balance(assigned: dict[str, set[TopicIdPartition]], of_topic: Mapping[UUID, Sequence[str]]) -> None:
    """Even out `assigned` in place; `of_topic` says which members can take partitions of a topic."""
    _Balancer(assigned, of_topic).run()


class _Balancer:
    def __init__(self, assigned: dict[str, set[TopicIdPartition]], of_topic: Mapping[UUID, Sequence[str]]) -> None:
        self._assigned = assigned
        self._topics_of: dict[str, list[UUID]] = {member_id: [] for member_id in assigned}
        for topic_id, members in of_topic.items():
            for member_id in members:
                self._topics_of[member_id].append(topic_id)
        self._holders: dict[UUID, dict[str, list[TopicIdPartition]]] = {topic_id: {} for topic_id in of_topic}
        for member_id, partitions in assigned.items():
            for partition in sorted(partitions, key=lambda partition: (partition[0].int, partition[1])):
                self._holders[partition[0]].setdefault(member_id, []).append(partition)
        self._steps_left = MOST_STEPS

    def run(self) -> None:
        has_moved = True
        while has_moved and self._steps_left > 0:
            has_moved = False
            for member_id in sorted(self._assigned, key=lambda member_id: len(self._assigned[member_id])):
                while (chain := self._chain_to(member_id)) is not None:
                    self._hand_on(chain)
                    has_moved = True

    def _chain_to(self, taker: str) -> Chain | None:
        """The shortest chain that ends with `taker` and begins with a member who has at least two more."""
        enough = len(self._assigned[taker]) + 2
        self._steps_left -= len(self._assigned)
        if max(map(len, self._assigned.values())) < enough:
            return None
        reached_by: dict[str, tuple[str, UUID, str] | None] = {taker: None}
        seen_topics: set[UUID] = set()
        queue = deque([taker])
        while queue and self._steps_left > 0:
            member_id = queue.popleft()
            self._steps_left -= len(self._topics_of[member_id])
            for topic_id in self._topics_of[member_id]:
                if topic_id in seen_topics:
                    continue
                seen_topics.add(topic_id)
                holders = self._holders[topic_id]
                self._steps_left -= len(holders)
                for holder in holders:
                    if holder not in reached_by:
                        reached_by[holder] = (holder, topic_id, member_id)
                        queue.append(holder)
                giver = max(holders, key=lambda holder: len(self._assigned[holder]), default=taker)
                if len(self._assigned[giver]) >= enough:
                    return _chain_from(giver, reached_by)
        return None

    def _hand_on(self, chain: Chain) -> None:
        for giver, topic_id, taker in chain:
            holders = self._holders[topic_id]
            partition = holders[giver].pop()
            if not holders[giver]:
                del holders[giver]
            holders.setdefault(taker, []).append(partition)
            self._assigned[giver].remove(partition)
            self._assigned[taker].add(partition)


def _chain_from(giver: str, reached_by: Mapping[str, tuple[str, UUID, str] | None]) -> Chain:
    chain = []
    step = reached_by[giver]
    while step is not None:
        chain.append(step)
        step = reached_by[step[2]]
    return chain
