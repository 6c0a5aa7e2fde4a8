"""Handlers, asked through the whole of encoding and routing, but without sockets."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import pytest
import uvloop

from ottla_broker import dispatch
from ottla_broker.cluster.records import BrokerEndpoint, MetadataRecord, PartitionChangeRecord, RegisterBrokerRecord
from ottla_broker.connection import Connection
from ottla_broker.node import Node
from ottla_wire.chunks import FileRegion
from ottla_wire.headers import RequestHeader, decode_response_header
from ottla_wire.message import Message
from ottla_wire.messages import create_topics, fetch, produce
from ottla_wire.records import NewRecord, build_batch, iter_batches

R = TypeVar("R", bound=Message)


class Client:
    """Asks a node, as one connection does."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.connection = Connection("10.0.0.9", 1234, now_ms=0)

    async def ask(self, request: Message, version: int, client_id: str = "test") -> Any:
        """The response to a request, None if there is none."""
        header = RequestHeader(request.api_key, version, 5, client_id)
        frame = bytearray(header.encode() + request.encode(version))
        begun_ms = self.node.broker.clock()
        answer = dispatch.begin(self.node.broker, self.connection, frame)
        while not isinstance(answer, list):
            parts = await answer
            if parts is None:
                waited_ms = self.node.broker.clock() - begun_ms
                answer = dispatch.begin(self.node.broker, self.connection, frame, waited_ms)
            else:
                answer = parts
        parts = answer
        if not parts:
            return None
        answer = b"".join(_bytes(self.node, part) for part in parts)
        assert int.from_bytes(answer[:4], "big") == len(answer) - 4
        correlation_id, position = decode_response_header(answer[4:], request.api_key, version)
        assert correlation_id == 5
        response, end = Message.response(request.api_key).decode(answer[4:], version, position)
        assert end == len(answer) - 4
        return response

    async def settle(self, *, parked: int | None = None) -> None:
        """Let everything happen that can, and if need be wait until so many fetches are parked."""
        for _ in range(10):
            await asyncio.sleep(0)
        while parked is not None and self.node.broker.waits.parked != parked:  # noqa: ASYNC110 - nobody says so
            await asyncio.sleep(0)

    async def create(self, name: str, partitions: int = 1, **config: str) -> None:
        topic = create_topics.CreatableTopic(
            name=name,
            num_partitions=partitions,
            replication_factor=1,
            assignments=[],
            configs=[
                create_topics.CreatableTopicConfig(name=key.replace("_", "."), value=value)
                for key, value in config.items()
            ],
        )
        response = await self.ask(create_topics.CreateTopicsRequest(topics=[topic]), 7)
        assert response.topics[0].error_code == 0, response

    async def produce(
        self, topic: str, *values: bytes | None, index: int = 0, acks: int = -1, version: int = 9, **batch: Any
    ) -> Any:
        """Produce one batch; the partition's answer, or None with acks=0."""
        key = batch.pop("key", b"key")
        timestamp = batch.pop("timestamp", 1_000)
        records = [NewRecord(key, value, timestamp + number) for number, value in enumerate(values)]
        data = produce.PartitionProduceData(index=index, records=build_batch(records, **batch))
        request = produce.ProduceRequest(
            acks=acks,
            timeout_ms=1000,
            topic_data=[produce.TopicProduceData(name=topic, partition_data=[data])],
        )
        response = await self.ask(request, version)
        return None if response is None else response.responses[0].partition_responses[0]

    async def fetch(self, topic: str, offset: int, index: int = 0, version: int = 12, **fields: Any) -> Any:
        """Fetch from one partition without a session; the whole response."""
        partition = fetch.FetchPartition(
            partition=index,
            fetch_offset=offset,
            partition_max_bytes=fields.pop("partition_max_bytes", 1 << 20),
            current_leader_epoch=fields.pop("current_leader_epoch", -1),
            last_fetched_epoch=fields.pop("last_fetched_epoch", -1),
        )
        values = {"max_wait_ms": 0, "min_bytes": 1, "topics": [fetch.FetchTopic(topic=topic, partitions=[partition])]}
        return await self.ask(fetch.FetchRequest(**{**values, **fields}), version)

    async def read(self, topic: str, offset: int, **fields: Any) -> list[bytes | None]:
        """The values that a fetch returns."""
        response = await self.fetch(topic, offset, **fields)
        partition = response.responses[0].partitions[0]
        assert partition.error_code == 0, partition
        return values_of(partition)

    async def decide(self, *records: MetadataRecord) -> None:
        """Have the metadata log say what nothing on one node ever decides, such as that another node leads."""
        await self.node.broker.controller._metadata.submit(lambda: (list(records), None))

    async def change(self, topic: str, index: int = 0, **fields: Any) -> None:
        """Give a partition another leader, other replicas or other in-sync ones."""
        topic_id = self.node.broker.image.topics[topic].id
        await self.decide(PartitionChangeRecord(partition_id=index, topic_id=topic_id, **{"leader": -2, **fields}))

    async def add_broker(self, broker_id: int, host: str) -> None:
        endpoint = BrokerEndpoint(name="PLAINTEXT", host=host, port=9092, security_protocol=0)
        await self.decide(
            RegisterBrokerRecord(
                broker_id=broker_id,
                incarnation_id=uuid.uuid4(),
                broker_epoch=self.node.broker.image.offset + 1,
                end_points=[endpoint],
                features=[],
                rack=None,
                fenced=False,
            )
        )


def values_of(partition: Any) -> list[bytes | None]:
    return [record.value for batch in iter_batches(partition.records) for record in batch.records()]


def _bytes(node: Node, part: Any) -> bytes:
    if isinstance(part, FileRegion):
        log = next(iter(node.broker.logs))
        return log.read_bytes(part)
    return bytes(part)


@pytest.fixture
def with_client(start_node: Callable[..., Any]) -> Callable[..., None]:
    """`with_client(scenario, **settings)` runs `await scenario(client)` against a node of its own."""

    def run(scenario: Callable[[Client], Awaitable[None]], **settings: Any) -> None:
        async def main() -> None:
            async with start_node(**settings) as node:
                await scenario(Client(node))

        uvloop.run(main())

    return run
