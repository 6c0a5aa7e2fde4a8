"""What the requests of the consumer protocol say, and how they are answered. Pure."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import NamedTuple
from uuid import UUID

from ottla_broker.cluster.image import TopicState
from ottla_broker.coordinator.consumer_group import NOTHING, ConsumerGroup
from ottla_broker.coordinator.consumer_member import (
    JOIN_EPOCH,
    LEAVE_EPOCH,
    STATIC_LEAVE_EPOCH,
    UNKNOWN_TIMEOUT,
    ConsumerMember,
)
from ottla_broker.coordinator.partitions import TopicIdPartition, by_topic
from ottla_broker.coordinator.reconciliation import Owned
from ottla_wire.errors import ErrorCode, KafkaError
from ottla_wire.messages import consumer_group_describe as describe
from ottla_wire.messages.consumer_group_heartbeat import (
    Assignment,
    ConsumerGroupHeartbeatRequest,
    ConsumerGroupHeartbeatResponse,
    TopicPartitions,
)

CLASSIC_MEMBER, CONSUMER_MEMBER = 0, 1
"""Types of members in ConsumerGroupDescribe (KIP-1099)."""


class Sender(NamedTuple):
    """What a heartbeat does not say about who sent it."""

    client_id: str
    client_host: str
    new_member_id: str
    """The id to give to who has none, which version 0 allows: unique."""


# -- ConsumerGroupHeartbeat


def validate(request: ConsumerGroupHeartbeatRequest, version: int, assignors: Collection[str]) -> None:
    """Raises KafkaError INVALID_REQUEST or UNSUPPORTED_ASSIGNOR for a heartbeat that cannot be meant so."""
    joins = request.member_epoch == JOIN_EPOCH
    for is_wrong, message in (
        (not request.group_id.strip(), "GroupId can't be empty."),
        # Since KIP-1082 members make up their own ids.
        (not request.member_id and (version >= 1 or not joins), "MemberId can't be empty."),
        (request.instance_id is not None and not request.instance_id.strip(), "InstanceId can't be empty."),
        (request.rack_id is not None and not request.rack_id.strip(), "RackId can't be empty."),
        (request.member_epoch < STATIC_LEAVE_EPOCH, "MemberEpoch is invalid."),
        (request.member_epoch == STATIC_LEAVE_EPOCH and request.instance_id is None, "InstanceId can't be null."),
        (joins and request.rebalance_timeout_ms < 0, "RebalanceTimeoutMs must be provided in first request."),
        (
            joins and (request.topic_partitions is None or bool(request.topic_partitions)),
            "TopicPartitions must be empty when (re-)joining.",
        ),
        (
            joins and request.subscribed_topic_names is None and request.subscribed_topic_regex is None,
            "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.",
        ),
    ):
        if is_wrong:
            raise KafkaError(ErrorCode.INVALID_REQUEST, message)
    if request.server_assignor is not None and request.server_assignor not in assignors:
        raise KafkaError(
            ErrorCode.UNSUPPORTED_ASSIGNOR,
            f"ServerAssignor {request.server_assignor} is not supported. Supported assignors: {', '.join(assignors)}.",
        )


def owned_by(request: ConsumerGroupHeartbeatRequest) -> Owned:
    """The partitions that the sender says it uses."""
    if request.topic_partitions is None:
        return None
    return {(topic.topic_id, index) for topic in request.topic_partitions for index in topic.partitions}


def is_full(request: ConsumerGroupHeartbeatRequest) -> bool:
    """Whether a heartbeat says everything: after joining, members do so when they may have missed an answer."""
    return (
        request.rebalance_timeout_ms != UNKNOWN_TIMEOUT
        and (request.subscribed_topic_names is not None or request.subscribed_topic_regex is not None)
        and request.topic_partitions is not None
    )


def updated(member: ConsumerMember, request: ConsumerGroupHeartbeatRequest, sender: Sender) -> ConsumerMember:
    """The member with what the heartbeat says; what it leaves out is as before. An empty expression is none."""
    names, regex = request.subscribed_topic_names, request.subscribed_topic_regex
    timeout_ms = request.rebalance_timeout_ms
    return replace(
        member,
        instance_id=request.instance_id if request.instance_id is not None else member.instance_id,
        rack_id=request.rack_id if request.rack_id is not None else member.rack_id,
        client_id=sender.client_id,
        client_host=sender.client_host,
        topic_names=member.topic_names if names is None else frozenset(names),
        topic_regex=member.topic_regex if regex is None else regex or None,
        rebalance_timeout_ms=member.rebalance_timeout_ms if timeout_ms == UNKNOWN_TIMEOUT else timeout_ms,
        server_assignor=request.server_assignor if request.server_assignor is not None else member.server_assignor,
        classic=None,
    )


def stepped(member: ConsumerMember, interval_ms: int, *, with_assignment: bool) -> ConsumerGroupHeartbeatResponse:
    """How far the member is now; without an assignment it is what it was."""
    response = ConsumerGroupHeartbeatResponse(
        member_id=member.member_id, member_epoch=member.epoch, heartbeat_interval_ms=interval_ms
    )
    if with_assignment:
        response.assignment = Assignment(
            topic_partitions=[
                TopicPartitions(topic_id=topic_id, partitions=indexes)
                for topic_id, indexes in by_topic(member.assigned).items()
            ]
        )
    return response


def left(request: ConsumerGroupHeartbeatRequest) -> ConsumerGroupHeartbeatResponse:
    """A member that leaves is told so in its own words."""
    assert request.member_epoch in (LEAVE_EPOCH, STATIC_LEAVE_EPOCH)
    return ConsumerGroupHeartbeatResponse(
        member_id=request.member_id, member_epoch=request.member_epoch, heartbeat_interval_ms=0
    )


# -- ConsumerGroupDescribe


def described(group: ConsumerGroup, assignor: str, topics: Mapping[UUID, TopicState]) -> describe.DescribedGroup:
    """The group as administrators see it; partitions of topics that are gone are left out."""
    return describe.DescribedGroup(
        group_id=group.group_id,
        group_state=group.state.value,
        group_epoch=group.epoch,
        assignment_epoch=group.target_epoch,
        assignor_name=assignor,
        members=[
            describe.Member(
                member_id=member.member_id,
                instance_id=member.instance_id,
                rack_id=member.rack_id,
                member_epoch=member.epoch,
                client_id=member.client_id,
                client_host=member.client_host,
                subscribed_topic_names=sorted(member.topic_names),
                subscribed_topic_regex=member.topic_regex or "",
                assignment=_described({*member.assigned, *member.revoking}, topics),
                target_assignment=_described(group.target.get(member.member_id, NOTHING), topics),
                member_type=CONSUMER_MEMBER if member.classic is None else CLASSIC_MEMBER,
            )
            for member in group.members.values()
        ],
    )


def _described(partitions: Collection[TopicIdPartition], topics: Mapping[UUID, TopicState]) -> describe.Assignment:
    return describe.Assignment(
        topic_partitions=[
            describe.TopicPartitions(topic_id=topic_id, topic_name=topics[topic_id].name, partitions=indexes)
            for topic_id, indexes in by_topic(partitions).items()
            if topic_id in topics
        ]
    )
