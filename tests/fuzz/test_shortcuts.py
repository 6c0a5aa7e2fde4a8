"""The hand-written readers of single produces and fetches: what they take, the declared messages read the same way."""

import random
import uuid

from ottla_wire.headers import RequestHeader
from ottla_wire.messages.fetch import FetchPartition, FetchRequest, FetchTopic
from ottla_wire.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData
from ottla_wire.single_fetch import read_single_fetch
from ottla_wire.single_produce import read_single_produce

from .campaign import campaign
from .mutation import mutate
from .samples import Sampler

IDS = [uuid.UUID(int=0), uuid.UUID(int=7)]
TOPICS = ["t", "topic", "topic", "topic", "", "é", "n" * 127, "n" * 128, "n" * 300]
CLIENTS = [None, "", "client", "client", "client", "c" * 300]


def _framed(chance: random.Random, request: ProduceRequest | FetchRequest, version: int) -> bytearray:
    """A frame that still says of which API and version it is, which decides who reads it."""
    header = RequestHeader(request.api_key, version, chance.randint(0, 9), chance.choice(CLIENTS))
    frame = header.encode() + request.encode(version)
    return bytearray(frame if chance.random() < 0.5 else frame[:4] + mutate(chance, frame[4:]))


def _produce(chance: random.Random) -> tuple[bytearray, int]:
    version = chance.randint(8, 13)
    data = [
        PartitionProduceData(
            index=chance.randint(-1, 3), records=chance.choice([None, b"", *[bytes(Sampler(chance).batch())] * 8])
        )
        for _ in range(chance.choice([1, 1, 1, 1, 1, 2]))
    ]
    topic = TopicProduceData(partition_data=data)
    if version >= 13:
        topic.topic_id = chance.choice(IDS)
    else:
        topic.name = chance.choice(TOPICS)
    request = ProduceRequest(
        transactional_id=chance.choice([*[None] * 7, "tx"]),
        acks=chance.choice([-1, 0, 1]),
        timeout_ms=1_000,
        topic_data=[topic] * chance.choice([1, 1, 1, 1, 1, 2]),
    )
    return _framed(chance, request, version), version


def _produces_are_read_alike(given: tuple[bytearray, int]) -> None:
    frame, version = given
    found = read_single_produce(frame, version)
    if found is None:
        return
    head, records = found
    header, position = RequestHeader.decode(frame)
    request, end = ProduceRequest.decode(frame, version, position)
    assert end == len(frame)
    assert request.transactional_id is None
    (topic,) = request.topic_data
    (partition,) = topic.partition_data
    assert (head.client_id, head.acks) == (header.client_id or "", request.acks)
    assert (head.topic, head.topic_id, head.index) == (topic.name, topic.topic_id, partition.index)
    assert bytes(records) == bytes(partition.records or b"")


def test_a_single_produce_is_read_as_its_message_is() -> None:
    campaign("single produce", 2_000, _produce, _produces_are_read_alike)


def _fetch(chance: random.Random) -> tuple[bytearray, int]:
    version = chance.randint(11, 18)
    partition = FetchPartition(
        partition=chance.randint(-1, 3),
        current_leader_epoch=chance.choice([-1, 0, 5]),
        fetch_offset=chance.choice([-1, 0, 5, 2**63 - 1]),
        partition_max_bytes=chance.choice([-1, 0, 1 << 20]),
    )
    topic = FetchTopic(partitions=[partition] * chance.choice([1, 1, 1, 2]))
    if version >= 13:
        topic.topic_id = chance.choice(IDS)
    else:
        topic.topic = chance.choice(TOPICS)
    request = FetchRequest(
        max_wait_ms=chance.choice([0, 500]),
        min_bytes=chance.choice([0, 1]),
        max_bytes=chance.choice([0, 1 << 25]),
        isolation_level=chance.choice([0, 1]),
        session_id=chance.choice([0, 0, 0, 9]),
        session_epoch=chance.choice([-1, -1, -1, 0]),
        topics=[topic] * chance.choice([1, 1, 1, 1, 1, 2]),
    )
    return _framed(chance, request, version), version


def _fetches_are_read_alike(given: tuple[bytearray, int]) -> None:
    frame, version = given
    found = read_single_fetch(frame, version)
    if found is None:
        return
    terms, offset = found
    _, position = RequestHeader.decode(frame)
    request, end = FetchRequest.decode(frame, version, position)
    assert end == len(frame)
    (topic,) = request.topics
    (partition,) = topic.partitions
    assert (request.session_id, request.session_epoch, request.forgotten_topics_data) == (0, -1, [])
    assert (terms.topic, terms.topic_id, terms.index) == (topic.topic, topic.topic_id, partition.partition)
    assert (offset, terms.current_leader_epoch) == (partition.fetch_offset, partition.current_leader_epoch)
    assert (terms.max_wait_ms, terms.min_bytes) == (request.max_wait_ms, request.min_bytes)
    assert terms.max_bytes == min(request.max_bytes, partition.partition_max_bytes)
    assert terms.committed_only == (request.isolation_level == 1)
    assert partition.last_fetched_epoch < 0


def test_a_single_fetch_is_read_as_its_message_is() -> None:
    campaign("single fetch", 2_000, _fetch, _fetches_are_read_alike)


def test_the_samples_are_taken() -> None:
    """Else the others would prove nothing."""
    chance = random.Random(1)
    produces = [_produce(chance) for _ in range(500)]
    assert sum(read_single_produce(*given) is not None for given in produces) > 50
    fetches = [_fetch(chance) for _ in range(500)]
    assert sum(read_single_fetch(*given) is not None for given in fetches) > 50
