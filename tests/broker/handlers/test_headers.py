"""Headers byte by byte, what ApiVersions says, and lengths that cannot be."""

import contextlib
import struct
import tracemalloc
from typing import Any

import pytest

from ottla_broker import dispatch
from ottla_broker.errors import ClosesConnection
from ottla_wire.errors import WireError
from ottla_wire.messages.api_versions import ApiVersionsRequest, ApiVersionsResponse
from ottla_wire.messages.metadata import MetadataRequest, MetadataResponse
from ottla_wire.messages.produce import ProduceRequest

API_VERSIONS, METADATA, PRODUCE, JOIN_GROUP = 18, 3, 0, 11


async def answer(client: Any, frame: bytes) -> bytes:
    """The response to a request frame, both without their length."""
    parts = await dispatch.respond(client.node.broker, client.connection, bytearray(frame))
    return b"".join(map(bytes, parts))[4:]


@pytest.mark.parametrize("version", range(5))
def test_01_the_header_of_an_api_versions_response_has_no_tagged_fields(with_client: Any, version: int) -> None:
    async def scenario(client: Any) -> None:
        header = struct.pack(">hhih", API_VERSIONS, version, 77, 1) + b"c" + (b"\0" if version >= 3 else b"")
        body = ApiVersionsRequest(client_software_name="a", client_software_version="1").encode(version)
        response = await answer(client, header + body)
        assert response[:4] == (77).to_bytes(4, "big")
        decoded, end = ApiVersionsResponse.decode(response, version, 4)  # not 5: no byte for tagged fields
        assert end == len(response)
        assert decoded.error_code == 0

    with_client(scenario)


def test_01_other_flexible_responses_have_tagged_fields_in_their_header(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        header = struct.pack(">hhih", METADATA, 9, 77, 1) + b"c\0"
        response = await answer(client, header + MetadataRequest(topics=[]).encode(9))
        assert response[:5] == (77).to_bytes(4, "big") + b"\0"
        _, end = MetadataResponse.decode(response, 9, 5)
        assert end == len(response)

    with_client(scenario)


@pytest.mark.parametrize("client_id", [b"\0\5hello", b"\0\0", b"\xff\xff"])
@pytest.mark.parametrize("tags", [b"\0", b"\2\0\3abc\7\0"])
def test_04_a_flexible_request_header_keeps_the_old_length_of_the_client_id(
    with_client: Any, client_id: bytes, tags: bytes
) -> None:
    async def scenario(client: Any) -> None:
        header = struct.pack(">hhi", METADATA, 9, 77) + client_id + tags
        response = await answer(client, header + MetadataRequest(topics=[]).encode(9))
        assert MetadataResponse.decode(response, 9, 5)[0].controller_id == 1

    with_client(scenario)


def test_08_lengths_are_bounded_by_the_bytes_that_are_there_before_anything_is_allocated() -> None:
    dispatch.load_handlers()
    absurd = [b"\x7f" * 64, b"\xff" * 64, b"\xff\xff\xff\xff\x07" * 12, b"\0" * 8 + b"\x7f\xff\xff\xff" * 12]
    for api in dispatch.APIS.values():
        for version in api.versions:
            for body in absurd:
                _decode(api, body, version)  # the first time makes the decoder
    tracemalloc.start()
    try:
        for api in dispatch.APIS.values():
            for version in api.versions:
                for body in absurd:
                    tracemalloc.reset_peak()
                    before, _ = tracemalloc.get_traced_memory()
                    _decode(api, body, version)
                    _, peak = tracemalloc.get_traced_memory()
                    assert peak - before < 64 * 1024, (api.request.__name__, version, body)
    finally:
        tracemalloc.stop()


def _decode(api: dispatch.Api, body: bytes, version: int) -> None:
    with contextlib.suppress(WireError):
        api.request.decode(body, version)


def test_10_produce_is_advertised_from_version_0_and_served_from_version_3(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        hello = ApiVersionsRequest(client_software_name="a", client_software_version="1")
        response = await client.ask(hello, 4)
        ranges = {api.api_key: (api.min_version, api.max_version) for api in response.api_keys}
        assert ranges[PRODUCE] == (0, 13)
        assert ranges[JOIN_GROUP] == (0, 9)
        assert ProduceRequest.versions.lowest == 3
        for version in range(3):
            with pytest.raises(ClosesConnection, match=f"ProduceRequest version {version} is not served"):
                await answer(client, struct.pack(">hhih", PRODUCE, version, 1, -1) + bytes(20))

    with_client(scenario)


def test_every_served_api_is_advertised_with_its_versions(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        hello = ApiVersionsRequest(client_software_name="test", client_software_version="1.0")
        response = await client.ask(hello, 4)
        advertised = {api.api_key: (api.min_version, api.max_version) for api in response.api_keys}
        assert advertised == {
            key: (api.advertised.lowest, api.advertised.highest) for key, api in dispatch.APIS.items()
        }
        features = {feature.name: feature.max_version_level for feature in response.finalized_features}
        assert features["transaction.version"] == 2
        assert response.finalized_features_epoch >= 0

    with_client(scenario)
