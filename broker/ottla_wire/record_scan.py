"""Whether records are in order, seen from their lengths alone: a third of what decoding them takes.

For a topic that is compacted every record of a batch has to be looked at, of which nothing is wanted but to know that
it has a key. What is not plain at a glance is for `decode_records` to judge.
"""

from ottla_wire.errors import InvalidRecord
from ottla_wire.record_codec import EARLIEST, LATEST, SMALLEST_RECORD, read_varint

_ONE_BYTE = 64  # the varints of -64 to 63 take one byte
_TWO_BYTES = 8192


def are_plain(data: bytes, count: int, base_timestamp: int) -> bool:
    """Whether `data` surely is `count` records, each with a key and without headers, with the offset deltas 0, 1, 2...

    False says nothing about them.
    """
    if not EARLIEST + _ONE_BYTE <= base_timestamp <= LATEST - _ONE_BYTE:
        return False
    try:
        return _scan(data, count, base_timestamp)
    except (IndexError, InvalidRecord):
        return False


def _scan(data: bytes, count: int, base_timestamp: int) -> bool:
    # Each varint is read in place where it has one byte, as most have: a call would cost more than the rest.
    position, size = 0, len(data)
    for index in range(count):
        zigzag = data[position]
        if zigzag < 128 and not zigzag & 1:
            length = zigzag >> 1
            position += 1
        else:
            length, position = read_varint(data, position)
        end = position + length
        if length < SMALLEST_RECORD - 1 or end > size:
            return False
        position += 1  # attributes, of which there are none
        if data[position] < 128:
            position += 1
        else:
            timestamp_delta, position = read_varint(data, position)
            if not EARLIEST <= base_timestamp + timestamp_delta <= LATEST:
                return False
        zigzag = index << 1
        if index < _ONE_BYTE:
            if data[position] != zigzag:
                return False
            position += 1
        elif index < _TWO_BYTES:
            if data[position] != zigzag & 127 | 128 or data[position + 1] != zigzag >> 7:
                return False
            position += 2
        else:
            offset_delta, position = read_varint(data, position)
            if offset_delta != index:
                return False
        zigzag = data[position]
        if zigzag < 128 and not zigzag & 1:
            position += 1 + (zigzag >> 1)
        else:
            length, position = read_varint(data, position)
            if length < 0:
                return False
            position += length
        if position >= end:
            return False
        zigzag = data[position]
        if zigzag < 128 and not zigzag & 1:
            position += 1 + (zigzag >> 1)
        else:
            length, position = read_varint(data, position)
            position += max(length, 0)  # -1: none
        if position + 1 != end or data[position]:
            return False
        position = end
    return position == size
