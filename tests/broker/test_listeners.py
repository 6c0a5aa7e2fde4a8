"""Listeners: their names, addresses and protocols, and what clients are told."""

import asyncio
from typing import Any

import pytest

from ottla_broker.cluster.configs import Alteration, Operation
from ottla_broker.cluster.image import ResourceType
from ottla_broker.config import BrokerConfig
from ottla_broker.errors import InvalidSetting
from ottla_broker.listeners import Address, Listener, parse_listeners
from ottla_wire.headers import RequestHeader, decode_response_header
from ottla_wire.messages.find_coordinator import FindCoordinatorRequest, FindCoordinatorResponse
from ottla_wire.messages.metadata import MetadataRequest, MetadataResponse


@pytest.mark.parametrize(
    ("text", "listener"),
    [
        ("127.0.0.1:9092", Listener("PLAINTEXT", Address("127.0.0.1", 9092))),
        ("PLAINTEXT://localhost:0", Listener("PLAINTEXT", Address("localhost", 0))),
        ("internal://[::1]:9092", Listener("INTERNAL", Address("::1", 9092))),
        ("EXTERNAL://:9092", Listener("EXTERNAL", Address("", 9092))),
    ],
)
def test_a_listener_has_a_name_and_an_address(text: str, listener: Listener) -> None:
    assert parse_listeners("listeners", [text]) == (listener,)


MAP = "INTERNAL:PLAINTEXT,EXTERNAL:PLAINTEXT,SECRET:SSL"


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"listeners": "nowhere"}, "Invalid value 'nowhere' for listeners: expected HOST:PORT, such as 127.0.0.1:9092"),
        ({"listeners": "h:65536"}, "Invalid value 'h:65536' for listeners: expected HOST:PORT, such as 127.0.0.1:9092"),
        ({"listeners": "a b://h:1"}, "Invalid value 'a b://h:1' for listeners: expected NAME://HOST:PORT"),
        ({"listeners": "h:1,h:2"}, "listeners has two listeners called PLAINTEXT; their names must differ"),
        ({"listeners": ""}, "listeners is empty; name at least one address, such as PLAINTEXT://localhost:9092"),
        (
            {"listeners": "SSL://h:1"},
            "The listener SSL://h:1 is to speak SSL; this version serves PLAINTEXT listeners only",
        ),
        (
            {"listeners": "OTHER://h:1"},
            "No security protocol is known for the listener OTHER; add OTHER:PLAINTEXT to "
            "listener.security.protocol.map",
        ),
        (
            {"listener.security.protocol.map": "PLAINTEXT"},
            "Invalid value 'PLAINTEXT' for listener.security.protocol.map: expected NAME:PROTOCOL",
        ),
        (
            {"listeners": "0.0.0.0:9092"},
            "listeners has PLAINTEXT://0.0.0.0:9092, all interfaces, so advertised.listeners must say where clients "
            "connect",
        ),
        (
            {"advertised.listeners": "0.0.0.0:9092"},
            "advertised.listeners has PLAINTEXT://0.0.0.0:9092, to which no client can connect; give this host's "
            "address",
        ),
        (
            {"advertised.listeners": "OTHER://h:9092"},
            "advertised.listeners has OTHER, which listeners does not have",
        ),
    ],
)
def test_listeners_that_cannot_be_are_refused_in_one_sentence(settings: dict[str, str], complaint: str) -> None:
    with pytest.raises(InvalidSetting) as error:
        BrokerConfig.of(settings)
    assert str(error.value) == complaint


def test_clients_are_told_the_address_of_the_listener_they_came_in_by() -> None:
    config = BrokerConfig.of(
        {
            "listeners": "INTERNAL://10.0.0.1:0,EXTERNAL://0.0.0.0:9092",
            "advertised.listeners": "EXTERNAL://broker.example:0",
            "listener.security.protocol.map": MAP,
        }
    )
    internal, external = (listener._replace(address=Address("h", 4711)) for listener in config.bindings)
    assert config.advertised(internal) == Address("h", 4711)
    assert config.advertised(external) == Address("broker.example", 4711)


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: Any, version: int) -> bytes:
    """The body of the response; empty when the broker has closed the connection."""
    frame = RequestHeader(request.api_key, version, 1, "test").encode() + request.encode(version)
    writer.write(len(frame).to_bytes(4, "big") + frame)
    try:
        size = int.from_bytes(await reader.readexactly(4), "big")
        answer = await reader.readexactly(size)
    except (asyncio.IncompleteReadError, ConnectionError):
        return b""
    _, position = decode_response_header(answer, request.api_key, version)
    return answer[position:]


def test_clients_of_a_listener_are_sent_to_the_address_that_is_advertised_for_it(start_node: Any) -> None:
    settings = {
        "listeners": "INTERNAL://127.0.0.1:0,EXTERNAL://127.0.0.1:0",
        "advertised.listeners": "EXTERNAL://broker.example:1234",
        "listener.security.protocol.map": MAP,
    }

    async def main() -> None:
        async with start_node(**settings) as node:
            internal, external = (listener.address.port for listener in node.listeners)
            assert internal != external
            for port, told in ((internal, ("127.0.0.1", internal)), (external, ("broker.example", 1234))):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                answer = await ask(reader, writer, MetadataRequest(topics=[]), 9)
                (broker,) = MetadataResponse.decode(answer, 9)[0].brokers
                assert (broker.host, broker.port) == told
                answer = await ask(reader, writer, FindCoordinatorRequest(coordinator_keys=["g"]), 4)
                (found,) = FindCoordinatorResponse.decode(answer, 4)[0].coordinators
                assert (found.host, found.port) == told
                writer.close()

    asyncio.run(main())


def test_connections_are_limited_by_address_and_the_limit_can_change(start_node: Any) -> None:
    async def connects(node: Any) -> bool:
        reader, writer = await asyncio.open_connection("127.0.0.1", node.address.port)
        writers.append(writer)
        return bool(await ask(reader, writer, MetadataRequest(topics=[]), 9))

    writers: list[asyncio.StreamWriter] = []

    async def main() -> None:
        async with start_node(**{"max.connections.per.ip": "2"}) as node:
            assert [await connects(node) for _ in range(3)] == [True, True, False]
            change = Alteration("max.connections.per.ip.overrides", Operation.SET, "127.0.0.1:3")
            await node.broker.controller.alter_config(ResourceType.BROKER, "1", [change], validate_only=False)
            assert [await connects(node) for _ in range(2)] == [True, False]
            change = Alteration("max.connections", Operation.SET, "1")
            await node.broker.controller.alter_config(ResourceType.BROKER, "", [change], validate_only=False)
            for writer in writers:
                writer.close()
                await writer.wait_closed()
            for _ in range(500):
                if not node.server.connections:
                    break
                await asyncio.sleep(0.01)
            assert [await connects(node) for _ in range(2)] == [True, False]
            for writer in writers:
                writer.close()

    asyncio.run(main())
