"""A member of a consumer group as a value: who it is, what it wants and what it has. Pure.

Deciding makes a new `ConsumerMember`, the log carries it in two records (`metadata` and `current_assignment`), and
replaying them puts it in the old one's place. A member of a consumer group may still speak the classic protocol; then
`classic` says what only that protocol knows.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum

from ottla_broker.coordinator.consumer_records import (
    ClassicMemberMetadata,
    ClassicProtocol,
    ConsumerGroupCurrentMemberAssignmentValue,
    ConsumerGroupMemberMetadataValue,
    CurrentTopicPartitions,
)
from ottla_broker.coordinator.partitions import TopicIdPartition, by_topic

JOIN_EPOCH = 0
"""The epoch with which a member joins, or joins again after it was fenced."""

LEAVE_EPOCH = -1
"""The epoch with which a member leaves for good."""

STATIC_LEAVE_EPOCH = -2
"""The epoch with which a static member leaves and says that it will be back; it is kept with this epoch."""

UNKNOWN_TIMEOUT = -1


class MemberState(IntEnum):
    """How far a member is from its part of the target assignment; numbered as in the log."""

    STABLE = 0
    """It has what it was to have at its epoch."""
    UNREVOKED_PARTITIONS = 1
    """It must give up partitions first, and has not confirmed that yet. It stays in its epoch until it has."""
    UNRELEASED_PARTITIONS = 2
    """It is at the target's epoch, but some of its partitions have not been given up by their owners yet."""
    UNKNOWN = 127
    """Of a later version than this one. The member has to begin anew."""


@dataclass(frozen=True, slots=True)
class Classic:
    """What a member said about itself in its last JoinGroup; protocols are in its order of preference."""

    session_timeout_ms: int
    protocols: tuple[tuple[str, bytes], ...]

    @property
    def protocol(self) -> str:
        """The protocol that it is told to use: its first; the broker assigns, whatever it is called."""
        return self.protocols[0][0]

    @property
    def subscription(self) -> bytes:
        """Consumers subscribe alike under each protocol."""
        return self.protocols[0][1]

    def recorded(self) -> ClassicMemberMetadata:
        return ClassicMemberMetadata(
            session_timeout_ms=self.session_timeout_ms,
            supported_protocols=[ClassicProtocol(name=name, metadata=metadata) for name, metadata in self.protocols],
        )


Assigned = Mapping[TopicIdPartition, int]
"""Partitions that a member has, each with the member epoch that gave it."""

