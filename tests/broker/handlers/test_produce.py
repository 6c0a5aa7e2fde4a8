"""Produce: what is appended, what is refused, and how."""

import asyncio
from typing import Any

import pytest

from ottla_broker.errors import ClosesConnection
from ottla_wire.errors import ErrorCode
from ottla_wire.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData
from ottla_wire.records import Compression, NewRecord, build_batch


def batch(**options: Any) -> bytearray:
    return build_batch([NewRecord(b"k", b"v", 1_000)], **options)


def request(records: Any, acks: int = -1, topic: str = "t", **fields: Any) -> ProduceRequest:
    data = PartitionProduceData(index=0, records=records)
    return ProduceRequest(
        acks=acks,
        timeout_ms=1000,
        topic_data=[TopicProduceData(name=topic, partition_data=[data], **fields)],
    )


async def code_of(client: Any, records: Any, version: int = 9, **fields: Any) -> int:
    response = await client.ask(request(records, **fields), version)
    code: int = response.responses[0].partition_responses[0].error_code
    return code


@pytest.mark.parametrize("version", range(3, 13))
def test_19_the_whole_batch_that_contains_an_offset_comes_back_in_every_version(with_client: Any, version: int) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t")
        offsets = [(await client.produce("t", b"a", b"b", version=version)).base_offset for _ in range(3)]
        assert offsets == [0, 2, 4]
        assert await client.read("t", 3) == [b"a", b"b", b"a", b"b"]  # the whole batch that contains the offset

    with_client(scenario)


