"""One group of the consumer protocol (KIP-848): its epochs, members, target assignment and owners. Pure.

Everything here is in the log: it changes in `replay` alone, in life and at recovery alike. Three numbers tell how far a
group is. A change of who its members are, what they subscribe to, or of those topics raises the **group epoch**; the
**target epoch** is the group epoch for which the target assignment was computed; each member's **epoch** says which
target it has reached. They follow one another, and when all are equal the group is stable.

The rules are in `consumer_protocol`.
"""

import hashlib
from collections.abc import Iterable, Mapping
from copy import copy
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple
from uuid import UUID

from ottla_broker.cluster.image import TopicState
from ottla_broker.coordinator.consumer_member import NONE_ASSIGNED, ConsumerMember
from ottla_broker.coordinator.consumer_records import (
    ConsumerGroupCurrentMemberAssignmentKey,
    ConsumerGroupCurrentMemberAssignmentValue,
    ConsumerGroupMemberMetadataKey,
    ConsumerGroupMemberMetadataValue,
    ConsumerGroupMetadataKey,
    ConsumerGroupMetadataValue,
    ConsumerGroupRegularExpressionKey,
    ConsumerGroupRegularExpressionValue,
    ConsumerGroupTargetAssignmentMemberKey,
    ConsumerGroupTargetAssignmentMemberValue,
    ConsumerGroupTargetAssignmentMetadataKey,
    ConsumerGroupTargetAssignmentMetadataValue,
)
from ottla_broker.coordinator.decision import CoordinatorRecord
from ottla_broker.coordinator.embedded_protocol import PROTOCOL_TYPE
from ottla_broker.coordinator.partitions import TopicIdPartition
from ottla_wire.errors import ErrorCode, KafkaError

NOTHING: frozenset[TopicIdPartition] = frozenset()


class ConsumerGroupState(Enum):
    """Follows from the epochs; the values are the names that ListGroups and ConsumerGroupDescribe answer with."""

    EMPTY = "Empty"
    """No members."""
    ASSIGNING = "Assigning"
    """The group has changed since the target assignment was computed."""
    RECONCILING = "Reconciling"
    """Some member has not reached the target assignment."""
    STABLE = "Stable"
    """Every member has what it is to have."""


class Resolved(NamedTuple):
    """The topics that a regular expression stands for, as of an offset of the metadata log."""

    topics: frozenset[str]
    version: int


