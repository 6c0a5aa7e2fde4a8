"""Partitions as consumer groups name them: by the id of their topic, so that a topic made anew is another one. Pure."""

from collections.abc import Iterable
from uuid import UUID

TopicIdPartition = tuple[UUID, int]


def by_topic(partitions: Iterable[TopicIdPartition]) -> dict[UUID, list[int]]:
    """The indexes of each topic, in ascending order."""
    indexes: dict[UUID, list[int]] = {}
    for topic_id, index in sorted(partitions, key=_order):
        indexes.setdefault(topic_id, []).append(index)
    return indexes


def _order(partition: TopicIdPartition) -> tuple[int, int]:
    topic_id, index = partition
    return topic_id.int, index
