"""Looking topics up, with one sentence where they or their partitions do not exist."""

import base64
import uuid
from collections.abc import Iterable, Sequence

from ottla_apps.cli.errors import BadArgument, Refused
from ottla_apps.cli.partition import Partition
from ottla_apps.cli.wire_client import WireClient, check
from ottla_wire.errors import ErrorCode
from ottla_wire.messages.metadata import MetadataResponsePartition, MetadataResponseTopic


def describe_topic(wire: WireClient, name: str) -> MetadataResponseTopic:
    """A topic and its partitions. Raises Refused where there is none of the name, or no name like that."""
    (topic,) = wire.metadata([name]).topics
    if topic.error_code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION:
        raise Refused(f"Topic {name!r} does not exist; `ottla topic create {name}` makes it.", topic.error_code)
    check(topic.error_code, f"Topic {name!r} cannot be described")
    return topic


def partitions_of(topic: MetadataResponseTopic) -> list[MetadataResponsePartition]:
    """The partitions in their order."""
    return sorted(topic.partitions, key=lambda partition: partition.partition_index)


def select_partitions(wire: WireClient, name: str, wanted: Sequence[int] | None) -> list[Partition]:
    """The partitions of a topic that are wanted, all of them where that is not said. Raises BadArgument, Refused."""
    indexes = [partition.partition_index for partition in partitions_of(describe_topic(wire, name))]
    if missing := sorted(set(wanted or ()) - set(indexes)):
        raise BadArgument(
            f"Topic {name!r} has no partition {', '.join(map(str, missing))}; it has {len(indexes)}, counted from 0."
        )
    return [Partition(name, index) for index in indexes if not wanted or index in wanted]


def existing(wire: WireClient, partitions: Iterable[Partition]) -> list[Partition]:
    """Those of the partitions that the cluster has, in order."""
    has = {
        Partition(topic.name or "", partition.partition_index)
        for topic in wire.metadata(None).topics
        for partition in topic.partitions
    }
    return sorted(has.intersection(partitions))


def id_text(topic_id: uuid.UUID) -> str | None:
    """A topic's id as Kafka writes it: base64 for URLs, 22 characters. None where the broker has no ids."""
    return base64.urlsafe_b64encode(topic_id.bytes).decode().rstrip("=") if topic_id.int else None
