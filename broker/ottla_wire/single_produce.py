"""Produce for one partition without a transaction, which most produce requests are: read and answered by hand.

What precedes the records, the *head*, is the same in one request of a producer and the next but for the correlation id.
So a head is decoded once, by `ProduceRequest`, and known by its bytes from then on; the response to it is cut out of
what `ProduceResponse` encodes. What is said here about the format is where a head ends:

    version 9-12    client id, no tags, no transactional id, acks, timeout, 1 topic, its name, 1 partition, its index
    version 13      the same with the topic's id
                    followed by the records, and no tags of partition, topic and request
"""

import struct
from typing import Final
from uuid import UUID

from ottla_wire.errors import MalformedMessage
from ottla_wire.headers import RequestHeader, encode_response_header
from ottla_wire.messages.produce import (
    PartitionProduceResponse,
    ProduceRequest,
    ProduceResponse,
    TopicProduceResponse,
)
from ottla_wire.varint import continue_uvarint

_FIRST, _FIRST_WITH_IDS, _LAST = 9, 13, 13
# A frame is: int16 API key, int16 version, int32 correlation id, int16 length of the client id, the client id, ...
_CORRELATION_ID, _AFTER_CORRELATION_ID, _CLIENT_ID = 4, 8, 10
# ... then from the end of the client id: where the length of the topic's name lies, what to add to that length to come
# to the records, and where those lie with a topic id.
_NAME_LENGTH, _RECORDS_AFTER_NAME, _RECORDS_AFTER_ID = 9, 14, 30
_NO_TAGS = bytes(3)
_NO_RECORDS = b"\x01" + _NO_TAGS  # an empty array, and the tags after it
_OFFSETS = struct.Struct(">qqq")
# Heads that are remembered for each version. None is longer than 600 bytes.
_MOST_HEADS = 1_000


class ProduceHead:
    """What a head says, and the response to it but for what is new each time."""

    __slots__ = (
        "_after_offsets",
        "_before_offsets",
        "_size",
        "acks",
        "client_id",
        "index",
        "partition",
        "topic",
        "topic_id",
    )

    def __init__(self, header: RequestHeader, request: ProduceRequest) -> None:
        self.client_id = header.client_id or ""
        self.acks = request.acks
        (topic,) = request.topic_data
        (partition,) = topic.partition_data
        self.topic = topic.name
        self.topic_id = topic.topic_id
        self.index = partition.index
        self.partition = (topic.name or topic.topic_id, partition.index)
        # Two responses differ in the offsets alone, so that is where they part.
        zeros, ones = (_frame(header, topic.name, topic.topic_id, partition.index, offsets) for offsets in (0, -1))
        start = next(at for at, byte in enumerate(zeros) if byte != ones[at])
        self._size = zeros[:_CORRELATION_ID]
        self._before_offsets = zeros[_AFTER_CORRELATION_ID:start]
        self._after_offsets = zeros[start + _OFFSETS.size :]

    def response(
        self, frame: bytearray | memoryview, base_offset: int, log_append_time_ms: int, log_start_offset: int
    ) -> bytes:
        """The frame that tells the sender of `frame` that its records were appended."""
        return b"".join(
            (
                self._size,
                frame[_CORRELATION_ID:_AFTER_CORRELATION_ID],
                self._before_offsets,
                _OFFSETS.pack(base_offset, log_append_time_ms, log_start_offset),
                self._after_offsets,
            )
        )


def _frame(header: RequestHeader, topic: str, topic_id: UUID, index: int, offsets: int) -> bytes:
    partition = PartitionProduceResponse(
        index=index, base_offset=offsets, log_append_time_ms=offsets, log_start_offset=offsets
    )
    response = ProduceResponse(
        responses=[TopicProduceResponse(name=topic, topic_id=topic_id, partition_responses=[partition])]
    )
    body = response.encode(header.api_version)
    head = encode_response_header(header.api_key, header.api_version, header.correlation_id)
    return (len(head) + len(body)).to_bytes(4, "big") + head + body


_heads: Final[dict[int, dict[bytes, ProduceHead]]] = {version: {} for version in range(_FIRST, _LAST + 1)}


def read_single_produce(frame: bytearray | memoryview, version: int) -> tuple[ProduceHead, memoryview] | None:
    """The head and the records of a produce request frame; None if it is of another kind, or none at all."""
    heads = _heads.get(version)
    if heads is None:
        return None
    try:
        end = _CLIENT_ID + frame[_CLIENT_ID - 1]
        end += _RECORDS_AFTER_ID if version >= _FIRST_WITH_IDS else _RECORDS_AFTER_NAME + frame[end + _NAME_LENGTH]
        size = frame[end]
        position = end + 1
        if size > 127:
            size, position = continue_uvarint(frame, position, size)
    except (IndexError, MalformedMessage):
        return None
    records_end = position + size - 1
    if size <= 1 or bytes(frame[records_end:]) != _NO_TAGS:
        return None
    key = bytes(frame[_AFTER_CORRELATION_ID:end])
    head = heads.get(key)
    if head is None:
        head = _decode_head(frame, end)
        if head is None:
            return None
        if len(heads) >= _MOST_HEADS:
            heads.clear()
        heads[key] = head
    return head, memoryview(frame)[position:records_end]


def _decode_head(frame: bytearray | memoryview, end: int) -> ProduceHead | None:
    """The head of a frame, if it is one and ends at `end`, as then it does wherever these bytes come again."""
    try:
        header, position = RequestHeader.decode(frame)
        request, _ = ProduceRequest.decode(frame, header.api_version, position)
    except MalformedMessage:
        return None
    if request.transactional_id is not None or len(request.topic_data) != 1:
        return None
    partitions = request.topic_data[0].partition_data
    if len(partitions) != 1:
        return None
    partitions[0].records = b""
    plain = header.encode() + request.encode(header.api_version)
    if plain[: -len(_NO_RECORDS)] != bytes(frame[:end]):
        return None  # there are tags
    return ProduceHead(header, request)
