"""What the load consists of: topics, batches, and the requests around them."""

import random
import time
from uuid import uuid4

from ottla_apps.bench.broker.wire import Connection, check, decode, frame
from ottla_apps.bench.processes import ServerProcess
from ottla_wire.messages.create_topics import (
    CreatableTopic,
    CreatableTopicConfig,
    CreateTopicsRequest,
    CreateTopicsResponse,
)
from ottla_wire.messages.delete_topics import DeleteTopicsRequest, DeleteTopicsResponse
from ottla_wire.messages.fetch import FetchPartition, FetchRequest, FetchTopic
from ottla_wire.messages.list_offsets import (
    ListOffsetsPartition,
    ListOffsetsRequest,
    ListOffsetsResponse,
    ListOffsetsTopic,
)
from ottla_wire.messages.metadata import MetadataRequest, MetadataRequestTopic, MetadataResponse
from ottla_wire.messages.produce import PartitionProduceData, ProduceRequest, ProduceResponse, TopicProduceData
from ottla_wire.records import Compression, NewRecord, build_batch

_LEADER_TIMEOUT_S = 300.0
_REMOVAL_TIMEOUT_S = 60.0
_WORDS = 400
_LATEST = -1


def create_topic(broker: ServerProcess, partitions: int = 1) -> str:
    """A new topic whose partitions have leaders; its files go at once when it is deleted."""
    name = f"bench-{uuid4()}"
    at_once = CreatableTopicConfig(name="file.delete.delay.ms", value="0")
    with Connection(broker.address) as connection:
        create_topics(connection, [name], partitions, [at_once])
        await_leaders(connection, [name])
    return name


def create_topics(
    connection: Connection, names: list[str], partitions: int, configs: list[CreatableTopicConfig]
) -> None:
    topics = [
        CreatableTopic(name=name, num_partitions=partitions, replication_factor=1, assignments=[], configs=configs)
        for name in names
    ]
    answer = connection.ask(CreateTopicsRequest(topics=topics, timeout_ms=60_000), CreateTopicsResponse)
    for topic in answer.topics:
        check(topic.error_code, f"creating {topic.name}")


def await_leaders(connection: Connection, names: list[str] | None) -> None:
    """Return when all partitions of these topics, or of all topics, are served; Metadata may be ahead of that."""
    deadline = time.monotonic() + _LEADER_TIMEOUT_S
    while not _are_served(connection, names):
        if time.monotonic() > deadline:
            raise RuntimeError(f"partitions were still without leaders after {_LEADER_TIMEOUT_S:.0f} s")
        time.sleep(0.01)


def _are_served(connection: Connection, names: list[str] | None) -> bool:
    wanted = None if names is None else [MetadataRequestTopic(name=name) for name in names]
    metadata = connection.ask(MetadataRequest(topics=wanted, allow_auto_topic_creation=False), MetadataResponse)
    if any(topic.error_code or not topic.partitions for topic in metadata.topics):
        return False
    topics = [
        ListOffsetsTopic(
            name=topic.name or "",
            partitions=[
                ListOffsetsPartition(partition_index=partition.partition_index, timestamp=_LATEST)
                for partition in topic.partitions
            ],
        )
        for topic in metadata.topics
    ]
    answer = connection.ask(ListOffsetsRequest(replica_id=-1, topics=topics), ListOffsetsResponse)
    return not any(partition.error_code for topic in answer.topics for partition in topic.partitions)


def delete_topic(broker: ServerProcess, name: str) -> None:
    """Delete a topic, and return when its files are gone and have given their page cache to whoever is next.

    The first touch of a page costs ten times a later one, so all rounds are to find the same.
    """
    with Connection(broker.address) as connection:
        request = DeleteTopicsRequest(topic_names=[name], timeout_ms=60_000)
        answer = connection.ask(request, DeleteTopicsResponse)
        for topic in answer.responses:
            check(topic.error_code, f"deleting {topic.name}")
    deadline = time.monotonic() + _REMOVAL_TIMEOUT_S
    while any(path.name.startswith(name) for path in broker.data_dir.iterdir()):
        if time.monotonic() > deadline:
            raise RuntimeError(f"the files of a deleted topic were still there after {_REMOVAL_TIMEOUT_S:.0f} s")
        time.sleep(0.02)


def text(size: int, count: int) -> list[bytes]:
    """Values of `size` bytes that compress as text does."""
    draw = random.Random(size)
    words = ["".join(draw.choices("etaoinshrdlucmfw", k=draw.randint(2, 9))) for _ in range(_WORDS)]
    return [" ".join(draw.choices(words, k=size // 2)).encode()[:size] for _ in range(count)]


def batch_of(values: list[bytes], compression: Compression = Compression.NONE) -> bytes:
    now_ms = time.time_ns() // 1_000_000
    return bytes(build_batch([NewRecord(None, value, now_ms) for value in values], compression=compression))


def produce_frame(topic: str, batches: dict[int, bytes], acks: int) -> bytes:
    """A produce request with a batch for each of some partitions."""
    data = [PartitionProduceData(index=index, records=batch) for index, batch in batches.items()]
    topics = [TopicProduceData(name=topic, partition_data=data)]
    return frame(ProduceRequest(acks=acks, timeout_ms=30_000, topic_data=topics))


def check_produced(answer: memoryview) -> int:
    """The base offset of the last partition in a produce response; raises KafkaError if one failed."""
    offset = -1
    for topic in decode(answer, ProduceResponse).responses:
        for partition in topic.partition_responses:
            check(partition.error_code, f"producing to {topic.name}-{partition.index}")
            offset = partition.base_offset
    return offset


def fetch_frame(topic: str, offsets: dict[int, int], max_bytes: int, max_wait_ms: int = 500) -> bytes:
    """A fetch request without a session from some partitions."""
    partitions = [
        FetchPartition(partition=index, fetch_offset=offset, partition_max_bytes=max_bytes)
        for index, offset in offsets.items()
    ]
    topics = [FetchTopic(topic=topic, partitions=partitions)]
    return frame(FetchRequest(max_wait_ms=max_wait_ms, min_bytes=1, max_bytes=52_428_800, topics=topics))
