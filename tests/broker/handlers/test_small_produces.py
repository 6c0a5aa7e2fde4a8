"""Small produces that arrive in one turn of the loop: answered as if each had come alone."""

from collections.abc import Iterator
from typing import Any

import pytest

from ottla_broker import dispatch
from ottla_broker.turn import MOST_REQUESTS, Turn
from ottla_wire.errors import ErrorCode
from ottla_wire.headers import RequestHeader
from ottla_wire.messages.metadata import MetadataRequest
from ottla_wire.messages.produce import PartitionProduceData, ProduceRequest, ProduceResponse, TopicProduceData
from ottla_wire.records import NewRecord, build_batch

NOW_MS = 1_700_000_000_000
VERSION = 9


def batch_of(value: bytes, **options: Any) -> bytearray:
    return build_batch([NewRecord(None, value, NOW_MS)], **options)


def produce_frame(topic: str, batch: bytes, *, index: int = 0, acks: int = 1, correlation_id: int = 7) -> bytearray:
    data = PartitionProduceData(index=index, records=batch)
    request = ProduceRequest(
        acks=acks, timeout_ms=1000, topic_data=[TopicProduceData(name=topic, partition_data=[data])]
    )
    return bytearray(RequestHeader(0, VERSION, correlation_id, "test").encode() + request.encode(VERSION))


class Peer:
    """Hears what becomes of its request; what has to be served by itself is, by the handler."""

    def __init__(self, heard: list["Peer"]) -> None:
        self.heard = heard
        self.answered: bytes | None = None
        self.alone: bytearray | None = None
        self.error: Exception | None = None

    def answer(self, response: bytes) -> None:
        self.answered = response
        self.heard.append(self)

    def serve(self, frame: bytearray) -> None:
        self.alone = frame
        self.heard.append(self)

    def fail(self, error: Exception) -> None:
        self.error = error
        self.heard.append(self)

    @property
    def offset(self) -> int:
        """What it was told, having been answered with the others."""
        assert self.answered is not None
        partition = ProduceResponse.decode(self.answered, VERSION, 9)[0].responses[0].partition_responses[0]
        assert partition.error_code == ErrorCode.NONE
        return partition.base_offset


class OneTurn:
    """A turn that ends when the test says so."""

    def __init__(self, client: Any) -> None:
        self.scheduled = 0
        self.turn = Turn(client.node.broker, self._schedule)
        self.heard: list[Peer] = []

    def _schedule(self, _end: Any) -> None:
        self.scheduled += 1

    def send(self, *frames: bytearray) -> Iterator[Peer]:
        for frame in frames:
            peer = Peer(self.heard)
            assert self.turn.take(frame, peer)
            yield peer