@dataclass(slots=True)
class ConsumerGroup:
    """A group and its members, in the order in which the log first names them."""

    group_id: str
    epoch: int = 0
    metadata_hash: int = 0
    target_epoch: int = 0
    target_timestamp_ms: int = 0
    members: dict[str, ConsumerMember] = field(default_factory=dict)
    target: dict[str, frozenset[TopicIdPartition]] = field(default_factory=dict)
    resolved: dict[str, Resolved] = field(default_factory=dict)
    owners: dict[TopicIdPartition, str] = field(default_factory=dict)
    """Who uses a partition, or has not confirmed yet that it does not any more."""
    static_members: dict[str, str] = field(default_factory=dict)
    seen_version: int = -1
    """As of which offset of the metadata log its topics were last looked at; not in the log."""
    resolving_version: int = -1
    """As of which offset its regular expressions were last given out to be resolved; not in the log."""

    def copy(self) -> "ConsumerGroup":
        other = copy(self)
        for name in ("members", "target", "resolved", "owners", "static_members"):
            setattr(other, name, getattr(self, name).copy())
        return other

    # -- replay

    def replay(self, record: CoordinatorRecord) -> None:
        """Take over one record. A tombstone of what is not known is no matter: compaction may have left it alone."""
        match record:
            case CoordinatorRecord(ConsumerGroupMetadataKey(), ConsumerGroupMetadataValue() as value):
                self.epoch = value.epoch
                self.metadata_hash = value.metadata_hash
            case CoordinatorRecord(ConsumerGroupMemberMetadataKey() as key, value):
                assert value is None or isinstance(value, ConsumerGroupMemberMetadataValue)
                self._replay_metadata(key.member_id, value)
            case CoordinatorRecord(ConsumerGroupCurrentMemberAssignmentKey() as key, value):
                assert value is None or isinstance(value, ConsumerGroupCurrentMemberAssignmentValue)
                self._replay_current_assignment(key.member_id, value)
            case CoordinatorRecord(ConsumerGroupTargetAssignmentMetadataKey(), value):
                assert value is None or isinstance(value, ConsumerGroupTargetAssignmentMetadataValue)
                self.target_epoch = 0 if value is None else value.assignment_epoch
                self.target_timestamp_ms = 0 if value is None else value.assignment_timestamp
            case CoordinatorRecord(ConsumerGroupTargetAssignmentMemberKey() as key, None):
                self.target.pop(key.member_id, None)
            case CoordinatorRecord(
                ConsumerGroupTargetAssignmentMemberKey() as key, ConsumerGroupTargetAssignmentMemberValue() as value
            ):
                self.target[key.member_id] = frozenset(
                    (topic.topic_id, index) for topic in value.topic_partitions for index in topic.partitions
                )
            case CoordinatorRecord(ConsumerGroupRegularExpressionKey() as key, None):
                self.resolved.pop(key.regular_expression, None)
            case CoordinatorRecord(
                ConsumerGroupRegularExpressionKey() as key, ConsumerGroupRegularExpressionValue() as value
            ):
                self.resolved[key.regular_expression] = Resolved(frozenset(value.topics), value.version)

    def _replay_metadata(self, member_id: str, value: ConsumerGroupMemberMetadataValue | None) -> None:
        former = self.members.get(member_id)
        if former is not None and self.static_members.get(former.instance_id or "") == member_id:
            del self.static_members[former.instance_id or ""]
        if value is None:
            if former is not None:
                self._own(former, NONE_ASSIGNED)
                del self.members[member_id]
            return
        member = (former or ConsumerMember(member_id=member_id)).with_metadata(value)
        self.members[member_id] = member
        if member.instance_id is not None:
            self.static_members[member.instance_id] = member_id

    def _replay_current_assignment(
        self, member_id: str, value: ConsumerGroupCurrentMemberAssignmentValue | None
    ) -> None:
        former = self.members.get(member_id)
        if value is not None:
            member = (former or ConsumerMember(member_id=member_id)).with_current_assignment(value)
            self._own(former, {**member.assigned, **member.revoking}, member_id)
            self.members[member_id] = member
        elif former is not None:
            self._own(former, NONE_ASSIGNED)
            begun_anew = ConsumerMember(member_id=member_id).with_metadata(former.metadata())
            self.members[member_id] = begun_anew

    def _own(
        self, former: ConsumerMember | None, partitions: Mapping[TopicIdPartition, int], member_id: str = ""
    ) -> None:
        """From now on `partitions` are the member's. In a compacted log the later record is right about an owner."""
        if former is not None:
            for partition in (*former.assigned, *former.revoking):
                if self.owners.get(partition) == former.member_id:
                    del self.owners[partition]
        self.owners.update(dict.fromkeys(partitions, member_id))

    # -- state

    @property
    def protocol_type(self) -> str:
        """That of consumers, as ListGroups has it."""
        return PROTOCOL_TYPE

    @property
    def state(self) -> ConsumerGroupState:
        if not self.members:
            return ConsumerGroupState.EMPTY
        if self.epoch > self.target_epoch:
            return ConsumerGroupState.ASSIGNING
        if all(member.is_reconciled_to(self.target_epoch) for member in self.members.values()):
            return ConsumerGroupState.STABLE
        return ConsumerGroupState.RECONCILING

    def check(self) -> None:
        """Assert what must hold between the parts."""
        assert self.epoch >= self.target_epoch >= 0, "the target follows the group"
        assert all(member.epoch <= self.target_epoch for member in self.members.values()), "members follow the target"
        owned = [
            (partition, member.member_id)
            for member in self.members.values()
            for partition in (*member.assigned, *member.revoking)
        ]
        assert dict(owned) == self.owners, "who has a partition owns it"
        assert len(owned) == len(self.owners), "a partition has one owner"
        targeted = [partition for partitions in self.target.values() for partition in partitions]
        assert len(targeted) == len(set(targeted)), "a partition is meant for one member"
        assert self.target.keys() <= self.members.keys(), "the target is made for members"
        assert self.static_members == {
            member.instance_id: member.member_id for member in self.members.values() if member.is_static
        }
        assert self.resolved.keys() <= self.regexes(), "only what members subscribe to is resolved"

    # -- members

    def member(self, member_id: str, instance_id: str | None = None) -> ConsumerMember:
        """The member that a request speaks for.

        Raises KafkaError UNKNOWN_MEMBER_ID, and FENCED_INSTANCE_ID when the instance id is another member's now.
        """
        if instance_id is not None:
            static_id = self.static_members.get(instance_id)
            if static_id is None:
                raise KafkaError(
                    ErrorCode.UNKNOWN_MEMBER_ID, f"group {self.group_id!r} has no instance {instance_id!r}: join again"
                )
            if static_id != member_id:
                raise KafkaError(
                    ErrorCode.FENCED_INSTANCE_ID,
                    f"instance {instance_id!r} of group {self.group_id!r} is now member {static_id!r}",
                )
        member = self.members.get(member_id)
        if member is None:
            raise KafkaError(
                ErrorCode.UNKNOWN_MEMBER_ID, f"group {self.group_id!r} has no member {member_id!r}: join again"
            )
        return member

    def static_member(self, instance_id: str | None) -> ConsumerMember | None:
        member_id = None if instance_id is None else self.static_members.get(instance_id)
        return None if member_id is None else self.members[member_id]

    def classic_members(self) -> list[ConsumerMember]:
        """The members that still speak the classic protocol."""
        return [member for member in self.members.values() if member.classic is not None]

    # -- subscriptions

    def topics_of(self, member: ConsumerMember) -> frozenset[str]:
        """The names of the topics that a member subscribes to; an expression stands for none until it is resolved."""
        resolved = self.resolved.get(member.topic_regex or "")
        return member.topic_names if resolved is None else member.topic_names | resolved.topics

    def subscribed_topics(self) -> set[str]:
        """The names of all topics that some member subscribes to, whether they exist or not."""
        subscriptions = {(member.topic_names, member.topic_regex): member for member in self.members.values()}
        return set().union(*(self.topics_of(member) for member in subscriptions.values()))

    def is_subscribed(self, topic: str) -> bool:
        """Whether a member consumes `topic`."""
        return any(topic in self.topics_of(member) for member in self.members.values())

    def regexes(self) -> set[str]:
        """The regular expressions that members subscribe to."""
        return {member.topic_regex for member in self.members.values() if member.topic_regex}

    def hash_of(self, topics: Mapping[str, TopicState]) -> int:
        """A number that changes when one of the subscribed topics appears, disappears or gets partitions."""
        digest = hashlib.blake2b(digest_size=8)
        for name in sorted(self.subscribed_topics()):
            topic = topics.get(name)
            if topic is not None:
                digest.update(topic.id.bytes + len(topic.partitions).to_bytes(4, "big"))
        return int.from_bytes(digest.digest(), "big", signed=True)


def topic_ids(names: Iterable[str], topics: Mapping[str, TopicState]) -> frozenset[UUID]:
    """The ids of those topics that exist."""
    return frozenset(topics[name].id for name in names if name in topics)
