"""Looks at records by their lengths alone: a third of what decoding them takes.

Of a batch for a compacted topic nothing is wanted but to know that every record has a key (`are_plain`); what is not
plain at a glance is for `decode_records` to judge. Compaction wants to know the keys, and copies what stays (`spans`).
"""

from collections.abc import Iterator

from ottla_wire.errors import InvalidRecord
from ottla_wire.record_codec import EARLIEST, LATEST, SMALLEST_RECORD, read_varint

RecordSpan = tuple[int, int, bytes | None, bool, int, int]
"""A record as it lies in a batch: its offset delta and timestamp delta, its key, whether it has a value, and where its
bytes begin and end."""

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


def spans(data: bytes, count: int) -> Iterator[RecordSpan]:
    """Yield where each of the `count` records lies that `data` consists of. Headers are not looked at.

    Raises InvalidRecord for lengths that do not fit into each other, and for an offset that does not follow the one
    before. A plain tuple for each, because a class would cost as much as the rest.
    """
    position, size, last_delta = 0, len(data), -1
    try:
        for _ in range(count):
            start = position
            low, high = data[position], data[position + 1]
            if low >= 128 and high < 128:  # most lengths have two bytes
                low += (high - 1) << 7
                end = position + 2 + ((low >> 1) ^ -(low & 1))
                position += 2
            else:
                length, position = read_varint(data, position)
                end = position + length
            if end - position < SMALLEST_RECORD - 1 or end > size:
                raise InvalidRecord(f"a record claims to end at byte {end} of the {size} bytes of a batch's records")
            low = data[position + 1]  # after the attributes, of which there are none
            if low < 128:
                timestamp_delta = (low >> 1) ^ -(low & 1)
                position += 2
            else:
                timestamp_delta, position = read_varint(data, position + 1)
            low = data[position]
            if low < 128:
                offset_delta = (low >> 1) ^ -(low & 1)
                position += 1
            else:
                offset_delta, position = read_varint(data, position)
            if offset_delta <= last_delta:
                raise InvalidRecord(f"a record has the offset delta {offset_delta} after {last_delta}")
            last_delta = offset_delta
            low = data[position]
            if low < 128:
                length = (low >> 1) ^ -(low & 1)
                position += 1
            else:
                length, position = read_varint(data, position)
            key = None
            if length >= 0:
                key = data[position : position + length]
                position += length
            if position >= end:
                raise InvalidRecord(f"a key of {length} bytes ends beyond its record")
            yield offset_delta, timestamp_delta, key, not data[position] & 1, start, end
            position = end
    except IndexError as error:
        raise InvalidRecord(f"a record is cut short at byte {position} of the batch's records") from error
    if position != size:
        raise InvalidRecord(f"{size - position} bytes remain after the {count} records of a batch")