NONE_ASSIGNED: Assigned = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsumerMember:
    """See the module's text. A member is made by its metadata, and begins without partitions, at epoch 0."""

    member_id: str
    instance_id: str | None = None
    rack_id: str | None = None
    client_id: str = ""
    client_host: str = ""
    topic_names: frozenset[str] = frozenset()
    topic_regex: str | None = None
    rebalance_timeout_ms: int = UNKNOWN_TIMEOUT
    server_assignor: str | None = None
    classic: Classic | None = None

    epoch: int = JOIN_EPOCH
    previous_epoch: int = JOIN_EPOCH
    """What it may still call its epoch, if the answer that brought the current one was lost."""
    state: MemberState = MemberState.STABLE
    assigned: Assigned = field(default_factory=dict)
    revoking: Assigned = field(default_factory=dict)
    """What it must give up; it owns these until it has confirmed that it does not use them any more."""

    @property
    def is_static(self) -> bool:
        return self.instance_id is not None

    def is_reconciled_to(self, target_epoch: int) -> bool:
        return self.state is MemberState.STABLE and self.epoch == target_epoch

    def assignment_epoch(self, partition: TopicIdPartition) -> int | None:
        """Since which of its epochs it owns `partition`; None if it does not."""
        epoch = self.assigned.get(partition)
        return self.revoking.get(partition) if epoch is None else epoch

    # -- steps

    def advanced(self, epoch: int, state: MemberState, assigned: Assigned, revoking: Assigned) -> "ConsumerMember":
        """A step towards the target assignment."""
        return replace(
            self,
            epoch=epoch,
            previous_epoch=self.previous_epoch if epoch == self.epoch else self.epoch,
            state=state,
            assigned=assigned,
            revoking=revoking,
        )

    def away(self) -> "ConsumerMember":
        """A static member that has left and will be back: what it has stays its own, what it had to give up does not.

        Whoever comes back is another process under another id; assignment epochs begin anew for it.
        """
        return replace(
            self,
            epoch=STATIC_LEAVE_EPOCH,
            previous_epoch=STATIC_LEAVE_EPOCH,
            assigned=dict.fromkeys(self.assigned, JOIN_EPOCH),
            revoking={},
        )

    def succeeded_by(self, member_id: str) -> "ConsumerMember":
        """The same static member under the id with which it has come back."""
        return replace(self, member_id=member_id, epoch=JOIN_EPOCH, previous_epoch=JOIN_EPOCH)

    # -- the log

    def metadata(self) -> ConsumerGroupMemberMetadataValue:
        """Who it is and what it wants, as the log keeps it."""
        return ConsumerGroupMemberMetadataValue(
            instance_id=self.instance_id,
            rack_id=self.rack_id,
            client_id=self.client_id,
            client_host=self.client_host,
            subscribed_topic_names=sorted(self.topic_names),
            subscribed_topic_regex=self.topic_regex,
            rebalance_timeout_ms=self.rebalance_timeout_ms,
            server_assignor=self.server_assignor,
            classic_member_metadata=None if self.classic is None else self.classic.recorded(),
        )

    def with_metadata(self, value: ConsumerGroupMemberMetadataValue) -> "ConsumerMember":
        """Take over what `metadata` wrote."""
        classic = value.classic_member_metadata
        return replace(
            self,
            instance_id=value.instance_id,
            rack_id=value.rack_id,
            client_id=value.client_id,
            client_host=value.client_host,
            topic_names=frozenset(value.subscribed_topic_names),
            topic_regex=value.subscribed_topic_regex,
            rebalance_timeout_ms=value.rebalance_timeout_ms,
            server_assignor=value.server_assignor,
            classic=None
            if classic is None
            else Classic(
                classic.session_timeout_ms,
                tuple((protocol.name, protocol.metadata) for protocol in classic.supported_protocols),
            ),
        )

    def current_assignment(self) -> ConsumerGroupCurrentMemberAssignmentValue:
        """What it has, as the log keeps it."""
        return ConsumerGroupCurrentMemberAssignmentValue(
            member_epoch=self.epoch,
            previous_member_epoch=self.previous_epoch,
            state=self.state,
            assigned_partitions=_recorded(self.assigned),
            partitions_pending_revocation=_recorded(self.revoking),
        )

    def with_current_assignment(self, value: ConsumerGroupCurrentMemberAssignmentValue) -> "ConsumerMember":
        """Take over what `current_assignment` wrote."""
        known = value.state in MemberState._value2member_map_
        return replace(
            self,
            epoch=value.member_epoch,
            previous_epoch=value.previous_member_epoch,
            state=MemberState(value.state) if known else MemberState.UNKNOWN,
            assigned=_replayed(value.assigned_partitions, value.member_epoch),
            revoking=_replayed(value.partitions_pending_revocation, value.member_epoch),
        )


def _recorded(assigned: Assigned) -> list[CurrentTopicPartitions]:
    return [
        CurrentTopicPartitions(
            topic_id=topic_id, partitions=indexes, assignment_epochs=[assigned[topic_id, index] for index in indexes]
        )
        for topic_id, indexes in by_topic(assigned).items()
    ]


def _replayed(topics: Iterable[CurrentTopicPartitions], member_epoch: int) -> Assigned:
    """Before Kafka 4.3 the epoch that gave a partition was not kept: then the member's own is the safe guess."""
    assigned: dict[TopicIdPartition, int] = {}
    for topic in topics:
        epochs = topic.assignment_epochs or [member_epoch] * len(topic.partitions)
        assigned.update(((topic.topic_id, index), epoch) for index, epoch in zip(topic.partitions, epochs, strict=True))
    return assigned
