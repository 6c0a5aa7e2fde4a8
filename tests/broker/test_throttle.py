"""Throttled clients (KIP-219): answered at once, and then kept waiting."""

import asyncio
from typing import Any

import msgspec
import pytest

from ottla_broker import dispatch
from ottla_broker.connection_rate import ConnectionRate
from ottla_wire.api_keys import ApiKey
from ottla_wire.headers import RequestHeader, decode_response_header
from ottla_wire.messages.metadata import MetadataRequest, MetadataResponse

VERSION = 9


def frame(correlation_id: int) -> bytes:
    request = MetadataRequest(topics=[])
    body = RequestHeader(request.api_key, VERSION, correlation_id, "test").encode() + request.encode(VERSION)
    return len(body).to_bytes(4, "big") + body


async def receive(reader: asyncio.StreamReader) -> tuple[int, MetadataResponse]:
    answer = await reader.readexactly(int.from_bytes(await reader.readexactly(4), "big"))
    correlation_id, position = decode_response_header(answer, ApiKey.METADATA, VERSION)
    return correlation_id, MetadataResponse.decode(answer, VERSION, position)[0]


@pytest.fixture
def throttle(monkeypatch: pytest.MonkeyPatch) -> Any:
    """`throttle(200, 0)`: the first Metadata is throttled for 200 ms, the second not, and so on."""

    def of(*times_ms: int) -> None:
        dispatch.load_handlers()
        api = dispatch.APIS[ApiKey.METADATA]
        left = list(times_ms)

        async def throttled(broker: Any, context: Any, request: Any) -> Any:
            response = await api.handler(broker, context, request)
            response.throttle_time_ms = left.pop(0) if left else 0
            context.connection.throttle(response.throttle_time_ms)
            return response

        monkeypatch.setitem(dispatch.APIS, ApiKey.METADATA, msgspec.structs.replace(api, handler=throttled))

    return of


def test_07_a_throttled_client_is_answered_at_once_and_its_next_request_waits(start_node: Any, throttle: Any) -> None:
    throttle(250)

    async def main() -> None:
        async with start_node() as node:
            loop = asyncio.get_running_loop()
            reader, writer = await asyncio.open_connection(*node.address)
            begun = loop.time()
            writer.write(frame(1) + frame(2) + frame(3))
            first, response = await receive(reader)
            assert (first, response.throttle_time_ms) == (1, 250)
            assert loop.time() - begun < 0.2
            second, response = await receive(reader)
            assert (second, response.throttle_time_ms) == (2, 0)
            assert 0.24 <= loop.time() - begun < 5
            assert (await receive(reader))[0] == 3
            writer.close()

    asyncio.run(main())


def test_07_other_clients_are_served_meanwhile(start_node: Any, throttle: Any) -> None:
    throttle(60_000)

    async def main() -> None:
        async with start_node() as node:
            reader, writer = await asyncio.open_connection(*node.address)
            writer.write(frame(1) + frame(2))
            await receive(reader)
            other, other_writer = await asyncio.open_connection(*node.address)
            other_writer.write(frame(7))
            assert (await asyncio.wait_for(receive(other), 60))[0] == 7
            assert len(node.server.connections) == 2
            for each in (writer, other_writer):
                each.close()

    asyncio.run(main())


def test_connections_beyond_the_rate_are_served_at_the_rate(start_node: Any) -> None:
    async def main() -> None:
        async with start_node(max_connection_creation_rate=20) as node:
            loop = asyncio.get_running_loop()
            begun, served = loop.time(), []

            async def connect() -> None:
                reader, writer = await asyncio.open_connection(*node.address)
                writer.write(frame(1))
                await receive(reader)
                served.append(loop.time() - begun)
                writer.write(frame(2))  # once served, it is like any other
                await receive(reader)
                writer.close()

            await asyncio.gather(*(connect() for _ in range(28)))
            assert served[-1] > 0.35  # a second's worth at once, and then one each 50 ms

    asyncio.run(main())


def test_a_rate_is_kept_whatever_the_pauses() -> None:
    rate = ConnectionRate()
    assert [rate.delay_ms(0, 2) for _ in range(5)] == [0, 0, 500, 1_000, 1_500]
    assert [rate.delay_ms(10_000, 2) for _ in range(3)] == [0, 0, 500]
    assert rate.delay_ms(10_000, 2_147_483_647) == 501
    assert rate.delay_ms(20_000, 2_147_483_647) == 0
