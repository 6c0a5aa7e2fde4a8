"""The one thing a coordinator reads of what consumers tell each other: the topics they subscribe to. Pure.

Subscriptions and assignments of the classic protocol are opaque to the broker, except that offsets of a topic must not
expire or be deleted while a member subscribes to it (KIP-496). Every version begins as version 0 does.
"""

from ottla_wire.errors import MalformedMessage
from ottla_wire.messages.consumer_protocol import ConsumerProtocolSubscription

PROTOCOL_TYPE = "consumer"
"""The protocol type of consumers; Kafka Connect's workers, for example, use another."""

_VERSION_SIZE = 2


def subscribed_topics(subscription: bytes) -> frozenset[str] | None:
    """The topics of a consumer's subscription, or None if it cannot be read as one."""
    try:
        decoded, _ = ConsumerProtocolSubscription.decode(subscription, 0, _VERSION_SIZE)
    except MalformedMessage:
        return None
    return frozenset(decoded.topics)
