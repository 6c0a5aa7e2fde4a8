"""Connections over real sockets: order, pipelining, large requests and responses, many connections."""

import socket
import struct
import threading
import time
from contextlib import ExitStack
from typing import Any

import psutil
import pytest

from ottla_wire.headers import RequestHeader
from ottla_wire.message import Message
from ottla_wire.messages.fetch import FetchPartition, FetchRequest, FetchResponse, FetchTopic
from ottla_wire.messages.metadata import MetadataRequest, MetadataRequestTopic
from ottla_wire.messages.produce import PartitionProduceData, ProduceRequest, ProduceResponse, TopicProduceData
from ottla_wire.records import NewRecord, build_batch, iter_batches

TIMEOUT_S = 100


class Wire:
    """A socket that speaks frames."""

    def __init__(self, address: str) -> None:
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout=TIMEOUT_S)

    def __enter__(self) -> "Wire":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, *frames: bytes) -> None:
        self.socket.sendall(b"".join(frames))

    def receive(self) -> bytes:
        (size,) = struct.unpack(">i", self._read(4))
        return self._read(size)

    def _read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            chunk = self.socket.recv(min(size - len(data), 1 << 20))
            assert chunk, "the broker has closed the connection"
            data += chunk
        return data


def frame(request: Message, version: int, correlation_id: int) -> bytes:
    body = RequestHeader(request.api_key, version, correlation_id, "test").encode() + request.encode(version)
    return struct.pack(">i", len(body)) + body


def produce(*values: bytes, correlation_id: int = 1, acks: int = 1) -> bytes:
    records = build_batch([NewRecord(None, value, 1_000) for value in values])
    topic = TopicProduceData(name="t", partition_data=[PartitionProduceData(index=0, records=records)])
    return frame(ProduceRequest(acks=acks, timeout_ms=1000, topic_data=[topic]), 8, correlation_id)


def fetch(offset: int, correlation_id: int = 1, max_wait_ms: int = 0, max_bytes: int = 50_000_000) -> bytes:
    partition = FetchPartition(partition=0, fetch_offset=offset, partition_max_bytes=max_bytes)
    topic = FetchTopic(topic="t", partitions=[partition])
    return frame(FetchRequest(max_wait_ms=max_wait_ms, min_bytes=1, topics=[topic]), 11, correlation_id)


def values_of(answer: bytes) -> list[bytes | None]:
    response, end = FetchResponse.decode(answer, 11, 4)
    assert end == len(answer)
    partition = response.responses[0].partitions[0]
    assert partition.error_code == 0
    assert isinstance(partition.records, memoryview)
    return [record.value for batch in iter_batches(partition.records) for record in batch.records()]


def offset_of(answer: bytes) -> int:
    partition = ProduceResponse.decode(answer, 8, 4)[0].responses[0].partition_responses[0]
    assert partition.error_code == 0, partition
    return partition.base_offset


def correlation_id(answer: bytes) -> int:
    return int.from_bytes(answer[:4], "big")


@pytest.fixture
def wire(broker: Any) -> Any:
    with Wire(broker.address) as wire:
        wire.send(frame(MetadataRequest(topics=[MetadataRequestTopic(name="t")]), 4, 0))
        wire.receive()
        yield wire


def test_05_pipelined_requests_are_answered_in_order(wire: Wire) -> None:
    wire.send(*(produce(b"v", correlation_id=number) for number in range(500)))
    answers = [wire.receive() for _ in range(500)]
    assert [correlation_id(answer) for answer in answers] == list(range(500))
    assert [offset_of(answer) for answer in answers] == list(range(500))


def test_05_a_response_that_is_ready_waits_for_a_fetch_that_is_not(wire: Wire) -> None:
    wire.send(fetch(0, 1, max_wait_ms=30_000), produce(b"mine", correlation_id=2))
    # The produce is carried out although the fetch before it waits, and so it is what wakes the fetch.
    assert values_of(wire.receive()) == [b"mine"]
    assert correlation_id(wire.receive()) == 2


def test_06_without_acknowledgement_the_next_response_is_that_of_the_next_request(wire: Wire) -> None:
    wire.send(produce(b"a", acks=0, correlation_id=1), fetch(0, 2))
    answer = wire.receive()
    assert correlation_id(answer) == 2
    assert values_of(answer) == [b"a"]


def test_requests_arrive_in_pieces_of_any_size(wire: Wire) -> None:
    wire.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    everything = b"".join(produce(bytes([number]) * 30_000, correlation_id=number) for number in range(20))
    position, size = 0, 1
    while position < len(everything):
        wire.send(everything[position : position + size])
        position += size
        size = size * 7 % 65_537 + 1
    assert [offset_of(wire.receive()) for _ in range(20)] == list(range(20))
    wire.send(fetch(0))
    assert values_of(wire.receive()) == [bytes([number]) * 30_000 for number in range(20)]


def test_large_batches_go_in_and_come_out(wire: Wire) -> None:
    values = [bytes([number]) * 1_000_000 for number in range(12)]
    for value in values:
        wire.send(produce(value))
        offset_of(wire.receive())
    wire.send(fetch(0))
    assert values_of(wire.receive()) == values


def test_a_slow_reader_gets_everything_in_order(wire: Wire) -> None:
    value = bytes(900_000)
    for _ in range(5):
        wire.send(produce(value))
        wire.receive()
    wire.send(*(fetch(0, number) for number in range(10)))
    wire.send(produce(b"last", correlation_id=10))
    for number in range(10):
        answer = wire.receive()
        assert correlation_id(answer) == number
        assert values_of(answer)[:5] == [value] * 5
    assert correlation_id(wire.receive()) == 10


