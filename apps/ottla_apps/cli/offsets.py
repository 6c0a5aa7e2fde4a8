"""Offsets of partitions, asked of their leaders: where they start and end, and from where on they are kept.

librdkafka's calls for these took one to three seconds now and then, and did not try again when a leader had moved.
"""

from collections.abc import Mapping
from typing import Final

from ottla_apps.cli.errors import CommandError
from ottla_apps.cli.partition import Partition
from ottla_apps.cli.wire_client import WireClient, check
from ottla_wire.messages import delete_records, list_offsets

# What stands in place of a timestamp for the ends of a partition (KIP-79).
LATEST: Final = -1
EARLIEST: Final = -2

_NO_REPLICA = -1
_READ_UNCOMMITTED, _READ_COMMITTED = 0, 1


def find_offsets(
    wire: WireClient, at: Mapping[Partition, int], *, committed_only: bool = False
) -> dict[Partition, int]:
    """The first offset from a time in ms on (-1 if there is none), or the one at EARLIEST or LATEST, of each partition.

    All of them have to exist. LATEST is the last stable offset with `committed_only`, else the high watermark. Raises
    Refused, Unreachable.
    """

    def ask(node: int, topics: dict[str, list[int]]) -> list[tuple[Partition, int]]:
        request = list_offsets.ListOffsetsRequest(
            replica_id=_NO_REPLICA,
            isolation_level=_READ_COMMITTED if committed_only else _READ_UNCOMMITTED,
            topics=[
                list_offsets.ListOffsetsTopic(
                    name=name,
                    partitions=[
                        list_offsets.ListOffsetsPartition(partition_index=number, timestamp=at[Partition(name, number)])
                        for number in numbers
                    ],
                )
                for name, numbers in topics.items()
            ],
        )
        found = []
        for topic in wire.request(request, list_offsets.ListOffsetsResponse, node).topics:
            for answer in topic.partitions:
                partition = Partition(topic.name, answer.partition_index)
                check(answer.error_code, f"The offsets of {partition} cannot be listed")
                found.append((partition, answer.offset))
        return found

    offsets = dict(wire.at_leaders(at, ask))
    return {partition: offsets[partition] for partition in at}


def delete_before(wire: WireClient, before: Mapping[Partition, int]) -> dict[Partition, CommandError | None]:
    """Delete what lies before the given offsets. Returns what went wrong, or None, for each partition."""
    return {partition: _delete_one(wire, partition, offset) for partition, offset in before.items()}


def _delete_one(wire: WireClient, partition: Partition, offset: int) -> CommandError | None:
    def ask(node: int, _: dict[str, list[int]]) -> list[None]:
        wanted = delete_records.DeleteRecordsPartition(partition_index=partition.number, offset=offset)
        request = delete_records.DeleteRecordsRequest(
            topics=[delete_records.DeleteRecordsTopic(name=partition.topic, partitions=[wanted])],
            timeout_ms=wire.timeout_ms,
        )
        (topic,) = wire.request(request, delete_records.DeleteRecordsResponse, node).topics
        (answer,) = topic.partitions
        check(answer.error_code, f"Cannot delete records of {partition}")
        return []

    try:
        wire.at_leaders([partition], ask)
    except CommandError as error:
        return error
    return None
