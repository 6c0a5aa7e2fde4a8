"""Request and response headers, against kio and on their own."""

import io
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kio.schema.request_header.v1.header import RequestHeader as KioV1
from kio.schema.request_header.v2.header import RequestHeader as KioV2
from kio.schema.response_header.v0.header import ResponseHeader as KioResponseV0
from kio.schema.response_header.v1.header import ResponseHeader as KioResponseV1
from kio.serial import entity_reader, entity_writer

from ottla_wire.api_keys import ApiKey
from ottla_wire.errors import EncodeError, MalformedMessage
from ottla_wire.headers import RequestHeader, decode_response_header, encode_response_header
from ottla_wire.message import Message

EVERY_API_AND_VERSION = [
    (key, version)
    for key in ApiKey
    for version in range(Message.request(key).versions.lowest, Message.request(key).versions.highest + 1)
]


@pytest.mark.parametrize(("key", "version"), EVERY_API_AND_VERSION)
def test_request_headers_are_kios(key: ApiKey, version: int, wire_settings: settings) -> None:
    theirs: Any = KioV2 if version in Message.request(key).flexible else KioV1

    @settings(wire_settings, max_examples=3)
    @given(correlation_id=st.integers(-(2**31), 2**31 - 1), client_id=st.none() | st.text(max_size=20))
    def check(correlation_id: int, client_id: str | None) -> None:
        ours = RequestHeader(key, version, correlation_id, client_id)
        encoded = ours.encode()
        read, size = entity_reader(theirs)(encoded, 0)
        assert size == len(encoded)
        assert (read.request_api_key, read.request_api_version) == (key, version)
        assert (read.correlation_id, read.client_id) == (correlation_id, client_id)
        rewritten = io.BytesIO()
        entity_writer(theirs)(rewritten, read)
        assert rewritten.getvalue() == encoded
        for data in (encoded, bytearray(encoded), memoryview(encoded)):
            assert RequestHeader.decode(data) == (ours, len(encoded))

    check()


@pytest.mark.parametrize(("key", "version"), EVERY_API_AND_VERSION)
def test_response_headers_are_kios(key: ApiKey, version: int) -> None:
    tagged = version in Message.response(key).flexible and key is not ApiKey.API_VERSIONS
    theirs: Any = KioResponseV1 if tagged else KioResponseV0
    encoded = encode_response_header(key, version, 77)
    read, size = entity_reader(theirs)(encoded, 0)
    assert (read.correlation_id, size) == (77, len(encoded))
    assert decode_response_header(encoded, key, version) == (77, len(encoded))


def test_the_header_of_an_api_versions_response_is_always_version_0() -> None:
    for version in range(5):
        assert encode_response_header(ApiKey.API_VERSIONS, version, 1) == b"\x00\x00\x00\x01"


def test_tagged_fields_of_a_header_are_skipped() -> None:
    header = RequestHeader(ApiKey.HEARTBEAT, 4, 1, "c").encode()[:-1] + b"\x01\x05\x03abc"
    assert RequestHeader.decode(header + b"body") == (RequestHeader(ApiKey.HEARTBEAT, 4, 1, "c"), len(header))
    response = encode_response_header(ApiKey.HEARTBEAT, 4, 9)[:-1] + b"\x01\x05\x03abc"
    assert decode_response_header(response, ApiKey.HEARTBEAT, 4) == (9, len(response))


def test_the_header_of_what_we_do_not_know_is_read_so_that_it_can_be_refused() -> None:
    for key, version in [(ApiKey.API_VERSIONS, 99), (ApiKey.FETCH, 0), (4, 0), (1_000, 3), (-1, -1)]:
        frame = RequestHeader(key, version, 5, "client").encode()
        assert RequestHeader.decode(frame)[0] == RequestHeader(key, version, 5, "client")


def test_a_frame_too_short_for_a_header_is_malformed() -> None:
    whole = RequestHeader(ApiKey.HEARTBEAT, 4, 1, "client").encode()
    for end in range(len(whole)):
        with pytest.raises(MalformedMessage):
            RequestHeader.decode(whole[:end])
    for end in range(5):
        with pytest.raises(MalformedMessage):
            decode_response_header(bytes(end), ApiKey.HEARTBEAT, 4)


def test_a_client_id_that_is_no_text_is_malformed() -> None:
    frame = bytearray(RequestHeader(ApiKey.HEARTBEAT, 3, 1, "client").encode())
    frame[-1] = 0xFF
    with pytest.raises(MalformedMessage):
        RequestHeader.decode(frame)


def test_a_client_id_that_is_too_long_is_refused() -> None:
    with pytest.raises(EncodeError):
        RequestHeader(ApiKey.HEARTBEAT, 3, 1, "c" * 40_000).encode()
