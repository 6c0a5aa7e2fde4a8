"""The shortcuts of Produce and Fetch: the same answers as their handlers give, or none and nothing has happened."""

import asyncio
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from ottla_broker import dispatch
from ottla_broker.log.partition import Origin
from ottla_broker.writer import SMALL_REGION_BYTES
from ottla_wire.chunks import FileRegion
from ottla_wire.control_records import build_end_txn_marker
from ottla_wire.errors import ErrorCode
from ottla_wire.headers import RequestHeader
from ottla_wire.message import Message
from ottla_wire.messages.delete_topics import DeleteTopicsRequest
from ottla_wire.messages.fetch import FetchPartition, FetchRequest, FetchTopic
from ottla_wire.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData
from ottla_wire.records import NewRecord, build_batch

NOW_MS = 1_700_000_000_000


def frame_of(request: Message, version: int) -> bytearray:
    return bytearray(RequestHeader(request.api_key, version, 77, "test").encode() + request.encode(version))


def named(client: Any, topic: str, version: int, key: str) -> dict[str, Any]:
    if version >= 13:
        return {"topic_id": client.node.broker.image.topics[topic].id}
    return {key: topic}


def produce_frame(
    client: Any, topic: str, version: int = 9, *, acks: int = -1, batch: bytes | None = None, index: int = 0
) -> bytearray:
    records = batch if batch is not None else build_batch([NewRecord(b"k", b"v", NOW_MS)] * 2)
    data = PartitionProduceData(index=index, records=records)
    topics = [TopicProduceData(**named(client, topic, version, "name"), partition_data=[data])]
    return frame_of(ProduceRequest(acks=acks, timeout_ms=1000, topic_data=topics), version)


def fetch_frame(
    client: Any, topic: str, version: int = 12, *, offset: int = 0, epoch: int = -1, **fields: Any
) -> bytearray:
    partition = FetchPartition(
        partition=0, fetch_offset=offset, partition_max_bytes=1 << 20, current_leader_epoch=epoch
    )
    topics = [FetchTopic(**named(client, topic, version, "topic"), partitions=[partition])]
    return frame_of(FetchRequest(**{"max_wait_ms": 0, "min_bytes": 1, "topics": topics} | fields), version)


def answer(client: Any, frame: bytearray) -> bytes | None:
    """What the shortcut answers, with the contents of file regions."""
    parts = dispatch.answer_at_once(client.node.broker, frame)
    assert not isinstance(parts, asyncio.Future)
    return None if parts is None else contents(client, parts)


async def handler_answer(client: Any, frame: bytearray) -> bytes:
    return contents(client, await dispatch.respond(client.node.broker, client.connection, frame))


def contents(client: Any, parts: list[Any]) -> bytes:
    log = next(iter(client.node.broker.logs))
    return b"".join(log.read_bytes(part) if isinstance(part, FileRegion) else bytes(part) for part in parts)


@pytest.mark.parametrize("version", range(9, 14))
@pytest.mark.parametrize("settings", [{}, {"message_timestamp_type": "LogAppendTime"}])
def test_a_produce_is_answered_as_by_the_handler(with_client: Any, version: int, settings: dict[str, str]) -> None:
    async def scenario(client: Any) -> None:
        client.node.broker.clock = lambda: NOW_MS
        ids = []
        for topic in ("by-handler", "by-shortcu"):
            await client.create(topic, **settings)
            ids.append(client.node.broker.image.topics[topic].id)
        for acks in (-1, 1, 1):
            expected = await handler_answer(client, produce_frame(client, "by-handler", version, acks=acks))
            found = answer(client, produce_frame(client, "by-shortcu", version, acks=acks))
            assert found is not None
            assert found.replace(b"by-shortcu", b"by-handler").replace(ids[1].bytes, ids[0].bytes) == expected
        assert await client.read("by-shortcu", 0) == await client.read("by-handler", 0) == [b"v"] * 6

    with_client(scenario)