def test_they_get_offsets_in_the_order_in_which_they_came(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t")
        turn = OneTurn(client)
        peers = list(turn.send(*(produce_frame("t", batch_of(b"%d" % n), correlation_id=n) for n in range(5))))
        assert not turn.heard
        assert turn.scheduled == 1
        turn.turn.end()
        assert turn.heard == peers
        assert [peer.offset for peer in peers] == list(range(5))
        assert [int.from_bytes((peer.answered or b"")[4:8], "big") for peer in peers] == list(range(5))
        assert await client.read("t", 0) == [b"%d" % n for n in range(5)]
        traffic = client.node.broker.partition("t", 0).traffic
        assert (traffic.produces, traffic.bytes_in) == (5, 5 * len(batch_of(b"1")))

    with_client(scenario)


def test_each_partition_and_each_acks_is_served(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t", partitions=2)
        turn = OneTurn(client)
        frames = [
            produce_frame("t", batch_of(b"%d" % n), index=n % 2, acks=-1 if n > 2 else 1, correlation_id=n)
            for n in range(6)
        ]
        peers = list(turn.send(*frames))
        turn.turn.end()
        assert [peer.offset for peer in peers] == [0, 0, 1, 1, 2, 2]
        assert await client.read("t", 0) == [b"0", b"2", b"4"]

    with_client(scenario)


def test_a_waiting_fetch_hears_of_all_of_them(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t")
        size = len(batch_of(b"1"))
        waits = client.node.broker.waits.for_bytes([("t", 0)], 3 * size, 60_000)
        turn = OneTurn(client)
        list(turn.send(*(produce_frame("t", batch_of(b"1")) for _ in range(3))))
        assert not waits.done()
        turn.turn.end()
        assert waits.done()

    with_client(scenario)


def damaged() -> bytes:
    batch = batch_of(b"x")
    batch[-1] ^= 1
    return bytes(batch)


def idempotent(sequence: int) -> bytes:
    return bytes(batch_of(b"x", producer_id=4, producer_epoch=0, base_sequence=sequence))


@pytest.mark.parametrize("settings", [{}, {"message_timestamp_type": "LogAppendTime"}])
@pytest.mark.parametrize(
    ("odd", "code", "offset"),
    [
        (damaged, ErrorCode.CORRUPT_MESSAGE, -1),
        (lambda: idempotent(5), ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER, -1),
        (lambda: idempotent(0), ErrorCode.NONE, 0),
    ],
    ids=["damaged", "out of order", "sent before"],
)
def test_where_one_has_to_be_looked_at_by_itself_all_are(
    with_client: Any, settings: dict[str, str], odd: Any, code: ErrorCode, offset: int
) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t", **settings)
        turn = OneTurn(client)
        list(turn.send(produce_frame("t", idempotent(0))))
        turn.turn.end()
        peers = list(turn.send(produce_frame("t", batch_of(b"a")), produce_frame("t", bytes(odd()))))
        turn.turn.end()
        assert await client.read("t", 0) == [b"x"]  # nothing has happened so far
        for peer in peers:
            assert peer.alone is not None
            (peer.answered,) = dispatch.begin(client.node.broker, client.connection, peer.alone)
        assert peers[0].offset == 1
        response, _ = ProduceResponse.decode(peers[1].answered, VERSION, 9)
        partition = response.responses[0].partition_responses[0]
        assert (partition.error_code, partition.base_offset) == (code, offset)
        assert await client.read("t", 0) == [b"x", b"a"]

    with_client(scenario)


def test_a_topic_that_is_not_there_is_left_to_the_handler(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t")
        turn = OneTurn(client)
        there, missing = turn.send(produce_frame("t", batch_of(b"a")), produce_frame("u", batch_of(b"a")))
        turn.turn.end()
        assert there.offset == 0
        assert missing.alone is not None

    with_client(scenario)


def test_a_fault_of_ours_is_told_to_all(with_client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t")
        turn = OneTurn(client)
        peers = list(turn.send(produce_frame("t", batch_of(b"a")), produce_frame("t", batch_of(b"b"))))
        fault = ValueError("a fault")

        def fail(*_: Any) -> None:
            raise fault

        monkeypatch.setattr(client.node.broker, "append_each", fail)
        turn.turn.end()
        assert [peer.error for peer in peers] == [fault, fault]

    with_client(scenario)


def test_a_turn_does_not_grow_without_bound(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t")
        turn = OneTurn(client)
        list(turn.send(*(produce_frame("t", batch_of(b"a")) for _ in range(MOST_REQUESTS + 3))))
        assert len(turn.heard) == MOST_REQUESTS
        turn.turn.end()
        assert len(turn.heard) == MOST_REQUESTS + 3

    with_client(scenario)


def test_other_requests_are_not_for_it(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t")
        turn = OneTurn(client)
        transactional = batch_of(b"a", producer_id=1, producer_epoch=0, base_sequence=0, transactional=True)
        metadata = bytearray(RequestHeader(3, 9, 1, "test").encode() + MetadataRequest(topics=None).encode(9))
        for frame in (
            bytearray(b"\x00"),
            metadata,
            produce_frame("t", batch_of(b"a"), acks=0),
            produce_frame("t", bytes(transactional)),
        ):
            assert not turn.turn.take(frame, Peer(turn.heard))
        assert not turn.scheduled
        turn.turn.end()
        assert not turn.heard

    with_client(scenario)
