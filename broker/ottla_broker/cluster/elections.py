"""What the controller decides about leaders on request (KIP-460). Pure: image in, records out."""

from enum import IntEnum

from ottla_broker.cluster.image import ClusterImage, PartitionState
from ottla_broker.cluster.records import PartitionChangeRecord
from ottla_wire.errors import ErrorCode, KafkaError


class ElectionType(IntEnum):
    """Who is to lead: the first replica, if it is in sync; or, where nobody leads, any replica that is alive."""

    PREFERRED = 0
    UNCLEAN = 1


def elect_leader(image: ClusterImage, topic: str, index: int, kind: ElectionType) -> PartitionChangeRecord:
    """The record that gives a partition another leader.

    Raises KafkaError UNKNOWN_TOPIC_OR_PARTITION; ELECTION_NOT_NEEDED where all is as it should be;
    PREFERRED_LEADER_NOT_AVAILABLE or ELIGIBLE_LEADERS_NOT_AVAILABLE.
    """
    if topic not in image.topics:
        raise KafkaError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, f"No such topic as {topic}")
    partition = image.partition(topic, index)
    if partition is None:
        raise KafkaError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, f"No such partition as {topic}-{index}")
    live = frozenset(image.live_brokers)
    return _elect_preferred(partition, live) if kind is ElectionType.PREFERRED else _elect_any(partition, live)


def _elect_preferred(partition: PartitionState, live: frozenset[int]) -> PartitionChangeRecord:
    preferred = partition.replicas[0]
    if partition.leader == preferred:
        raise KafkaError(ErrorCode.ELECTION_NOT_NEEDED)
    if preferred not in live or preferred not in partition.isr:
        raise KafkaError(ErrorCode.PREFERRED_LEADER_NOT_AVAILABLE)
    return _led_by(partition, preferred)


def _elect_any(partition: PartitionState, live: frozenset[int]) -> PartitionChangeRecord:
    if partition.leader in live:
        raise KafkaError(ErrorCode.ELECTION_NOT_NEEDED)
    for node in partition.replicas:
        if node in live and node in partition.isr:
            return _led_by(partition, node)
    for node in partition.replicas:
        if node in live:
            record = _led_by(partition, node)
            record.isr = [node]  # what the others have and this one has not is given up
            return record
    raise KafkaError(ErrorCode.ELIGIBLE_LEADERS_NOT_AVAILABLE)


def _led_by(partition: PartitionState, node: int) -> PartitionChangeRecord:
    return PartitionChangeRecord(partition_id=partition.index, topic_id=partition.topic_id, leader=node)
