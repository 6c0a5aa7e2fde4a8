"""What is no Kafka request closes its connection, with one line in the log and no memory spike."""

import random
import socket
import struct
import time
from typing import Any

import pytest

from ottla_wire.headers import RequestHeader
from ottla_wire.messages.api_versions import ApiVersionsRequest, ApiVersionsResponse
from ottla_wire.messages.metadata import MetadataRequest
from ottla_wire.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData

SPIKE_BYTES = 16 * 1024 * 1024


def connect(broker: Any) -> socket.socket:
    host, port = broker.address.rsplit(":", 1)
    return socket.create_connection((host, int(port)), timeout=100)


def frame(body: bytes) -> bytes:
    return struct.pack(">i", len(body)) + body


def request(key: int, version: int, body: bytes = b"", correlation_id: int = 1) -> bytes:
    return frame(RequestHeader(key, version, correlation_id, "test").encode() + body)


def receive(connection: socket.socket) -> bytes:
    """One response without its length; empty when the broker has closed the connection."""
    try:
        head = connection.recv(4, socket.MSG_WAITALL)
        if len(head) < 4:
            return b""
        return connection.recv(struct.unpack(">i", head)[0], socket.MSG_WAITALL)
    except ConnectionResetError:
        return b""


def is_served(broker: Any) -> bool:
    with connect(broker) as connection:
        connection.sendall(request(18, 0))
        return bool(receive(connection))


NOT_REQUESTS = {
    "an HTTP request": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a TLS handshake": bytes.fromhex("16030100c8010000c40303") + bytes(200),
    "a negative length": struct.pack(">i", -1) + b"rest",
    "a length above socket.request.max.bytes": struct.pack(">i", 104_857_601) + b"rest",
    "the largest length": struct.pack(">i", 0x7FFF_FFFF),
    "an empty frame": frame(b""),
    "a header that is cut short": frame(b"\x00\x12\x00"),
    "a client id longer than the frame": frame(struct.pack(">hhih", 3, 1, 1, 30_000)),
    "an API key that does not exist": request(999, 0),
    "an API that only controllers serve": request(52, 0),
    "a version that is advertised but not served": request(0, 0),
    "a version of the future": request(3, 99),
    "a body that is cut short": request(3, 1, struct.pack(">ih", 1, 100)),
    "an array of absurd length": request(3, 1, struct.pack(">i", 0x7FFF_FFFF)),
    "a compact array of absurd length": request(3, 9, b"\xff\xff\xff\xff\x07"),
    "a varint without end": request(3, 9, b"\xff" * 20),
    "noise": frame(random.Random(7).randbytes(2000)),
}


@pytest.mark.parametrize("bytes_sent", NOT_REQUESTS.values(), ids=NOT_REQUESTS)
def test_what_is_no_request_closes_its_connection_with_one_log_line(shared_broker: Any, bytes_sent: bytes) -> None:
    before, logged = shared_broker.resident_bytes, len(shared_broker.log)
    with connect(shared_broker) as connection:
        connection.sendall(bytes_sent)
        assert receive(connection) == b""
    log = shared_broker.log[logged:]
    assert len([line for line in log.splitlines() if "closing 127.0.0.1:" in line]) == 1, log
    assert "Traceback" not in log
    assert shared_broker.resident_bytes - before < SPIKE_BYTES
    assert is_served(shared_broker)


def test_many_announced_requests_cost_no_memory(broker: Any) -> None:
    before = broker.resident_bytes
    connections = [connect(broker) for _ in range(50)]
    for connection in connections:
        connection.sendall(struct.pack(">i", 100_000_000) + bytes(100))
    assert is_served(broker)
    assert broker.resident_bytes - before < SPIKE_BYTES
    for connection in connections:
        connection.close()


def test_a_peer_that_does_not_read_its_responses_costs_bounded_memory(broker: Any) -> None:
    everything = request(18, 0) * 20_000
    before = broker.resident_bytes
    with connect(broker) as connection:
        connection.setblocking(False)
        sent = 0
        deadline = time.monotonic() + 5
        while sent < 40 and time.monotonic() < deadline:
            try:
                connection.send(everything)
                sent += 1
            except BlockingIOError:
                time.sleep(0.05)
                if sent > 3:
                    break
        assert is_served(broker)
        assert broker.resident_bytes - before < SPIKE_BYTES


