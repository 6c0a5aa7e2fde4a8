"""Bytes that are no message raise MalformedMessage and nothing else, and take memory in proportion to their number."""

import re
import struct
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ottla_wire.decoding import MAX_ELEMENTS
from ottla_wire.errors import MalformedMessage
from ottla_wire.message import Message
from ottla_wire.messages.describe_log_dirs import DescribeLogDirsRequest
from ottla_wire.messages.metadata import MetadataRequest, MetadataResponse

# Lengths and counts that a hostile peer might claim, as int32, int16 and unsigned varints.
ABSURD = [
    b"\x7f\xff\xff\xff",
    b"\x80\x00\x00\x00",
    b"\x7f\xff",
    b"\xff\xff\xff\xff\x07",
    b"\xff\xff\xff\xff\xff\xff\x7f",
    b"\x7f",
]


def survives(message: type[Message], version: int, data: bytes) -> None:
    try:
        _, position = message.decode(data, version)
    except MalformedMessage:
        return
    assert 0 <= position <= len(data)


def test_no_message_can_be_cut_short(
    message: type[Message], version: int, instances: Callable[..., Any], wire_settings: settings
) -> None:
    @settings(wire_settings, max_examples=2)
    @given(original=instances(message, version))
    def check(original: Message) -> None:
        encoded = original.encode(version)
        for end in range(len(encoded)):
            with pytest.raises(MalformedMessage):
                message.decode(encoded[:end], version)

    check()


def test_mutated_bytes_are_malformed_or_another_message(
    message: type[Message], version: int, instances: Callable[..., Any], wire_settings: settings
) -> None:
    @wire_settings
    @given(original=instances(message, version), data=st.data())
    def check(original: Message, data: st.DataObject) -> None:
        encoded = original.encode(version)
        at = data.draw(st.integers(0, len(encoded)))
        put = data.draw(st.sampled_from(ABSURD) | st.binary(min_size=1, max_size=4))
        survives(message, version, encoded[:at] + put + encoded[at:])
        survives(message, version, encoded[:at] + put + encoded[at + len(put) :])

    check()


def test_random_bytes_are_malformed_or_a_message(message: type[Message], wire_settings: settings) -> None:
    @wire_settings
    @given(data=st.binary(max_size=60))
    def check(data: bytes) -> None:
        for version in range(message.versions.lowest, message.versions.highest + 1):
            survives(message, version, data)

    check()


def test_absurd_lengths_allocate_nothing(message: type[Message]) -> None:
    versions = range(message.versions.lowest, message.versions.highest + 1)
    frames = [prefix + claim * 8 for claim in ABSURD for prefix in (b"", b"\x00\x00", b"\x00" * 4, b"\x01" * 6)]
    for version in versions:  # compile first: that allocates
        survives(message, version, b"")
    tracemalloc.start()
    try:
        for version in versions:
            for frame in frames:
                survives(message, version, frame)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 200_000


@pytest.mark.parametrize(
    ("data", "version", "complaint"),
    [
        (struct.pack(">i", 1_000_000), 0, "MetadataRequest.topics claims a length of 1000000, but 0 bytes remain"),
        (struct.pack(">i", -1), 0, "MetadataRequest.topics is null"),
        (struct.pack(">ix", 1), 1, "MetadataRequest.topics claims a length of 1, but 1 bytes remain"),
        (struct.pack(">ihxx", 1, 50), 1, "MetadataRequestTopic.name claims a length of 50, but 2 bytes remain"),
        (struct.pack(">ih2s", 1, 2, b"\xff\xfe"), 1, "garbled"),
        (b"", 0, "cut short"),
        (b"\xff\xff\xff\xff\xff\xff", 9, "varint"),
    ],
)
def test_the_error_says_what_is_wrong_and_where(data: bytes, version: int, complaint: str) -> None:
    with pytest.raises(MalformedMessage, match=re.escape(complaint)):
        MetadataRequest.decode(data, version)


def test_the_elements_of_all_arrays_of_a_request_count_together() -> None:
    # An array in each of many structures: a topic name of two bytes, its array of partitions with 99 of them.
    topic = b"\x00\x00" + struct.pack(">i", 99) + bytes(4 * 99)
    fits, too_many = MAX_ELEMENTS // 100, MAX_ELEMENTS // 100 + 1
    for count in (fits, too_many):
        data = struct.pack(">i", count) + topic * count
        if count == fits:
            request, _ = DescribeLogDirsRequest.decode(data, 1)
            assert request.topics is not None
            assert len(request.topics) == fits
        else:
            with pytest.raises(MalformedMessage, match=f"more than {MAX_ELEMENTS}"):
                DescribeLogDirsRequest.decode(data, 1)


def test_memory_stays_in_proportion_to_the_frame() -> None:
    # The most that a frame can be blown up: structures that take few bytes each.
    empty_topics = bytes(4) + b"\x00\x00\x00\x00" + bytes(4) + struct.pack(">i", 100_000) + bytes(9 * 100_000)
    tracemalloc.start()
    try:
        survives(MetadataResponse, 1, empty_topics)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 50 * len(empty_topics)
