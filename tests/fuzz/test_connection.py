"""A whole broker, to which strangers connect and send what looks like requests.

Whatever they send, the broker goes on: it serves others, has no fault of its own to report, takes no more memory than
it may, and starts again from what is on disk.
"""

import asyncio
import contextlib
import logging
import os
import random
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
import uvloop

from ottla_broker.config import BrokerConfig
from ottla_broker.dispatch import APIS
from ottla_broker.node import Node
from ottla_wire.headers import RequestHeader, decode_response_header
from ottla_wire.messages.create_topics import (
    CreatableTopic,
    CreatableTopicConfig,
    CreateTopicsRequest,
    CreateTopicsResponse,
)
from ottla_wire.messages.produce import PartitionProduceData, ProduceRequest, ProduceResponse, TopicProduceData
from ottla_wire.records import NewRecord, build_batch

from .campaign import chance_of, finding, numbers
from .mutation import mutate
from .samples import NAMES, Sampler

NAME = "connection"
INPUTS = 300
# After so many a new broker on a new directory takes over: strangers make topics and never delete them.
INPUTS_PER_BROKER = 500
PATIENCE_S = 2.0
MAX_GROWTH_BYTES = 128 * 1024 * 1024
SHARED_MEMORY = Path("/dev/shm")


def stream(chance: random.Random, topic_ids: Any) -> bytes:
    """A few requests, some of them bent, in frames of which a few are bent too."""
    sampler = Sampler(chance, topic_ids)
    data = b""
    for _ in range(chance.randint(1, 6)):
        api = chance.choice(list(APIS.values()))
        version = chance.randint(api.versions.lowest, api.versions.highest)
        body = sampler.message(api.request, version).encode(version)
        if chance.random() < 0.6:
            body = mutate(chance, body)
        frame = RequestHeader(api.key, version, chance.randint(0, 9), chance.choice(NAMES)).encode() + body
        data += len(frame).to_bytes(4, "big") + frame
    return mutate(chance, data) if chance.random() < 0.1 else data


class Complaints(logging.Handler):
    """What the broker has to say about itself."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.heard: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.heard.append(self.format(record))


@pytest.fixture
def complaints() -> Any:
    handler = Complaints()
    loggers = [logging.getLogger(name) for name in ("ottla_broker", "asyncio")]  # the loop tells of callbacks that fail
    for logger in loggers:
        logger.addHandler(handler)
    yield handler
    for logger in loggers:
        logger.removeHandler(handler)


async def ask(node: Node, request: Any, response: Any, version: int) -> Any:
    reader, writer = await asyncio.open_connection(*node.address)
    frame = RequestHeader(request.api_key, version, 1, "test").encode() + request.encode(version)
    writer.write(len(frame).to_bytes(4, "big") + frame)
    answer = await reader.readexactly(int.from_bytes(await reader.readexactly(4), "big"))
    writer.close()
    _, position = decode_response_header(answer, request.api_key, version)
    return response.decode(answer, version, position)[0]


async def send(node: Node, data: bytes) -> None:
    """Send everything, and take what comes until the broker has no more to say."""
    reader, writer = await asyncio.open_connection(*node.address)
    with contextlib.suppress(ConnectionError, TimeoutError):
        writer.write(data)
        writer.write_eof()
        async with asyncio.timeout(PATIENCE_S):
            await reader.read()
    writer.close()


async def serves(node: Node) -> None:
    """A client that behaves is served."""
    name = "for-those-who-behave"
    if name not in node.broker.image.topics:
        topic = CreatableTopic(name=name, num_partitions=1, replication_factor=1, assignments=[], configs=[])
        created = await ask(node, CreateTopicsRequest(topics=[topic]), CreateTopicsResponse, 7)
        assert created.topics[0].error_code == 0, created
    batch = build_batch([NewRecord(b"k", b"v", 1_000)])
    data = [TopicProduceData(name=name, partition_data=[PartitionProduceData(index=0, records=batch)])]
    answer = await ask(node, ProduceRequest(acks=-1, timeout_ms=1000, topic_data=data), ProduceResponse, 9)
    assert answer.responses[0].partition_responses[0].error_code == 0, answer


async def loaded(node: Node) -> None:
    """The coordinators have read what is on disk."""
    while node.broker.groups.loading or node.broker.transactions.loading:  # noqa: ASYNC110 - nobody says when
        await asyncio.sleep(0.001)


async def forgotten(node: Node) -> None:
    """Of those who have gone away nothing waits any more."""
    async with asyncio.timeout(PATIENCE_S):
        while node.server.connections or node.broker.waits:  # noqa: ASYNC110 - nobody says when
            await asyncio.sleep(0.001)
    assert node.broker.waits.parked == 0


@asynccontextmanager
async def running(directory: Path) -> AsyncIterator[Node]:
    config = {
        "log.dirs": str(directory),
        "listeners": "127.0.0.1:0",
        "offsets.topic.num.partitions": "2",
        "transaction.state.log.num.partitions": "2",
        "socket.request.max.bytes": "1000000",
    }
    node = await Node.start(BrokerConfig.of(config))
    try:
        yield node
    finally:
        await node.stop()


async def prepare(node: Node) -> None:
    compacted = [CreatableTopicConfig(name="cleanup.policy", value="compact")]
    topics = [
        CreatableTopic(name=name, num_partitions=3, replication_factor=1, assignments=[], configs=configs)
        for name, configs in (("t", []), ("compacted", compacted))
    ]
    await ask(node, CreateTopicsRequest(topics=topics), CreateTopicsResponse, 7)


@pytest.fixture
def directories() -> Any:
    """`directories()` is a new data directory, in memory where there is such a thing."""
    parent = SHARED_MEMORY if os.access(SHARED_MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="ottla-", dir=parent) as made:
        count = iter(range(1_000_000))
        yield lambda: Path(made) / str(next(count))


def test_a_broker_survives_whatever_it_is_sent(complaints: Complaints, directories: Callable[[], Path]) -> None:
    left = numbers(INPUTS)
    process = psutil.Process()

    async def campaign() -> None:
        for number in left:
            directory = directories()
            async with running(directory) as node:
                await prepare(node)
                await attack(node, number)
                await serves(node)
                await forgotten(node)
            async with running(directory) as node:
                await loaded(node)
                assert node.reasons_not_ready() == []
                await serves(node)
            assert not complaints.heard, complaints.heard[0]

    async def attack(node: Node, first: int) -> None:
        number: int | None = first
        before = process.memory_info().rss
        for _ in range(INPUTS_PER_BROKER):
            if number is None:
                break
            chance = chance_of(NAME, number)
            data = stream(chance, tuple(node.broker.image.topics_by_id)[:5])
            await send(node, data)
            assert not complaints.heard, f"{finding(NAME, number)}: {complaints.heard[0]}\ninput: {data!r}"
            number = next(left, None)
        assert process.memory_info().rss - before < MAX_GROWTH_BYTES

    uvloop.run(campaign())