def test_a_produce_without_acknowledgement_is_not_answered(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t")
        assert answer(client, produce_frame(client, "t", acks=0)) == b""
        assert await client.read("t", 0) == [b"v", b"v"]

    with_client(scenario)


def test_a_repeated_batch_is_answered_with_its_first_offset(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t")
        batch = build_batch([NewRecord(b"k", b"v", NOW_MS)], producer_id=4, producer_epoch=0, base_sequence=0)
        first = answer(client, produce_frame(client, "t", batch=batch))
        answer(client, produce_frame(client, "t"))
        assert answer(client, produce_frame(client, "t", batch=batch)) == first
        assert len(await client.read("t", 0)) == 3

    with_client(scenario)


def corrupt() -> bytes:
    batch = build_batch([NewRecord(b"k", b"v", NOW_MS)])
    batch[-1] ^= 1
    return bytes(batch)


def transactional() -> bytes:
    return bytes(
        build_batch(
            [NewRecord(b"k", b"v", NOW_MS)], producer_id=3, producer_epoch=0, base_sequence=0, transactional=True
        )
    )


REFUSED: dict[str, tuple[Callable[[Any], bytearray], ErrorCode]] = {
    "an unknown partition": (
        lambda client: produce_frame(client, "t", index=5),
        ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
    ),
    "impossible acks": (lambda client: produce_frame(client, "t", acks=3), ErrorCode.INVALID_REQUIRED_ACKS),
    "a damaged batch": (lambda client: produce_frame(client, "t", batch=corrupt()), ErrorCode.CORRUPT_MESSAGE),
    "bytes that are no batch": (
        lambda client: produce_frame(client, "t", batch=b"no"),
        ErrorCode.CORRUPT_MESSAGE,
    ),
    "a transaction that nobody began": (
        lambda client: produce_frame(client, "t", batch=transactional()),
        ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    ),
    "an internal topic": (
        lambda client: produce_frame(client, "__consumer_offsets"),
        ErrorCode.INVALID_TOPIC_EXCEPTION,
    ),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_what_has_to_be_refused_is_left_to_the_handler(with_client: Any, reason: str) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t")
        await client.node.broker.ensure_internal_topic("__consumer_offsets")
        frame_for, code = REFUSED[reason]
        ends = {log: log.log_end_offset for log in client.node.broker.logs}
        assert answer(client, frame_for(client)) is None
        expected = code.to_bytes(2, "big")
        assert expected in await handler_answer(client, frame_for(client))
        assert {log: log.log_end_offset for log in client.node.broker.logs} == ends

    with_client(scenario)


def test_a_produce_that_has_to_be_flushed_first_is_left_to_the_handler(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t", flush_messages="1")
        assert answer(client, produce_frame(client, "t")) is None
        assert await client.read("t", 0) == []

    with_client(scenario)


@pytest.mark.parametrize("version", range(12, 19))
@pytest.mark.parametrize("isolation_level", [0, 1])
def test_a_fetch_is_answered_as_by_the_handler(with_client: Any, version: int, isolation_level: int) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t")
        for size in (10, SMALL_REGION_BYTES, 100_000):
            await client.produce("t", bytes(size))
        for offset, max_bytes in ((0, 1), (0, 1 << 20), (1, 1), (2, 1)):
            frame = fetch_frame(
                client, "t", version, offset=offset, max_bytes=max_bytes, epoch=0, isolation_level=isolation_level
            )
            assert answer(client, frame) == await handler_answer(client, frame)

    with_client(scenario)


@pytest.mark.parametrize("version", [12, 13, 18])
@pytest.mark.parametrize("isolation_level", [0, 1])
def test_a_fetch_that_may_not_wait_is_answered_with_what_there_is(
    with_client: Any, version: int, isolation_level: int
) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t")
        await client.produce("t", b"v")
        for offset, min_bytes in ((1, 1), (0, 1_000)):
            frame = fetch_frame(
                client, "t", version, offset=offset, min_bytes=min_bytes, isolation_level=isolation_level
            )
            assert answer(client, frame) == await handler_answer(client, frame)

    with_client(scenario)


def test_a_fetch_waits_for_as_many_bytes_as_it_asks_for(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t")
        await client.produce("t", b"v")
        size = client.node.broker.partition("t", 0).size_bytes
        frame = fetch_frame(client, "t", max_wait_ms=60_000, min_bytes=3 * size)

        waits = dispatch.answer_at_once(client.node.broker, frame)
        await client.produce("t", b"v")
        assert not waits.done()
        assert client.node.broker.waits.parked == 1
        await client.produce("t", b"v")

        assert await waits is None
        await asyncio.sleep(0)
        assert client.node.broker.waits.parked == 0
        assert answer(client, frame) == await handler_answer(client, frame)

    with_client(scenario)


def test_a_fetch_that_was_woken_for_too_little_waits_for_the_rest_of_its_time(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t")
        frame = fetch_frame(client, "t", max_wait_ms=30)

        waits = dispatch.answer_at_once(client.node.broker, frame)
        client.node.broker.waits.wake("t", 0)
        await waits
        await dispatch.answer_at_once(client.node.broker, frame, waited_ms=29)

        empty = fetch_frame(client, "t", max_wait_ms=0)
        found = dispatch.answer_at_once(client.node.broker, frame, waited_ms=30)
        assert contents(client, found) == answer(client, empty)

    with_client(scenario)


def test_a_fetch_whose_topic_goes_while_it_waits_is_told_so(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t")
        frame = fetch_frame(client, "t", max_wait_ms=60_000)
        waits = dispatch.answer_at_once(client.node.broker, frame)

        await client.ask(DeleteTopicsRequest(topic_names=["t"], timeout_ms=1000), 5)

        await asyncio.wait_for(waits, 30)
        assert answer(client, frame) is None
        assert ErrorCode.UNKNOWN_TOPIC_OR_PARTITION.to_bytes(2, "big") in await handler_answer(client, frame)

    with_client(scenario)


def test_a_fetch_that_fails_is_left_to_the_handler(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t")
        await client.produce("t", b"v")
        assert answer(client, fetch_frame(client, "t", offset=9)) is None
        assert answer(client, fetch_frame(client, "t", epoch=9)) is None
        assert answer(client, fetch_frame(client, "other")) is None
        request = FetchRequest(
            max_wait_ms=0,
            min_bytes=1,
            topics=[
                FetchTopic(
                    topic_id=uuid.uuid4(),
                    partitions=[FetchPartition(partition=0, fetch_offset=0, partition_max_bytes=100)],
                )
            ],
        )
        assert answer(client, frame_of(request, 16)) is None

    with_client(scenario)


def test_a_fetch_that_has_to_say_what_was_aborted_is_left_to_the_handler(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t")
        log = client.node.broker.partition("t", 0)
        batch = build_batch(
            [NewRecord(b"k", b"v", NOW_MS)], producer_id=3, producer_epoch=0, base_sequence=0, transactional=True
        )
        marker = build_end_txn_marker(
            commit=False, producer_id=3, producer_epoch=0, coordinator_epoch=0, timestamp=NOW_MS
        )
        client.node.broker.append(log, batch)
        client.node.broker.append(log, marker, origin=Origin.COORDINATOR)
        assert answer(client, fetch_frame(client, "t", isolation_level=0)) is not None
        assert answer(client, fetch_frame(client, "t", isolation_level=1)) is None

    with_client(scenario)


@pytest.mark.parametrize(
    "frame", [b"", b"\x00", b"\x00\x00\x00", b"\x00\x00\x00\x09", b"\x00\x01\x00\x0c", b"\x7f" * 9]
)
def test_a_frame_that_is_no_request_is_left_to_the_handler(with_client: Any, frame: bytes) -> None:
    async def scenario(client: Any) -> None:
        assert dispatch.answer_at_once(client.node.broker, bytearray(frame)) is None

    with_client(scenario)
