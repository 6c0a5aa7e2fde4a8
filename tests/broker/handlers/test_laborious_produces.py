"""Produced batches with very many records, where the topic has each of them read: done beside everything else."""

import asyncio
import threading
import time
from typing import Any

import pytest

from ottla_broker import laborious
from ottla_broker.log.validation import vet
from ottla_wire.errors import ErrorCode
from ottla_wire.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData
from ottla_wire.records import Compression, NewRecord, build_batch, iter_batches

MANY = 20_000


def many(keyless: int | None = None, **options: Any) -> bytearray:
    """A batch of very many records, of which one may have no key."""
    records = [NewRecord(None if number == keyless else b"k", b"v", 1_000) for number in range(MANY)]
    return build_batch(records, **options)


def few(**options: Any) -> bytearray:
    return build_batch([NewRecord(b"k", b"v", 1_000)], **options)


async def produce(client: Any, records: bytearray, topic: str = "t") -> Any:
    data = PartitionProduceData(index=0, records=records)
    request = ProduceRequest(
        acks=-1, timeout_ms=1_000, topic_data=[TopicProduceData(name=topic, partition_data=[data])]
    )
    return (await client.ask(request, 9)).responses[0].partition_responses[0]


@pytest.mark.parametrize(
    "config", [{"cleanup_policy": "compact"}, {"compression_type": "lz4"}], ids=lambda c: next(iter(c))
)
def test_others_are_served_meanwhile(with_client: Any, config: dict[str, str]) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t", **config)
        await client.create("other")
        producing = asyncio.create_task(produce(client, many()))
        await asyncio.sleep(0)
        served, longest_s = 0, 0.0
        while not producing.done():
            begun = time.thread_time()
            assert (await produce(client, few(), "other")).error_code == 0
            longest_s = max(longest_s, time.thread_time() - begun)
            served += 1
            await asyncio.sleep(0)
        assert (await producing).base_offset == 0
        assert served > 5
        assert longest_s < 0.05  # of this thread's own time

    with_client(scenario)


def test_what_comes_for_the_same_partition_waits_for_its_turn(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t", cleanup_policy="compact")
        sequences = [0, MANY, MANY + 1, 2 * MANY + 1]
        batches = [
            (many if number % 2 == 0 else few)(producer_id=5, producer_epoch=0, base_sequence=sequence)
            for number, sequence in enumerate(sequences)
        ]
        answers = await asyncio.gather(*(produce(client, records) for records in batches))
        assert [(answer.error_code, answer.base_offset) for answer in answers] == [(0, offset) for offset in sequences]
        again = await produce(client, many(producer_id=5, producer_epoch=0, base_sequence=0))
        assert (again.error_code, again.base_offset) == (ErrorCode.NONE, 0)
        assert client.node.broker.partition("t", 0).log_end_offset == 2 * MANY + 2

    with_client(scenario)


def test_the_other_partitions_of_a_request_do_not_fall_behind_later_requests(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t", partitions=2, cleanup_policy="compact")
        data = [PartitionProduceData(index=0, records=many()), PartitionProduceData(index=1, records=few())]
        first = ProduceRequest(acks=-1, timeout_ms=1_000, topic_data=[TopicProduceData(name="t", partition_data=data)])
        both, later = await asyncio.gather(client.ask(first, 9), client.produce("t", b"later", index=1))
        offsets = [(answer.index, answer.base_offset) for answer in both.responses[0].partition_responses]
        assert (offsets, later.base_offset) == ([(0, 0), (1, 0)], 1)

    with_client(scenario)


def test_one_that_is_refused_holds_up_nobody(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t", cleanup_policy="compact")
        refused, taken = await asyncio.gather(produce(client, many(keyless=MANY - 1)), produce(client, few()))
        assert refused.error_code == ErrorCode.INVALID_RECORD
        assert [error.batch_index for error in refused.record_errors] == [MANY - 1]
        assert (taken.error_code, taken.base_offset) == (0, 0)

    with_client(scenario)


def test_a_topic_that_is_deleted_meanwhile_takes_nothing(with_client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    deleted = threading.Event()

    def vet_late(*given: Any) -> Any:
        assert deleted.wait(60)
        return vet(*given)

    monkeypatch.setattr(laborious, "vet", vet_late)

    async def scenario(client: Any) -> None:
        await client.create("t", cleanup_policy="compact")
        producing = [asyncio.create_task(produce(client, many())) for _ in range(2)]
        await asyncio.sleep(0)
        broker = client.node.broker
        await broker.controller.delete_topics([broker.image.topics["t"]])
        deleted.set()
        for answer in await asyncio.gather(*producing):
            assert answer.error_code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION

    with_client(scenario)


def test_a_topic_s_compression_is_what_gets_stored(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t", compression_type="lz4")
        assert (await produce(client, many(compression=Compression.ZSTD))).error_code == 0
        log = client.node.broker.partition("t", 0)
        (stored,) = iter_batches(log.read_bytes(log.read(0, 1 << 20).region))
        assert (stored.compression, stored.record_count) == (Compression.LZ4, MANY)
        stored.validate()

    with_client(scenario)
