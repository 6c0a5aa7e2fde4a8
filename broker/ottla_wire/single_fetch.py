"""Fetch from one partition without a session, as clients based on librdkafka send them: read and answered by hand.

A request differs from a consumer's last one in the correlation id and the fetch offset alone. So all the rest of it,
the *terms*, is decoded once, by `FetchRequest`, and known by its bytes from then on; the response is cut out of what
`FetchResponse` encodes, as in `single_produce`. What is said here about the format is where the fetch offset lies:

    version 12      client id, no tags, replica id, wait, min and max bytes, isolation level, session id and epoch,
                    1 topic, its name, 1 partition, its index, leader epoch, fetch offset
    version 13-14   the same with the topic's id
    version 15-18   the same without the replica id
"""

import struct
from typing import Final

from ottla_wire.chunks import FileRegion, Part
from ottla_wire.errors import MalformedMessage
from ottla_wire.headers import RequestHeader, encode_response_header
from ottla_wire.messages.fetch import FetchableTopicResponse, FetchRequest, FetchResponse, PartitionData
from ottla_wire.varint import UVARINT

_FIRST, _FIRST_WITH_IDS, _FIRST_WITHOUT_REPLICA, _LAST = 12, 13, 15, 18
# A frame is: int16 API key, int16 version, int32 correlation id, int16 length of the client id, the client id, ...
_CORRELATION_ID, _AFTER_CORRELATION_ID, _CLIENT_ID = 4, 8, 10
# ... then from the end of the client id: where the length of the topic's name lies, how much lies between the name and
# the fetch offset, and where that lies with a topic id, with a replica id before it and without.
_NAME_LENGTH, _AFTER_NAME, _OFFSET_WITH_REPLICA, _OFFSET_WITHOUT_REPLICA = 27, 9, 52, 48
_INT32_SIZE = 4
_OFFSET = struct.Struct(">q")
_OFFSETS = struct.Struct(">qqq")
_NO_TAGS = bytes(3)
_NO_RECORDS = b"\x01" + _NO_TAGS  # an empty array, and the tags after it
_CONSUMER = -1
_NO_SESSION, _FINAL_EPOCH = 0, -1
_READ_COMMITTED = 1
# Terms that are remembered for each version, and the longest of them.
_MOST_TERMS = 1_000
_LONGEST_TERMS = 1_024


class FetchTerms:
    """What a request says besides its offset, and the response but for what is new each time."""

    __slots__ = (
        "_after_offsets",
        "_before_offsets",
        "_size",
        "committed_only",
        "current_leader_epoch",
        "index",
        "max_bytes",
        "max_wait_ms",
        "min_bytes",
        "topic",
        "topic_id",
    )

    def __init__(self, header: RequestHeader, request: FetchRequest) -> None:
        (topic,) = request.topics
        (partition,) = topic.partitions
        self.topic = topic.topic
        self.topic_id = topic.topic_id
        self.index = partition.partition
        self.current_leader_epoch = partition.current_leader_epoch
        self.max_wait_ms = request.max_wait_ms
        self.min_bytes = request.min_bytes
        self.max_bytes = min(request.max_bytes, partition.partition_max_bytes)
        self.committed_only = request.isolation_level == _READ_COMMITTED
        # Two responses differ in the offsets alone, so that is where they part.
        zeros, ones = (self._frame(header, offsets) for offsets in (0, -1))
        start = next(at for at, byte in enumerate(zeros) if byte != ones[at])
        self._before_offsets = zeros[:start]
        self._after_offsets = zeros[start + _OFFSETS.size : -len(_NO_RECORDS)]
        self._size = len(zeros) - len(_NO_RECORDS)

    def _frame(self, header: RequestHeader, offsets: int) -> bytes:
        """The response without its correlation id, and without records."""
        partition = PartitionData(
            partition_index=self.index,
            high_watermark=offsets,
            last_stable_offset=offsets,
            log_start_offset=offsets,
            aborted_transactions=[] if self.committed_only else None,
            records=b"",
        )
        topic = FetchableTopicResponse(topic=self.topic, topic_id=self.topic_id, partitions=[partition])
        head = encode_response_header(header.api_key, header.api_version, header.correlation_id)
        return head[_INT32_SIZE:] + FetchResponse(responses=[topic]).encode(header.api_version)

    def response(
        self,
        frame: bytearray | memoryview,
        records: bytes | bytearray | FileRegion,
        high_watermark: int,
        last_stable_offset: int,
        log_start_offset: int,
    ) -> list[Part]:
        """The response frame to the request in `frame`, in which no transaction is aborted."""
        length = UVARINT[len(records) + 1]
        size = _INT32_SIZE + self._size + len(length) + len(records) + len(_NO_TAGS)
        opening = (
            size.to_bytes(_INT32_SIZE, "big"),
            frame[_CORRELATION_ID:_AFTER_CORRELATION_ID],
            self._before_offsets,
            _OFFSETS.pack(high_watermark, last_stable_offset, log_start_offset),
            self._after_offsets,
            length,
        )
        if isinstance(records, FileRegion):
            return [b"".join(opening), records, _NO_TAGS]
        return [b"".join((*opening, records, _NO_TAGS))]


_terms: Final[dict[int, dict[bytes, FetchTerms]]] = {version: {} for version in range(_FIRST, _LAST + 1)}


def read_single_fetch(frame: bytearray | memoryview, version: int) -> tuple[FetchTerms, int] | None:
    """The terms and the offset of a fetch request frame; None if it is of another kind, or none at all."""
    known = _terms.get(version)
    if known is None or len(frame) > _LONGEST_TERMS:
        return None
    try:
        at = _CLIENT_ID + frame[_CLIENT_ID - 1]
        if version < _FIRST_WITH_IDS:
            at += _NAME_LENGTH + frame[at + _NAME_LENGTH] + _AFTER_NAME
        else:
            at += _OFFSET_WITH_REPLICA if version < _FIRST_WITHOUT_REPLICA else _OFFSET_WITHOUT_REPLICA
        (offset,) = _OFFSET.unpack_from(frame, at)
    except (IndexError, struct.error):
        return None
    key = bytes(frame[_AFTER_CORRELATION_ID:at]) + frame[at + _OFFSET.size :]
    terms = known.get(key)
    if terms is None:
        terms = _decode_terms(frame, at)
        if terms is None:
            return None
        if len(known) >= _MOST_TERMS:
            known.clear()
        known[key] = terms
    return terms, offset


def _decode_terms(frame: bytearray | memoryview, at: int) -> FetchTerms | None:
    """The terms of a frame that is of this kind and has its offset at `at`, as all have that differ in it alone."""
    try:
        header, position = RequestHeader.decode(frame)
        request, _ = FetchRequest.decode(frame, header.api_version, position)
    except MalformedMessage:
        return None
    if len(request.topics) != 1 or len(request.topics[0].partitions) != 1 or request.forgotten_topics_data:
        return None
    if (request.session_id, request.session_epoch) != (_NO_SESSION, _FINAL_EPOCH):
        return None
    partition = request.topics[0].partitions[0]
    if request.replica_id != _CONSUMER or request.replica_state is not None or partition.last_fetched_epoch >= 0:
        return None
    plain, offset = header.encode() + request.encode(header.api_version), partition.fetch_offset
    partition.fetch_offset = ~offset
    other = header.encode() + request.encode(header.api_version)
    end = at + _OFFSET.size
    if plain != bytes(frame) or other != plain[:at] + _OFFSET.pack(~offset) + plain[end:]:
        return None  # there are tags, or a long name
    return FetchTerms(header, request)