MAX_IDLE_MS = 1_500
PAUSE_S = 0.2  # so many of them, each far shorter, are longer than that


@pytest.fixture
def impatient_broker(start_broker: Any) -> Any:
    """A broker that closes idle connections soon."""
    return start_broker(connections_max_idle_ms=MAX_IDLE_MS, offsets_topic_num_partitions=1)


@pytest.fixture
def impatient(impatient_broker: Any) -> Any:
    """A connection to it, and the topic."""
    with Wire(impatient_broker.address) as wire:
        wire.send(frame(MetadataRequest(topics=[MetadataRequestTopic(name="t")]), 4, 0))
        wire.receive()
        yield wire


def test_who_sends_a_large_request_slowly_is_not_idle(impatient: Wire) -> None:
    request = produce(bytes(100_000))
    for start in range(0, len(request), 10_000):
        impatient.send(request[start : start + 10_000])
        time.sleep(PAUSE_S)
    assert offset_of(impatient.receive()) == 0


def test_who_reads_a_large_response_slowly_is_not_idle(impatient: Wire) -> None:
    values = [bytes(900_000)] * 8
    for value in values:
        impatient.send(produce(value))
        impatient.receive()
    impatient.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
    impatient.send(fetch(0))
    answer = b""
    (size,) = struct.unpack(">i", impatient._read(4))
    while len(answer) < size:
        answer += impatient._read(min(500_000, size - len(answer)))
        time.sleep(PAUSE_S)
    assert values_of(answer) == values


def test_who_takes_nothing_of_a_large_response_is_idle(impatient: Wire, impatient_broker: Any) -> None:
    for _ in range(8):
        impatient.send(produce(bytes(900_000)))
        impatient.receive()
    impatient.send(fetch(0))
    while any(
        each.status == psutil.CONN_ESTABLISHED for each in psutil.Process(impatient_broker.pid).net_connections()
    ):
        time.sleep(0.05)
    with pytest.raises((AssertionError, ConnectionResetError)):
        impatient.receive()


def test_a_client_that_goes_away_leaves_no_waiting_fetch_behind(wire: Wire, broker: Any) -> None:
    for _ in range(50):
        with Wire(broker.address) as other:
            other.send(fetch(0, max_wait_ms=60_000))
    wire.send(produce(b"a"))
    offset_of(wire.receive())
    assert "Traceback" not in broker.log


def test_many_connections_are_served_at_the_same_time(wire: Wire, broker: Any) -> None:
    def work(number: int) -> None:
        with Wire(broker.address) as own:
            for _ in range(20):
                own.send(produce(b"%d" % number))
                offset_of(own.receive())

    threads = [threading.Thread(target=work, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT_S)
    wire.send(fetch(0))
    values = values_of(wire.receive())
    assert sorted(values, key=lambda value: int(value or b"0")) == [b"%d" % n for n in range(20) for _ in range(20)]


def small_produce(value: bytes, correlation_id: int) -> bytes:
    """A produce as today's clients send it, in a version of those that are gathered."""
    records = build_batch([NewRecord(None, value, 1_000)])
    topic = TopicProduceData(name="t", partition_data=[PartitionProduceData(index=0, records=records)])
    return frame(ProduceRequest(acks=1, timeout_ms=1000, topic_data=[topic]), 9, correlation_id)


def test_small_produces_of_many_connections_are_answered_each_on_its_own(wire: Wire, broker: Any) -> None:
    with ExitStack() as stack:
        peers = [stack.enter_context(Wire(broker.address)) for _ in range(150)]
        for turn in range(5):
            for number, peer in enumerate(peers):
                peer.send(small_produce(b"%d" % number, 1000 * turn + number))
            answers = [peer.receive() for peer in peers]
            assert [correlation_id(answer) for answer in answers] == [1000 * turn + n for n in range(150)]
            offsets = {
                ProduceResponse.decode(answer, 9, 5)[0].responses[0].partition_responses[0].base_offset
                for answer in answers
            }
            assert offsets == set(range(150 * turn, 150 * (turn + 1)))
    wire.send(fetch(0))
    assert len(values_of(wire.receive())) == 5 * 150


def test_05_a_small_produce_is_answered_before_what_follows_on_its_connection(wire: Wire) -> None:
    for start in range(0, 300, 3):
        first, second = small_produce(b"a", start), small_produce(b"b", start + 1)
        wire.send(first)
        wire.send(second[:20])
        wire.send(second[20:] + fetch(0, start + 2, max_bytes=1))
        answers = [wire.receive() for _ in range(3)]
        assert [correlation_id(answer) for answer in answers] == [start, start + 1, start + 2]


def test_a_client_that_goes_away_after_a_small_produce_is_no_trouble(wire: Wire, broker: Any) -> None:
    for number in range(100):
        with Wire(broker.address) as other:
            other.send(small_produce(b"a", number))
            if number % 2:
                other.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    wire.send(small_produce(b"last", 1))
    assert correlation_id(wire.receive()) == 1
    assert "Traceback" not in broker.log


def test_a_broker_that_stops_closes_connections_with_waiting_fetches(broker: Any, wire: Wire) -> None:
    wire.send(fetch(0, max_wait_ms=60_000))
    assert broker.stop() == 0
    assert wire.socket.recv(1) == b""
    assert "Traceback" not in broker.log
