"""What consumers put into the opaque bytes of the classic group protocol: subscriptions and assignments.

In JoinGroup's protocol metadata and SyncGroup's assignments these bodies follow an int16 version; `read_subscription`,
`read_assignment` and `prefixed` deal with it. A reader takes a newer version for the newest that it knows.
"""

import struct

from ottla_wire.errors import MalformedMessage
from ottla_wire.message import Int32, Message, Struct, since

_VERSION = struct.Struct(">h")


class TopicPartition(Struct):
    """Partitions of one topic."""

    topic: str
    partitions: list[Int32]


class ConsumerProtocolSubscription(Message, versions="0-3", flexible="none"):
    """What a member subscribes to, and owned until this rebalance (KIP-429)."""

    topics: list[str]
    user_data: bytes | None = None
    owned_partitions: list[TopicPartition] = since("1+", factory=list, ignorable=True)
    generation_id: Int32 = since("2+", default=-1, ignorable=True)
    rack_id: str | None = since("3+", default=None, ignorable=True)


class ConsumerProtocolAssignment(Message, versions="0-3", flexible="none"):
    """The partitions that a member gets."""

    assigned_partitions: list[TopicPartition]
    user_data: bytes | None = None


def prefixed(message: ConsumerProtocolSubscription | ConsumerProtocolAssignment, version: int) -> bytes:
    """The message as it lies in a request: its version, then its body."""
    return _VERSION.pack(version) + message.encode(version)


def read_subscription(data: bytes) -> ConsumerProtocolSubscription:
    """Read the metadata of a member whose protocol type is "consumer". Raises MalformedMessage."""
    return ConsumerProtocolSubscription.decode(data, _version(data), _VERSION.size)[0]


def read_assignment(data: bytes) -> ConsumerProtocolAssignment:
    """Read the assignment of a member whose protocol type is "consumer". Raises MalformedMessage."""
    return ConsumerProtocolAssignment.decode(data, _version(data), _VERSION.size)[0]


def _version(data: bytes) -> int:
    if len(data) < _VERSION.size:
        raise MalformedMessage("the consumer protocol's bytes are too short for a version")
    version: int = _VERSION.unpack_from(data)[0]
    if version < 0:
        raise MalformedMessage(f"the consumer protocol has no version {version}")
    return min(version, ConsumerProtocolSubscription.versions.highest)
