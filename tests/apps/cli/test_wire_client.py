"""Reaching brokers, and everything else that may listen at an address."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from ottla_apps.cli.errors import CommandError, Refused, Unreachable
from ottla_apps.cli.profiles import parse_brokers
from ottla_apps.cli.topics import describe_topic
from ottla_apps.cli.wire_client import WireClient
from ottla_wire.headers import RequestHeader, encode_response_header
from ottla_wire.message import Message
from ottla_wire.messages.api_versions import ApiVersion, ApiVersionsResponse
from ottla_wire.messages.describe_producers import DescribeProducersRequest, DescribeProducersResponse
from ottla_wire.messages.metadata import MetadataResponse


@contextmanager
def listening(serve: Callable[[socket.socket], None]) -> Iterator[tuple[str, int]]:
    """The address of a server that serves one connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            connection, _ = server.accept()
            with connection:
                serve(connection)

        thread = threading.Thread(target=accept)
        thread.start()
        yield server.getsockname()
        thread.join(timeout=100)


def frame_of(connection: socket.socket) -> bytes:
    size = int.from_bytes(connection.recv(4, socket.MSG_WAITALL), "big")
    return connection.recv(size, socket.MSG_WAITALL)


def answer(connection: socket.socket, responses: dict[int, Message]) -> None:
    """Answer requests by their API keys, in the versions asked for, until the client is gone."""
    while request := frame_of(connection):
        header, _ = RequestHeader.decode(request)
        body = responses[header.api_key].encode(header.api_version)
        head = encode_response_header(header.api_key, header.api_version, header.correlation_id)
        connection.sendall((len(head) + len(body)).to_bytes(4, "big") + head + body)


def versions(*apis: tuple[int, int, int]) -> ApiVersionsResponse:
    return ApiVersionsResponse(
        api_keys=[ApiVersion(api_key=key, min_version=low, max_version=high) for key, low, high in apis]
    )


def test_a_port_where_nobody_listens_is_told_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()
    with pytest.raises(Unreachable, match=r"127.0.0.1:\d+ cannot be reached: connection refused\."):
        WireClient([address], 3_600)  # which would be longer than the test may take


def test_every_address_is_tried_and_told() -> None:
    with pytest.raises(Unreachable, match=r"127.0.0.1:1 cannot .* 127.0.0.1:2 cannot"):
        WireClient([("127.0.0.1", 1), ("127.0.0.1", 2)], 5)


def test_a_name_that_cannot_be_a_host_is_told() -> None:
    with pytest.raises(Unreachable, match="cannot be reached"):
        WireClient([("a" * 70 + ".invalid", 9092)], 5)


def test_a_server_that_says_nothing_is_waited_for_as_long_as_asked() -> None:
    def serve(connection: socket.socket) -> None:
        while connection.recv(100):
            pass

    with listening(serve) as address, pytest.raises(Unreachable, match=r"did not answer within 0\.3 s"):
        WireClient([address], 0.3)


@pytest.mark.parametrize("said", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\xff\xff\xff\xff"])
def test_a_server_of_another_protocol_is_recognised(said: bytes) -> None:
    def serve(connection: socket.socket) -> None:
        frame_of(connection)
        connection.sendall(said)

    with listening(serve) as address, pytest.raises(Unreachable, match="does not speak the Kafka protocol"):
        WireClient([address], 5)


def test_a_server_that_hangs_up_is_told() -> None:
    with listening(frame_of) as address, pytest.raises(Unreachable, match="closed the connection"):  # type: ignore[arg-type]
        WireClient([address], 5)


def test_an_answer_that_is_none_is_told() -> None:
    def serve(connection: socket.socket) -> None:
        frame_of(connection)
        connection.sendall(b"\0\0\0\5\0\0\0\1\0")

    with listening(serve) as address, pytest.raises(CommandError, match="sent an answer that is not one"):
        WireClient([address], 5)


def test_a_broker_of_long_ago_is_asked_in_its_own_version() -> None:
    """It lacks the newer versions of ApiVersions, and says so in version 0 (KIP-511)."""

    def serve(connection: socket.socket) -> None:
        for version, error, body in ((4, 35, b""), (3, 35, b""), (0, 0, versions((3, 0, 1)).encode(0)[2:])):
            request = frame_of(connection)
            header, _ = RequestHeader.decode(request)
            assert header.api_version == version
            said = error.to_bytes(2, "big") + (body or b"\0\0\0\0")
            connection.sendall((4 + len(said)).to_bytes(4, "big") + header.correlation_id.to_bytes(4, "big") + said)

    with listening(serve) as address, WireClient([address], 5) as client:
        assert [api.api_key for api in client.api_versions().api_keys] == [3]


def test_a_request_that_the_broker_does_not_serve_is_told() -> None:
    def serve(connection: socket.socket) -> None:
        answer(connection, {18: versions((18, 0, 4))})

    with listening(serve) as address, WireClient([address], 5) as client:
        assert not client.serves(DescribeProducersRequest)
        with pytest.raises(CommandError, match=r"does not serve DescribeProducers\."):
            client.request(DescribeProducersRequest(topics=[]), DescribeProducersResponse)


def test_a_node_that_the_cluster_does_not_have_is_told() -> None:
    def serve(connection: socket.socket) -> None:
        answer(connection, {18: versions((3, 0, 12), (61, 0, 0)), 3: MetadataResponse(brokers=[], topics=[])})

    with (
        listening(serve) as address,
        WireClient([address], 5) as client,
        pytest.raises(Unreachable, match="no broker 7"),
    ):
        client.request(DescribeProducersRequest(topics=[]), DescribeProducersResponse, 7)


def test_a_topic_that_does_not_exist_is_not_made_by_looking(brokers: str) -> None:
    with WireClient(parse_brokers(brokers), 10) as client:
        for _ in range(2):
            with pytest.raises(Refused, match="Topic 'never-made' does not exist"):
                describe_topic(client, "never-made")