def test_a_request_of_too_many_elements_is_refused_before_they_take_memory(broker: Any) -> None:
    head = ProduceRequest(acks=1, timeout_ms=1000, topic_data=[]).encode(9)[:-2]
    many = 10_000_000
    varint = b""
    left = many + 1
    while left > 127:
        varint += bytes([left & 0x7F | 0x80])
        left >>= 7
    body = head + varint + bytes([left]) + b"\x01\x01\x00" * many  # topics without a name and without partitions
    before = broker.resident_bytes
    with connect(broker) as connection:
        connection.sendall(request(0, 9, body))
        assert receive(connection) == b""
    assert "ProduceRequest.topic_data brings the elements of the request's arrays to more than 200000" in broker.log
    assert broker.resident_bytes - before < len(body) + SPIKE_BYTES
    assert is_served(broker)


def test_a_request_in_single_bytes_is_served(shared_broker: Any) -> None:
    with connect(shared_broker) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in request(18, 0):
            connection.sendall(bytes([byte]))
        assert receive(connection)


def test_02_an_unknown_version_of_api_versions_is_answered_in_version_0(shared_broker: Any) -> None:
    with connect(shared_broker) as connection:
        connection.sendall(request(18, 77, b"whatever that version says"))
        answer = receive(connection)
        response, end = ApiVersionsResponse.decode(answer, 0, 4)
        assert end == len(answer)
        assert response.error_code == 35
        assert [(api.api_key, api.min_version, api.max_version) for api in response.api_keys] == [(18, 0, 4)]
        connection.sendall(request(18, 0))
        assert receive(connection)


@pytest.mark.parametrize("name", ["", "semi;colon", "-x", "x-"])
def test_03_a_client_software_name_that_is_none_is_refused(shared_broker: Any, name: str) -> None:
    body = ApiVersionsRequest(client_software_name=name, client_software_version="1").encode(3)
    with connect(shared_broker) as connection:
        connection.sendall(request(18, 3, body))
        response, _ = ApiVersionsResponse.decode(receive(connection), 3, 4)
        assert response.error_code == 42


def test_06_a_failed_produce_without_acknowledgement_closes_the_connection(broker: Any) -> None:
    body = ProduceRequest(
        acks=0,
        timeout_ms=1000,
        topic_data=[
            TopicProduceData(name="nowhere", partition_data=[PartitionProduceData(index=0, records=b"no batch")])
        ],
    ).encode(7)
    with connect(broker) as connection:
        connection.sendall(request(0, 7, body))
        assert receive(connection) == b""
    assert "acks=0" in broker.log


def test_random_bytes_in_bodies_never_stop_the_broker(broker: Any) -> None:
    chance = random.Random(11)
    for _ in range(300):
        key = chance.choice([0, 1, 2, 3, 8, 9, 10, 11, 14, 19, 20, 21, 22, 23, 24, 28, 32, 35, 37, 44, 60, 75])
        version = chance.randint(0, 13)
        with connect(broker) as connection:
            connection.sendall(request(key, version, chance.randbytes(chance.randint(0, 60))))
            connection.shutdown(socket.SHUT_WR)
            receive(connection)
    assert "failed for a reason of ours" not in broker.log, broker.log
    assert is_served(broker)


def test_more_connections_than_allowed_are_closed(start_broker: Any) -> None:
    broker = start_broker(max_connections=3)
    connections = [connect(broker) for _ in range(3)]
    for connection in connections:
        connection.sendall(request(18, 0))
        assert receive(connection)
    with connect(broker) as refused:
        assert receive(refused) == b""
    connections.pop().close()
    deadline = time.monotonic() + 100
    while not is_served(broker) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert is_served(broker)
    for connection in connections:
        connection.close()


def test_an_idle_connection_is_closed(start_broker: Any) -> None:
    broker = start_broker(connections_max_idle_ms=300)
    with connect(broker) as connection:
        connection.sendall(request(18, 0))
        assert receive(connection)
        assert receive(connection) == b""
    assert "idle" in broker.log


def test_idle_connections_are_cheap(broker: Any) -> None:
    connections = [connect(broker) for _ in range(200)]
    body = MetadataRequest(topics=[]).encode(1)
    before = broker.resident_bytes
    for connection in connections:
        connection.sendall(request(3, 1, body))
        assert receive(connection)
    assert broker.resident_bytes - before < 200 * 32 * 1024
    for connection in connections:
        connection.close()
