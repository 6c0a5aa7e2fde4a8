"""The wire format: a zero byte, the schema's id in 4 bytes, then the value as its format writes it.

In Protocol Buffers the value is preceded by the place of the message in its file: a list of indexes, as zigzag varints
after their count; the first message, which most are, is one zero byte.
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct

MAGIC = 0
SIZE = 5

_HEADER = Struct(">BI")
_LONGEST_PATH = 100


def framed(schema_id: int) -> bytes:
    """What stands before every value of a schema."""
    return _HEADER.pack(MAGIC, schema_id)


def schema_id(data: bytes) -> int:
    """The id of the schema that a value was written with. Raises `ValueError`."""
    if len(data) < SIZE:
        raise ValueError(f"it is {len(data)} bytes long, too short to begin with the id of a schema")
    magic, found = _HEADER.unpack_from(data)
    if magic != MAGIC:
        raise ValueError(f"it begins with byte {magic}, where a schema registry's format has a zero")
    return int(found)


def message_path(indexes: Sequence[int]) -> bytes:
    """The place of a message in its file, as it is written."""
    if list(indexes) == [0]:
        return b"\0"
    return b"".join(_varint(number << 1) for number in (len(indexes), *indexes))


def skip_message_path(data: bytes) -> tuple[tuple[int, ...], int]:
    """The place of the message that follows the header, and where the message begins. Raises `ValueError`."""
    count, position = _read_varint(data, SIZE)
    if count == 0:
        return (0,), position
    if not 0 < count <= _LONGEST_PATH:
        raise ValueError(f"a message cannot be at the end of {count} indexes")
    indexes = []
    for _ in range(count):
        index, position = _read_varint(data, position)
        indexes.append(index)
    return tuple(indexes), position


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _read_varint(data: bytes, position: int) -> tuple[int, int]:
    number = shift = 0
    while shift < 35:
        if position >= len(data):
            raise ValueError("it ends before its message begins")
        byte = data[position]
        position += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number >> 1 ^ -(number & 1), position
        shift += 7
    raise ValueError("an index of its message is too large")
