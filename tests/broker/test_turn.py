"""Which requests wait for the end of the turn: those of connections that are not alone."""

import asyncio
from typing import Any

import pytest

from ottla_broker.cluster.topics import NewTopic
from ottla_broker.turn import Turn
from ottla_wire.headers import RequestHeader
from ottla_wire.messages.produce import PartitionProduceData, ProduceRequest, ProduceResponse, TopicProduceData
from ottla_wire.records import NewRecord, build_batch


def produce(topic: str) -> bytes:
    data = PartitionProduceData(index=0, records=build_batch([NewRecord(None, b"v", 1_000)]))
    request = ProduceRequest(acks=1, timeout_ms=1000, topic_data=[TopicProduceData(name=topic, partition_data=[data])])
    body = RequestHeader(0, 9, 1, "test").encode() + request.encode(9)
    return len(body).to_bytes(4, "big") + body


class Client:
    """A connection that produces one record at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def connect(cls, node: Any) -> "Client":
        return cls(*await asyncio.open_connection(*node.address))

    async def produce(self, topic: str = "t") -> int:
        """The offset that the record got."""
        self._writer.write(produce(topic))
        answer = await self._reader.readexactly(int.from_bytes(await self._reader.readexactly(4), "big"))
        partition = ProduceResponse.decode(answer, 9, 5)[0].responses[0].partition_responses[0]
        assert partition.error_code == 0
        return partition.base_offset

    def close(self) -> None:
        self._writer.close()


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """What the turn said to each request that it was offered."""
    said: list[bool] = []
    take = Turn.take

    def note(turn: Turn, *request: Any) -> bool:
        said.append(take(turn, *request))
        return said[-1]

    monkeypatch.setattr(Turn, "take", note)
    return said


def test_a_connection_that_is_alone_is_served_at_once(start_node: Any, taken: list[bool]) -> None:
    async def main() -> None:
        async with start_node() as node:
            await node.broker.controller.create_topics([NewTopic("t")])
            client = await Client.connect(node)
            assert [await client.produce() for _ in range(5)] == list(range(5))
            client.close()

    asyncio.run(main())
    assert taken == [True]


def test_of_several_connections_each_waits_for_the_others(start_node: Any, taken: list[bool]) -> None:
    async def main() -> None:
        async with start_node() as node:
            await node.broker.controller.create_topics([NewTopic("t")])
            clients = [await Client.connect(node) for _ in range(3)]
            for turn in range(4):
                offsets = await asyncio.gather(*(client.produce() for client in clients))
                assert sorted(offsets) == [3 * turn, 3 * turn + 1, 3 * turn + 2]
            for client in clients:
                client.close()

    asyncio.run(main())
    assert len(taken) >= 9
    assert all(taken)
