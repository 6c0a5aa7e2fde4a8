"""The structures that consumers hide in the classic group protocol."""

import pytest

from ottla_wire.errors import MalformedMessage
from ottla_wire.messages.consumer_protocol import (
    ConsumerProtocolAssignment,
    ConsumerProtocolSubscription,
    TopicPartition,
    prefixed,
    read_assignment,
    read_subscription,
)

SUBSCRIPTION = ConsumerProtocolSubscription(
    topics=["a", "b"],
    user_data=b"mine",
    owned_partitions=[TopicPartition(topic="a", partitions=[0, 2])],
    generation_id=4,
    rack_id="r",
)


def test_each_version_is_read_by_its_prefix() -> None:
    for version in range(4):
        read = read_subscription(prefixed(SUBSCRIPTION, version))
        assert read.topics == ["a", "b"]
        assert read.owned_partitions == (SUBSCRIPTION.owned_partitions if version >= 1 else [])
        assert read.rack_id == ("r" if version >= 3 else None)
        assignment = ConsumerProtocolAssignment(assigned_partitions=[TopicPartition(topic="a", partitions=[1])])
        assert read_assignment(prefixed(assignment, version)) == assignment


def test_a_newer_version_is_read_as_the_newest_known() -> None:
    newer = b"\x00\x09" + SUBSCRIPTION.encode(3) + b"what version 9 may add"
    assert read_subscription(newer) == SUBSCRIPTION


@pytest.mark.parametrize("data", [b"", b"\x00", b"\xff\xff\x00\x00", b"\x00\x00\x00\x00\x00\x05"])
def test_other_bytes_are_malformed(data: bytes) -> None:
    with pytest.raises(MalformedMessage):
        read_subscription(data)
    with pytest.raises(MalformedMessage):
        read_assignment(data)
