"""ListOffsets, OffsetForLeaderEpoch, DeleteRecords: finding and moving offsets."""

from typing import Any

import pytest

from ottla_wire.errors import ErrorCode
from ottla_wire.messages.delete_records import DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic
from ottla_wire.messages.list_offsets import ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic
from ottla_wire.messages.offset_for_leader_epoch import (
    OffsetForLeaderEpochRequest,
    OffsetForLeaderPartition,
    OffsetForLeaderTopic,
)
from ottla_wire.records import NewRecord, build_batch

LATEST, EARLIEST, MAX_TIMESTAMP = -1, -2, -3


async def offset_of(client: Any, timestamp: int, version: int = 7, topic: str = "t", **fields: Any) -> Any:
    partition = ListOffsetsPartition(partition_index=0, timestamp=timestamp, **fields)
    request = ListOffsetsRequest(replica_id=-1, topics=[ListOffsetsTopic(name=topic, partitions=[partition])])
    return (await client.ask(request, version)).topics[0].partitions[0]


async def delete_before(client: Any, offset: int, topic: str = "t") -> Any:
    partition = DeleteRecordsPartition(partition_index=0, offset=offset)
    request = DeleteRecordsRequest(topics=[DeleteRecordsTopic(name=topic, partitions=[partition])], timeout_ms=1000)
    return (await client.ask(request, 2)).topics[0].partitions[0]


@pytest.mark.parametrize("version", range(1, 12))
def test_29_offsets_by_place_and_by_time_in_every_version(with_client: Any, version: int) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t")
        await client.produce("t", b"a", b"b", timestamp=1_000)
        await client.produce("t", b"c", timestamp=5_000)
        for timestamp, expected in [(LATEST, 3), (EARLIEST, 0), (0, 0), (1_001, 1), (1_002, 2), (5_000, 2)]:
            assert (await offset_of(client, timestamp, version)).offset == expected
        missing = await offset_of(client, 5_001, version)
        assert (missing.error_code, missing.timestamp, missing.offset) == (0, -1, -1)
        found = await offset_of(client, 2_000, version)
        assert (found.timestamp, found.offset) == (5_000, 2)

    with_client(scenario)


def test_29_the_newest_timestamp_is_found_from_version_7(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t")
        await client.produce("t", b"a", timestamp=9_000)
        await client.produce("t", b"b", timestamp=1_000)
        found = await offset_of(client, MAX_TIMESTAMP, 7)
        assert (found.timestamp, found.offset) == (9_000, 0)
        assert (await offset_of(client, MAX_TIMESTAMP, 6)).error_code == ErrorCode.UNSUPPORTED_VERSION

    with_client(scenario)


@pytest.mark.parametrize(("place", "version", "offset"), [(-4, 8, 0), (-5, 9, -1), (-6, 11, -1)])
def test_29_places_in_tiered_storage(with_client: Any, place: int, version: int, offset: int) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t")
        assert (await offset_of(client, place, version)).offset == offset
        assert (await offset_of(client, place, version - 1)).error_code == ErrorCode.UNSUPPORTED_VERSION
        assert (await offset_of(client, -7, 11)).error_code == ErrorCode.UNSUPPORTED_VERSION

    with_client(scenario)


def test_26_a_stale_or_unknown_leader_epoch_or_topic_is_refused(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t")
        assert (await offset_of(client, LATEST, current_leader_epoch=0)).error_code == 0
        newer = await offset_of(client, LATEST, current_leader_epoch=1)
        assert newer.error_code == ErrorCode.UNKNOWN_LEADER_EPOCH
        assert (await offset_of(client, LATEST, topic="u")).error_code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION

    with_client(scenario)


@pytest.mark.parametrize("version", [2, 3, 4])
def test_27_the_end_of_a_leader_epoch_is_where_the_next_begins(with_client: Any, version: int) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t")
        await client.produce("t", b"a", b"b")
        log = client.node.broker.partition("t", 0)
        log.append(build_batch([NewRecord(b"k", b"c", 1_000)]), leader_epoch=3, now_ms=0)
        ends = []
        for epoch in (0, 1, 3, 4):
            asked = OffsetForLeaderPartition(partition=0, leader_epoch=epoch)
            request = OffsetForLeaderEpochRequest(topics=[OffsetForLeaderTopic(topic="t", partitions=[asked])])
            answer = (await client.ask(request, version)).topics[0].partitions[0]
            ends.append((answer.leader_epoch, answer.end_offset))
        assert ends == [(0, 2), (0, 2), (3, 3), (-1, -1)]

    with_client(scenario)


def test_42_deleting_records_moves_the_log_start_offset(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t")
        for value in (b"a", b"b", b"c"):
            await client.produce("t", value)
        assert (await delete_before(client, 2)).low_watermark == 2
        assert (await offset_of(client, EARLIEST)).offset == 2
        gone = await client.fetch("t", 1)
        assert gone.responses[0].partitions[0].error_code == ErrorCode.OFFSET_OUT_OF_RANGE
        assert (await delete_before(client, 9)).error_code == ErrorCode.OFFSET_OUT_OF_RANGE
        assert (await delete_before(client, -1)).low_watermark == 3
        assert await client.read("t", 3) == []
        assert (await delete_before(client, 0, "other")).error_code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION

    with_client(scenario)


def test_records_of_a_compacted_topic_are_not_deleted(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t", cleanup_policy="compact")
        await client.produce("t", b"a")
        assert (await delete_before(client, 1)).error_code == ErrorCode.POLICY_VIOLATION

    with_client(scenario)


@pytest.mark.parametrize("timestamp", [LATEST, EARLIEST])
def test_an_empty_partition_has_the_epoch_of_its_leader(with_client: Any, timestamp: int) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t")
        found = ListOffsetsPartition(partition_index=0, timestamp=timestamp)
        request = ListOffsetsRequest(replica_id=-1, topics=[ListOffsetsTopic(name="t", partitions=[found])])
        (partition,) = (await client.ask(request, 7)).topics[0].partitions
        assert (partition.offset, partition.leader_epoch) == (0, 0)

    with_client(scenario)


def test_a_partition_that_is_asked_for_twice_is_refused_once(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t", partitions=2)
        asked = [ListOffsetsPartition(partition_index=index, timestamp=LATEST) for index in (0, 1, 0)]
        request = ListOffsetsRequest(replica_id=-1, topics=[ListOffsetsTopic(name="t", partitions=asked)])
        partitions = (await client.ask(request, 7)).topics[0].partitions
        codes = {partition.partition_index: partition.error_code for partition in partitions}
        assert len(partitions) == 2
        assert codes == {0: ErrorCode.INVALID_REQUEST, 1: ErrorCode.NONE}

    with_client(scenario)


def test_records_of_internal_topics_are_not_deleted(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        partition = DeleteRecordsPartition(partition_index=0, offset=0)
        topics = [DeleteRecordsTopic(name="__consumer_offsets", partitions=[partition])]
        response = await client.ask(DeleteRecordsRequest(topics=topics, timeout_ms=1000), 2)
        assert response.topics[0].partitions[0].error_code == ErrorCode.INVALID_TOPIC_EXCEPTION

    with_client(scenario)


def test_a_topic_of_which_no_partition_is_asked_for_is_left_out(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t")
        request = ListOffsetsRequest(replica_id=-1, topics=[ListOffsetsTopic(name="t", partitions=[])])
        assert (await client.ask(request, 7)).topics == []

    with_client(scenario)
