"""What the coordinator reads of what consumers of the classic protocol tell each other. Pure.

Subscriptions and assignments of the classic protocol are opaque to the broker (Kafka calls them the consumer embedded
protocol), except that offsets of a topic must not expire or be deleted while a member subscribes to it (KIP-496), and
that a group of consumers can move to the protocol in which the broker assigns partitions, and back (KIP-848).
"""

from collections.abc import Collection, Mapping
from uuid import UUID

from ottla_broker.cluster.image import TopicState
from ottla_broker.coordinator.partitions import TopicIdPartition, by_topic
from ottla_wire.errors import MalformedMessage
from ottla_wire.messages.consumer_protocol import (
    ConsumerProtocolAssignment,
    ConsumerProtocolSubscription,
    TopicPartition,
    prefixed,
)

PROTOCOL_TYPE = "consumer"
"""The protocol type of consumers; Kafka Connect's workers, for example, use another."""

_VERSION_SIZE = 2


def subscribed_topics(subscription: bytes) -> frozenset[str] | None:
    """The topics of a consumer's subscription, or None if it cannot be read as one.

    Every version begins as version 0 does, so that a version of the future can be read this far.
    """
    try:
        decoded, _ = ConsumerProtocolSubscription.decode(subscription, 0, _VERSION_SIZE)
    except MalformedMessage:
        return None
    return frozenset(decoded.topics)


def with_ids(partitions: list[TopicPartition], topics: Mapping[str, TopicState]) -> frozenset[TopicIdPartition]:
    """Partitions by name as partitions by id; those of topics that do not exist are left out."""
    return frozenset(
        (topics[topic.topic].id, index) for topic in partitions if topic.topic in topics for index in topic.partitions
    )


def write_assignment(
    partitions: Collection[TopicIdPartition], topics: Mapping[UUID, TopicState], subscription: bytes
) -> bytes:
    """A member's assignment in the version of its subscription; partitions of topics that are gone are left out."""
    assignment = ConsumerProtocolAssignment(
        assigned_partitions=[
            TopicPartition(topic=topics[topic_id].name, partitions=indexes)
            for topic_id, indexes in by_topic(partitions).items()
            if topic_id in topics
        ]
    )
    version = int.from_bytes(subscription[:_VERSION_SIZE], "big", signed=True)
    return prefixed(assignment, max(0, min(version, ConsumerProtocolAssignment.versions.highest)))
