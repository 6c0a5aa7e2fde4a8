"""A consumer group while something about it is being decided. Pure.

Rules build on one another: a member joins, so the group's epoch rises, so there is another target assignment, so the
member takes a step towards it. Each rule has to see what the ones before it did, though nothing of that is in the log
yet. So they decide on a draft, a copy of the group into which each record is replayed as it is decided.
"""

from collections.abc import Iterable, Mapping

from ottla_broker.coordinator.consumer_group import ConsumerGroup, Resolved
from ottla_broker.coordinator.consumer_member import ConsumerMember
from ottla_broker.coordinator.consumer_records import (
    ConsumerGroupCurrentMemberAssignmentKey,
    ConsumerGroupMemberMetadataKey,
    ConsumerGroupMetadataKey,
    ConsumerGroupMetadataValue,
    ConsumerGroupRegularExpressionKey,
    ConsumerGroupRegularExpressionValue,
    ConsumerGroupTargetAssignmentMemberKey,
    ConsumerGroupTargetAssignmentMemberValue,
    ConsumerGroupTargetAssignmentMetadataKey,
    ConsumerGroupTargetAssignmentMetadataValue,
    TargetTopicPartitions,
)
from ottla_broker.coordinator.decision import CoordinatorRecord, Decision
from ottla_broker.coordinator.partitions import TopicIdPartition, by_topic
from ottla_wire.message import Message


class Draft:
    """A group while something about it is being decided: each record goes into the decision and into `group`.

    `group` is the real one until the first record, and from then on a copy.
    """

    __slots__ = ("decision", "group", "has_changed")

    def __init__(self, group: ConsumerGroup, decision: Decision) -> None:
        self.group = group
        self.decision = decision
        self.has_changed = False

    def _append(self, key: Message, value: Message | None) -> None:
        record = CoordinatorRecord(key, value)
        if not self.has_changed:
            self.group = self.group.copy()
            self.has_changed = True
        self.group.replay(record)
        self.decision.records.append(record)

    def set_epoch(self, epoch: int, metadata_hash: int) -> None:
        """The group begins to exist, or has changed. `metadata_hash` says which metadata its topics have by now."""
        assert epoch >= self.group.epoch, "the group epoch never falls"
        self._append(
            ConsumerGroupMetadataKey(group_id=self.group.group_id),
            ConsumerGroupMetadataValue(epoch=epoch, metadata_hash=metadata_hash),
        )

    def put(self, member: ConsumerMember) -> None:
        """A member joins or changes; only what differs is written."""
        group_id, member_id = self.group.group_id, member.member_id
        former = self.group.members.get(member_id)
        if former is None or member.metadata() != former.metadata():
            key = ConsumerGroupMemberMetadataKey(group_id=group_id, member_id=member_id)
            self._append(key, member.metadata())
        current = member.current_assignment()
        if current != self.group.members[member_id].current_assignment():
            for partition in (*member.assigned, *member.revoking):
                assert self.group.owners.get(partition, member_id) == member_id, "a partition has one owner"
            self._append(ConsumerGroupCurrentMemberAssignmentKey(group_id=group_id, member_id=member_id), current)

    def remove(self, member_id: str) -> None:
        """A member is gone, and what it had is free."""
        group_id = self.group.group_id
        self._append(ConsumerGroupCurrentMemberAssignmentKey(group_id=group_id, member_id=member_id), None)
        self._append(ConsumerGroupTargetAssignmentMemberKey(group_id=group_id, member_id=member_id), None)
        self._append(ConsumerGroupMemberMetadataKey(group_id=group_id, member_id=member_id), None)

    def set_target(self, target: Mapping[str, frozenset[TopicIdPartition]], now_ms: int) -> None:
        """The target assignment of the group's epoch; only what differs from the one before is written."""
        for member_id, partitions in target.items():
            if self.group.target.get(member_id) != partitions:
                self.set_target_of(member_id, partitions)
        self._append(
            ConsumerGroupTargetAssignmentMetadataKey(group_id=self.group.group_id),
            ConsumerGroupTargetAssignmentMetadataValue(assignment_epoch=self.group.epoch, assignment_timestamp=now_ms),
        )

    def set_target_of(self, member_id: str, partitions: Iterable[TopicIdPartition]) -> None:
        """One member's part of the target assignment."""
        topics = [
            TargetTopicPartitions(topic_id=topic_id, partitions=indexes)
            for topic_id, indexes in by_topic(partitions).items()
        ]
        self._append(
            ConsumerGroupTargetAssignmentMemberKey(group_id=self.group.group_id, member_id=member_id),
            ConsumerGroupTargetAssignmentMemberValue(topic_partitions=topics),
        )

    def set_resolved(self, regex: str, resolved: Resolved, now_ms: int) -> None:
        """What a regular expression stands for."""
        self._append(
            ConsumerGroupRegularExpressionKey(group_id=self.group.group_id, regular_expression=regex),
            ConsumerGroupRegularExpressionValue(
                topics=sorted(resolved.topics), version=resolved.version, timestamp=now_ms
            ),
        )

    def forget_unused_regexes(self) -> None:
        """What no member subscribes to any more need not be known."""
        for regex in self.group.resolved.keys() - self.group.regexes():
            key = ConsumerGroupRegularExpressionKey(group_id=self.group.group_id, regular_expression=regex)
            self._append(key, None)

    def delete(self) -> None:
        """The group is no more, or no more one of the consumer protocol."""
        for member_id in list(self.group.members):
            self.remove(member_id)
        self.forget_unused_regexes()
        group_id = self.group.group_id
        self._append(ConsumerGroupTargetAssignmentMetadataKey(group_id=group_id), None)
        self._append(ConsumerGroupMetadataKey(group_id=group_id), None)