def test_topics_are_named_by_id_from_version_13(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t")
        topic_id = client.node.broker.image.topics["t"].id
        assert await code_of(client, batch(), 13, topic="", topic_id=topic_id) == 0
        assert await code_of(client, batch(), 13, topic="") == ErrorCode.UNKNOWN_TOPIC_ID

    with_client(scenario)


def test_an_unknown_partition_is_refused(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t")
        assert await code_of(client, batch(), topic="other") == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
        assert (await client.produce("t", b"v", index=1)).error_code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION

    with_client(scenario)


def test_acks_are_minus_one_zero_or_one(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t")
        assert await code_of(client, batch(), acks=1) == 0
        assert await code_of(client, batch(), acks=2) == ErrorCode.INVALID_REQUIRED_ACKS

    with_client(scenario)


def test_06_without_acknowledgement_there_is_no_response_and_an_error_closes(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t")
        assert await client.produce("t", b"v", acks=0) is None
        assert await client.read("t", 0) == [b"v"]
        with pytest.raises(ClosesConnection, match="acks=0"):
            await client.produce("t", b"v", acks=0, index=7)

    with_client(scenario)


@pytest.mark.parametrize(
    ("records", "code"),
    [
        (None, ErrorCode.INVALID_RECORD),
        (b"", ErrorCode.INVALID_RECORD),
        (bytes(30), ErrorCode.CORRUPT_MESSAGE),
        (batch() + batch(), ErrorCode.INVALID_RECORD),
        (batch()[:-1], ErrorCode.INVALID_RECORD),
        (batch()[:-1] + b"?", ErrorCode.CORRUPT_MESSAGE),
        (batch(control=True), ErrorCode.INVALID_RECORD),
        (batch(producer_id=1, producer_epoch=0, base_sequence=0, transactional=True), 53),
    ],
)
def test_a_batch_that_cannot_be_taken_is_refused(with_client: Any, records: Any, code: int) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t")
        assert await code_of(client, records) == code
        assert await client.read("t", 0) == []

    with_client(scenario)


def test_12_zstd_needs_version_7(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t")
        packed = batch(compression=Compression.ZSTD)
        assert await code_of(client, packed, 6) == ErrorCode.UNSUPPORTED_COMPRESSION_TYPE
        assert await code_of(client, packed, 7) == 0

    with_client(scenario)


def test_13_a_batch_above_max_message_bytes_is_too_large(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t", max_message_bytes="1000")
        assert (await client.produce("t", bytes(2000))).error_code == ErrorCode.MESSAGE_TOO_LARGE
        assert (await client.produce("t", bytes(200))).error_code == 0

    with_client(scenario)


def test_14_a_compacted_topic_needs_keys(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t", cleanup_policy="compact")
        assert (await client.produce("t", b"v", key=None)).error_code == ErrorCode.INVALID_RECORD
        assert (await client.produce("t", b"v", key=b"k")).error_code == 0

    with_client(scenario)


def test_18_too_few_in_sync_replicas_refuse_acks_all_alone(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t", min_insync_replicas="2")
        await client.change("t", replicas=[1, 2], isr=[1])
        assert (await client.produce("t", b"v", acks=-1)).error_code == ErrorCode.NOT_ENOUGH_REPLICAS
        assert (await client.produce("t", b"v", acks=1)).error_code == 0

    with_client(scenario)


def test_18_no_more_in_sync_replicas_are_asked_for_than_there_are_replicas(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t", min_insync_replicas="2")
        assert (await client.produce("t", b"v", acks=-1)).error_code == 0
        assert await client.read("t", 0) == [b"v"]

    with_client(scenario)


def test_18_below_min_insync_replicas_the_high_watermark_stays(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t", min_insync_replicas="2")
        await client.change("t", replicas=[1, 2], isr=[1])
        await client.produce("t", b"v", acks=1)
        log = client.node.broker.partition("t", 0)
        assert (log.high_watermark, log.log_end_offset) == (0, 1)
        waiting = asyncio.ensure_future(client.read("t", 0, max_wait_ms=30_000))
        await asyncio.sleep(0)
        await client.change("t", replicas=[1], isr=[1])
        assert await asyncio.wait_for(waiting, 30) == [b"v"]

    with_client(scenario)


def test_who_leads_instead_is_named_with_an_address(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t")
        await client.add_broker(2, "second.example")
        await client.change("t", leader=2)
        response = await client.ask(request(batch()), 10)
        (refused,) = response.responses[0].partition_responses
        assert refused.error_code == ErrorCode.NOT_LEADER_OR_FOLLOWER
        assert (refused.current_leader.leader_id, refused.current_leader.leader_epoch) == (2, 1)
        assert [(node.node_id, node.host, node.port) for node in response.node_endpoints] == [
            (2, "second.example", 9092)
        ]
        assert await code_of(client, batch(), 9) == ErrorCode.NOT_LEADER_OR_FOLLOWER

    with_client(scenario)


def test_a_refusal_says_why_from_version_8(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t", max_message_bytes="100", cleanup_policy="compact")
        assert "max.message.bytes is 100" in (await client.produce("t", bytes(500), version=8)).error_message
        assert "without key" in (await client.produce("t", b"v", key=None, version=8)).error_message
        assert (await client.produce("t", bytes(500), version=7)).error_message is None

    with_client(scenario)


def test_internal_topics_are_written_by_admin_clients_only(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        await client.node.broker.ensure_internal_topic("__consumer_offsets")
        refused = await client.ask(request(batch(), topic="__consumer_offsets"), 9)
        assert refused.responses[0].partition_responses[0].error_code == ErrorCode.INVALID_TOPIC_EXCEPTION
        allowed = await client.ask(request(batch(), topic="__consumer_offsets"), 9, client_id="__admin_client")
        assert allowed.responses[0].partition_responses[0].error_code == 0

    with_client(scenario)


def test_an_acknowledgement_waits_for_the_flush_that_flush_messages_asks_for(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t", flush_messages="1")
        await client.produce("t", b"v")
        log = client.node.broker.partition("t", 0)
        assert log.recovery_point == 1

    with_client(scenario)


def test_which_records_are_refused_is_said_with_where_the_log_starts(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        await client.create("compacted", cleanup_policy="compact")
        await client.create("recent", message_timestamp_before_max_ms="1000")
        without_key = build_batch([NewRecord(b"k", b"v", 1_000), NewRecord(None, b"v", 1_000)])
        for name, records, indexes in (("compacted", without_key, [1]), ("recent", batch(), [0])):
            response = await client.ask(request(records, topic=name), 9)
            (partition,) = response.responses[0].partition_responses
            assert [error.batch_index for error in partition.record_errors] == indexes
            assert partition.record_errors[0].batch_index_error_message == partition.error_message
            assert (partition.base_offset, partition.log_start_offset) == (-1, 0)

    with_client(scenario)


def test_a_producer_out_of_order_is_told_where_the_log_starts(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t")
        for sequence in (0, 7):
            records = batch(producer_id=5, producer_epoch=0, base_sequence=sequence)
            response = await client.ask(request(records), 9)
        (partition,) = response.responses[0].partition_responses
        assert partition.error_code == ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER
        assert partition.log_start_offset == 0

    with_client(scenario)


@pytest.mark.parametrize("size", [0, 5, 40, 61, 68])
@pytest.mark.parametrize("version", [3, 9])
def test_a_batch_that_is_cut_is_no_batch(with_client: Any, version: int, size: int) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t")
        assert await code_of(client, batch()[:size], version) == ErrorCode.INVALID_RECORD

    with_client(scenario)


@pytest.mark.parametrize(
    ("records", "log_start_offset"),
    [(batch(control=True, producer_id=1, producer_epoch=0, base_sequence=0), 0), (batch() + batch(), -1)],
    ids=["a batch that is no client's", "two batches"],
)
def test_where_the_log_starts_is_said_once_a_batch_was_looked_into(
    with_client: Any, records: bytearray, log_start_offset: int
) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t")
        (partition,) = (await client.ask(request(records), 9)).responses[0].partition_responses
        assert (partition.error_code, partition.log_start_offset) == (ErrorCode.INVALID_RECORD, log_start_offset)

    with_client(scenario)
